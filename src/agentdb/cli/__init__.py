"""
The command line: arguments in, text out.

Each command calls one library function. Results go to stdout, progress and errors to stderr. The exit status is 0 when
it is done, 1 when it failed, 2 when it was used wrongly: arguments, or settings such as a missing ORGANIZATION_ID; 130
when Ctrl-C ended it. With --json, stdout is one JSON document: the result, or why there is none, as in
``{"error": {"type": "ConnectionFailedError", "message": "…"}}``; it is empty where the arguments were wrong, and after
Ctrl-C.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run `agentdb` with the process's arguments and end the process."""
    try:  # here, so that importing the package costs nothing
        from agentdb.cli.app import run
        from agentdb.cli.output import spell_out
    except KeyboardInterrupt:
        sys.exit(130)

    for stream in (sys.stdout, sys.stderr):
        spell_out(stream)
    sys.exit(run(sys.argv[1:]))
