"""`agentdb doctor`: one line per check, and what to do where one fails."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from agentdb.cli.checks import Check

__all__ = ["doctor"]

_MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "failed": "[red]✗[/red]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False) -> None:
    """Check versions, settings, connection, tables and row-level security; exit status 1 if something is wrong."""
    found = asyncio.run(_examine(as_json))
    if any(check.state == "failed" for check in found):
        raise typer.Exit(1)


async def _examine(as_json: bool) -> list[Check]:
    from agentdb.cli.checks import examine
    from agentdb.cli.output import print_json, results

    console = results()
    if not console.is_terminal:
        console.width = 10_000  # one line per check, so that grep finds it whole
    found = []
    async for check in examine():
        found.append(check)
        if not as_json:
            console.print(_line(check))
    if as_json:
        print_json({"checks": [asdict(check) for check in found]})
    return found


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
