"""
`agentdb stats`: what the organization's agents did of late, how well, how fast and at what cost.

Read `figures.py`, what there is to show; `show.py`, what that looks like; `texts.py`, how numbers are written.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.options import AsJson, agent_option

if TYPE_CHECKING:
    from agentdb.cli.stats.figures import Figures

__all__ = ["stats"]


def stats(
    agent: Annotated[str | None, agent_option("Only this agent's executions, calls and memories.")] = None,
    hours: Annotated[float, typer.Option(help="Of so many last hours; 168 are a week.")] = 24,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this metric, as a chart; takes --agent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Show what agents did: how well, how fast, at what cost.

    Executions over time and by agent, with success, durations, tokens and cost; tools; the newest failures; memories by
    agent and type; the size of the tables. The success rate, with its interval, is of what completed, failed or was
    abandoned; durations are of what completed or failed. What failures say that are encrypted is left out where their
    key is missing.

    Examples:
        agentdb stats
        agentdb stats --agent scout --hours 168
        agentdb stats --agent scout --metric accuracy
        agentdb stats --json
    """
    if metric is not None:
        if agent is None:
            raise typer.BadParameter("it takes an --agent: a metric is of one agent.", param_hint="--metric")
        _metric(agent, metric, hours, as_json=as_json)
    else:
        _overview(agent, hours, as_json=as_json)


def _overview(agent: str | None, hours: float, *, as_json: bool) -> None:
    from agentdb.cli.output import print_json, say
    from agentdb.cli.stats.figures import find

    found = asyncio.run(find(agent, hours))
    if as_json:
        print_json(_document(found))
    else:
        from agentdb.cli.stats.show import show

        show(found)
    if any(failure.error is None for failure in found.failures):
        say("agentdb: what some failures say is encrypted with a key that AGENTDB_ENCRYPTION_KEYS lacks.", err=True)


def _metric(agent: str, name: str, hours: float, *, as_json: bool) -> None:
    from agentdb.cli.output import print_json
    from agentdb.cli.stats.figures import find_metric

    found = asyncio.run(find_metric(agent, name, hours))
    if as_json:
        summary = None if found.summary is None else found.summary.model_dump(mode="json")
        print_json({"hours": hours, "summary": summary, "series": found.series.model_dump(mode="json")})
    else:
        from agentdb.cli.stats.show import show_metric

        show_metric(found)


def _document(found: Figures) -> dict[str, object]:
    fields = {"id", "agent_id", "kind", "started_at", "finished_at", "error_type", "error"}
    return {
        "hours": found.hours,
        "total": found.report.total.model_dump(mode="json"),
        "agents": [each.model_dump(mode="json") for each in found.report],
        "over_time": [{"start": bucket.start.isoformat(), **bucket.counts} for bucket in found.over_time],
        "tools": [each.model_dump(mode="json") for each in found.tools.tools if each.calls],
        "never_used": found.tools.never_used,
        "failing": [each.name for each in found.tools.failing],
        "failures": [each.model_dump(mode="json", include=fields) for each in found.failures],
        "memories": [each._asdict() for each in found.memories],
        "tables": [each._asdict() for each in found.tables],
    }
