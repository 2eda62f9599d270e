"""
`agentdb doctor`: one line per check, and what to do where one fails.

Read `check.py`, what a check is; `examination.py`, which there are and in what order; `facts.py`, what the database
says, in a few round trips. Then, by subject: `installation.py`, `configuration.py`, `connection.py`, `structure.py`,
`tenancy.py`, `upkeep.py`: each check is a function from facts to a line.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from agentdb.cli.doctor.check import Check

__all__ = ["doctor", "print_check"]

_MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "failed": "[red]✗[/red]"}


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as failures.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Check the whole set-up, with a remedy for what is wrong.

    Versions, settings and where they come from, connection, TLS, clock, pool, extension, migrations, indexes and
    constraints, row-level security, keys, upkeep. It changes nothing that is stored, and prints no password, key or
    stored text. Exit status 1 if something fails; a warning is no failure.

    Examples:
        agentdb doctor
        agentdb doctor --strict
        agentdb doctor --json
    """
    found = asyncio.run(_examine(as_json))
    refused = {"failed", "warning"} if strict else {"failed"}
    if any(check.state in refused for check in found):
        raise typer.Exit(1)


async def _examine(as_json: bool) -> list[Check]:
    from agentdb.cli.doctor.examination import examine
    from agentdb.cli.output import print_json

    found = []
    async for check in examine():
        found.append(check)
        if not as_json:
            print_check(check)
    if as_json:
        print_json({"checks": [asdict(check) for check in found]})
    return found


def print_check(check: Check) -> None:
    """Print what was found, and below it what to do."""
    from agentdb.cli.output import results

    console = results()
    if not console.is_terminal:
        console.width = 10_000  # one line per check, so that grep finds it whole
    console.print(_line(check))


def _line(check: Check) -> Table:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=18)
    line.add_column(overflow="fold")
    line.add_row(_MARKS[check.state], check.name, Text(check.finding))
    if check.remedy:
        line.add_row("", "", Text(check.remedy, style="bold"))
    return line
