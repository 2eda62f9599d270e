"""`python migrate_sqlite_to_postgres.py FILE AGENT…`: the import as a program, as for many agents at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agentdb import get_agent_client
from agentdb.sqlite import Report, import_file, load_mapping


async def migrate_agent_data(agent_name: str, sqlite_path: Path) -> Report:
    """Bring what is in a file into an agent; again, it brings what is new."""
    client = get_agent_client()
    await client.connect()
    try:
        return await import_file(client, sqlite_path, agent_name, mapping=load_mapping("map.toml"))
    finally:
        await client.disconnect()


def main() -> None:
    report = asyncio.run(migrate_agent_data(sys.argv[2], Path(sys.argv[1])))
    for table in report.tables:
        print(f"{table.name}: {table.imported} imported, {table.known} there already, {table.refused} refused")


main()
