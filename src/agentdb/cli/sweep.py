"""`agentdb sweep`: the upkeep of an organization's data, all of it in one command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agentdb.cli.options import AsJson, DryRun, agent_option
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["sweep"]

_FAILED = 1
_LONGEST_DAYS = 36_500

Counts: TypeAlias = Mapping[str, int]
_Part: TypeAlias = Callable[["PrismaAgentClient"], Awaitable[Counts]]


@dataclass(frozen=True)
class _Wanted:
    """What is to be done."""

    agent: str | None
    executions_days: float | None
    metrics_days: float | None
    rollups_days: float | None
    dry_run: bool


@dataclass
class _Outcome:
    """What was counted, part by part, and why a part failed."""

    counts: dict[str, Counts] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def sweep(
    dry_run: DryRun = False,
    agent: Annotated[str | None, agent_option("Only this agent's memories, and nothing else.")] = None,
    executions_days: Annotated[
        float | None, typer.Option(metavar="N", help="Delete executions that ended so many days ago, with their steps.")
    ] = None,
    metrics_days: Annotated[
        float | None, typer.Option(metavar="N", help="Delete points of metrics so many days old; rolled up hours stay.")
    ] = None,
    rollups_days: Annotated[
        float | None, typer.Option(metavar="N", help="Delete rolled up hours of metrics so many days old.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Keep the organization's data up; run it once an hour.

    Deletes expired memories, and of agents with a limit the least valuable of what is too much. Ends executions whose
    process was killed. Rolls up hours of metrics. Deletes old executions and metrics where a number of days is given.
    What fails keeps nothing else from being done; exit status 1 then.

    Examples:
        agentdb sweep
        agentdb sweep --executions-days 90 --metrics-days 30 --dry-run
    """
    from agentdb.cli.output import print_json

    wanted = _Wanted(agent, executions_days, metrics_days, rollups_days, dry_run)
    _refuse_nonsense(wanted)
    outcome = asyncio.run(_sweep(wanted))
    if as_json:
        everything = {name: count for part in outcome.counts.values() for name, count in part.items()}
        print_json({**everything, "dry_run": dry_run, "errors": outcome.errors})
    else:
        for name, counts in outcome.counts.items():
            typer.echo((_PLANNED if dry_run else _DONE)[name].format(**counts))
    for name, reason in outcome.errors.items():
        say(f"agentdb: {_WHAT[name]} failed: {reason}", err=True)
    if outcome.errors:
        raise typer.Exit(_FAILED)


_WHAT = {
    "memories": "sweeping memories",
    "abandoned": "ending abandoned executions",
    "executions": "deleting executions",
    "roll_up": "rolling up metrics",
    "metrics": "deleting metrics",
}
_DONE = {
    "memories": "memories: deleted {expired:,} expired, {surplus:,} beyond the limit of their agents",
    "abandoned": "executions: ended {abandoned:,} as abandoned",
    "executions": "executions: deleted {executions:,}, and {calls:,} calls of tools outside of one",
    "roll_up": "metrics: rolled up {hours:,} hours, and {renewed:,} again",
    "metrics": "metrics: deleted {points:,} points and {rollups:,} hours",
}
_PLANNED = {name: text.replace("deleted", "would delete").replace("ended", "would end") for name, text in _DONE.items()}


def _refuse_nonsense(wanted: _Wanted) -> None:
    """Raise InvalidInputError for options that cannot be meant, before anything is done."""
    from agentdb.errors import InvalidInputError
    from agentdb.validation import check_number

    days = {
        "--executions-days": wanted.executions_days,
        "--metrics-days": wanted.metrics_days,
        "--rollups-days": wanted.rollups_days,
    }
    for name, number in days.items():
        if number is None:
            continue
        check_number(number, name, 0, _LONGEST_DAYS)
        if wanted.agent is not None:
            raise InvalidInputError(name, "does not go with --agent, which sweeps that agent's memories alone.")
    if wanted.rollups_days is not None and wanted.rollups_days < (wanted.metrics_days or 0):
        raise InvalidInputError("--rollups-days", "is less than --metrics-days: hours outlive their points.")


async def _sweep(wanted: _Wanted) -> _Outcome:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id
    from agentdb.errors import AgentDBError, ConfigurationError, InvalidInputError

    outcome = _Outcome()
    async with PrismaAgentClient() as client:
        wanted = replace(wanted, agent=await find_agent_id(client, wanted.agent))
        for name, part in _parts(wanted).items():
            try:
                outcome.counts[name] = await part(client)
            except (ConfigurationError, InvalidInputError):  # wrong use, not a part that failed
                raise
            except AgentDBError as error:
                outcome.errors[name] = str(error)
    return outcome


def _parts(wanted: _Wanted) -> dict[str, _Part]:
    """Return what is to be done, in the order in which it is."""
    dry_run = wanted.dry_run

    async def memories(client: PrismaAgentClient) -> Counts:
        return (await client.memories.sweep(agent_id=wanted.agent, dry_run=dry_run))._asdict()

    async def abandoned(client: PrismaAgentClient) -> Counts:
        return {"abandoned": await client.executions.sweep_abandoned(dry_run=dry_run)}

    async def executions(client: PrismaAgentClient) -> Counts:
        assert wanted.executions_days is not None  # else it is no part
        return (await client.executions.retain(wanted.executions_days, dry_run=dry_run))._asdict()

    async def roll_up(client: PrismaAgentClient) -> Counts:
        return (await client.metrics.roll_up())._asdict()

    async def metrics(client: PrismaAgentClient) -> Counts:
        retained = await client.metrics.retain(
            points_days=wanted.metrics_days, rollups_days=wanted.rollups_days, dry_run=dry_run
        )
        return retained._asdict()

    parts: dict[str, _Part] = {"memories": memories}
    if wanted.agent is not None:
        return parts
    parts["abandoned"] = abandoned
    if wanted.executions_days is not None:
        parts["executions"] = executions
    if not dry_run:  # it deletes nothing, and what it would do is not known before it is done
        parts["roll_up"] = roll_up
    if wanted.metrics_days is not None or wanted.rollups_days is not None:
        parts["metrics"] = metrics
    return parts
