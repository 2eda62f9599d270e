"""`agentdb audit`: who did what in the organization, and whether the log of it is still what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentdb.cli.options import AsJson, agent_option
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.models import AccessEntry, Audit

__all__ = ["app"]

app: Final = typer.Typer(no_args_is_help=True)


@app.callback()
def audit() -> None:
    """
    See who did what, and whether that log is intact.

    Of the access log of the organization, which is kept in the database with AGENTDB_ACCESS_LOG=1.

    Examples:
        agentdb audit verify
        agentdb audit list --since 2026-11-28 --failed
    """


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="POSITION:HEX", help="Where the log ended at some time, as this command printed it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Check that no entry of the log was changed.

    Recomputes its chain; exit status 1 if an entry was changed, deleted, inserted or moved.

    Keep the head that it prints somewhere else and give it to the next run: only that shows whether the newest entries
    were deleted, or the whole chain was recomputed.

    Examples:
        agentdb audit verify
        agentdb audit verify --head "$(cat head.txt)" --json
    """
    found = asyncio.run(_verify(head, shows_progress=not as_json))
    if as_json:
        from agentdb.cli.output import print_json

        print_json(found.model_dump())
    else:
        _print_audit(found)
    if not found.is_intact:
        raise typer.Exit(1)


async def _verify(head: str | None, *, shows_progress: bool) -> Audit:
    from agentdb import PrismaAgentClient
    from agentdb.cli.output import progress

    async with PrismaAgentClient() as client:
        console = progress()
        if not shows_progress or not console.is_terminal:
            return await client.verify_access_log(head)
        with console.status("reading the access log") as status:
            return await client.verify_access_log(
                head, progress=lambda count: status.update(f"reading the access log: {count:,} entries")
            )


def _print_audit(found: Audit) -> None:
    for problem in found.problems:
        say(problem)
    if found.unchained:
        typer.echo(f"{found.unchained:,} entries have no place yet: somebody else is chaining; run it again")
    state = "intact" if found.is_intact else "NOT intact"
    typer.echo(f"{found.entries:,} entries, {state}; the head is {found.head}")


@app.command("list")
def list_(
    agent: Annotated[str | None, agent_option("Only what this agent did.")] = None,
    user: Annotated[str | None, typer.Option(help="Only what was done on behalf of this one.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only calls of this, for example memories.delete.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what began then or later: 2026-11-28, 2026-11-28T10:00Z.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what ended with an error.")] = False,
    limit: Annotated[int, typer.Option(help="Most entries, 1 to 1000.")] = 50,
    as_json: AsJson = False,
) -> None:
    """
    Show who did what, newest first.

    Examples:
        agentdb audit list --agent scout --limit 100
        agentdb audit list --operation memories.delete --since 2026-11-28 --json
    """
    entries = asyncio.run(_list(agent, user, operation, since, failed or None, limit))
    if as_json:
        from agentdb.cli.output import print_json

        print_json({"entries": [_plain(entry) for entry in entries]})
    else:
        _print_entries(entries)


async def _list(
    agent: str | None, user: str | None, operation: str | None, since: str | None, failed: bool | None, limit: int
) -> Sequence[AccessEntry]:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id

    start = None if since is None else _moment(since)
    async with PrismaAgentClient() as client:
        agent_id = await find_agent_id(client, agent, may_be_gone=True)
        return await client.access_log.list(
            agent_id=agent_id, user=user, operation=operation, since=start, failed=failed, limit=limit
        )


def _moment(text: str) -> datetime:
    from agentdb.errors import InvalidInputError

    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError("--since", "expected a date or a time, as in 2026-11-28T10:00Z.") from None


def _plain(entry: AccessEntry) -> dict[str, object]:
    hashes = {name: value and value.hex() for name, value in (("digest", entry.digest), ("chain", entry.chain))}
    return entry.model_dump(mode="json", exclude={"digest", "chain"}) | hashes


def _print_entries(entries: Sequence[AccessEntry]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agentdb.cli.output import results

    if not entries:
        typer.echo("No entry. AGENTDB_ACCESS_LOG=1 keeps the access log in the database.")
        return
    console = results()
    if not console.is_terminal:
        console.width = 10_000  # one line per entry, so that grep finds it whole
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("at", "agent", "user", "operation", "rows", "ms", "outcome"):
        table.add_column(name, justify="right" if name in ("rows", "ms") else "left", no_wrap=name == "at")
    for entry in entries:
        table.add_row(*map(Text, _cells(entry)))
    console.print(table)


def _cells(entry: AccessEntry) -> tuple[str, ...]:
    from agentdb.security.access_log import on_one_line

    return (
        f"{entry.at:%Y-%m-%d %H:%M:%S}",
        on_one_line(entry.agent_id or "-"),
        on_one_line(entry.user_name or "-"),
        on_one_line(entry.operation),
        "-" if entry.row_count is None else f"{entry.row_count:,}",
        "-" if entry.duration_ms is None else f"{entry.duration_ms:.1f}",
        on_one_line(entry.outcome),
    )
