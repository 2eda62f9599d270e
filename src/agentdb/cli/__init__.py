"""
The command line: arguments in, text out.

Each command calls one library function. Results go to stdout, progress and errors to stderr. The exit status is 0 when
it is done, 1 when it failed, 2 when it was used wrongly: arguments, or settings such as a missing ORGANIZATION_ID.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run `agentdb` with the process's arguments and end the process."""
    from agentdb.cli.app import run  # here, so that importing the package costs nothing

    sys.exit(run(sys.argv[1:]))
