"""`agentdb sweep`: what has expired and what is too much, deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentdb.client.memories import Swept

__all__ = ["sweep"]


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing, only count.")] = False,
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Only this agent's memories.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """
    Delete the organization's expired memories, and of agents with a limit the least valuable of what is too much.

    Searches never find what has expired; this makes room. Run it now and then, once a day for example.
    """
    from agentdb.cli.output import print_json

    swept = asyncio.run(_sweep(agent, dry_run))
    if as_json:
        print_json({**swept._asdict(), "dry_run": dry_run})
        return
    would = "would delete" if dry_run else "deleted"
    typer.echo(f"{would} {swept.expired:,} expired, {swept.surplus:,} beyond the limit of their agents")


async def _sweep(agent: str | None, dry_run: bool) -> Swept:
    from agentdb import PrismaAgentClient

    async with PrismaAgentClient() as client:
        return await client.memories.sweep(agent_id=agent, dry_run=dry_run)
