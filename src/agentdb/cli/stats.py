"""`agentdb stats`: what the organization's agents did of late, how well, how fast and at what cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from agentdb.models import Execution, ExecutionReport, ExecutionStats, ToolOverview, ToolStats

__all__ = ["stats"]

_MOST_FAILURES = 5
_MOST_TOOLS = 10
_NOTHING = "-"


@dataclass(frozen=True)
class _Found:
    """What there is to show."""

    hours: float
    report: ExecutionReport
    names: dict[str, str]
    tools: ToolOverview
    failures: Sequence[Execution]


def stats(
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Only this agent's executions and calls.")] = None,
    hours: Annotated[float, typer.Option(help="Of the last hours.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """
    Show what agents did: executions, success with its interval, durations, tokens, cost; tools; the newest failures.

    The success rate is of what completed, failed or was abandoned, durations are of what completed or failed. What
    failures say that are encrypted is left out where their key is missing.
    """
    from agentdb.cli.output import say

    found = asyncio.run(_find(agent, hours))
    if as_json:
        _print_json(found)
    else:
        _print(found)
    if any(failure.error is None for failure in found.failures):
        say("agentdb: what some failures say is encrypted with a key that AGENTDB_ENCRYPTION_KEYS lacks.", err=True)


async def _find(agent: str | None, hours: float) -> _Found:
    from agentdb import PrismaAgentClient

    async with PrismaAgentClient() as client:
        report = await client.executions.stats(agent, hours=hours)
        since = datetime.now(UTC) - timedelta(hours=hours)
        tools = await client.tools.overview(agent_id=agent, since=since)
        failures = await client.executions.list(
            agent, status="failed", since=since, limit=_MOST_FAILURES, must_open=False
        )
    names = {each.agent_id: each.agent_name for each in report if each.agent_id and each.agent_name}
    return _Found(hours, report, names, tools, failures)


def _print_json(found: _Found) -> None:
    from agentdb.cli.output import print_json

    fields = {"id", "agent_id", "kind", "started_at", "finished_at", "error_type", "error"}
    print_json(
        {
            "hours": found.hours,
            "total": found.report.total.model_dump(mode="json"),
            "agents": [each.model_dump(mode="json") for each in found.report],
            "tools": [each.model_dump(mode="json") for each in found.tools.tools if each.calls],
            "never_used": found.tools.never_used,
            "failing": [each.name for each in found.tools.failing],
            "failures": [each.model_dump(mode="json", include=fields) for each in found.failures],
        }
    )


def _print(found: _Found) -> None:
    from agentdb.cli.output import results

    console = results()
    if not console.is_terminal:
        console.width = 10_000  # one line per agent, so that grep finds it whole
    if found.report.total.executions:
        _print_agents(console, found.report)
    else:
        typer.echo(f"No execution started in the last {found.hours:g} hours.")
    used = [tool for tool in found.tools.tools if tool.calls]
    if used:
        console.print()
        _print_tools(console, used, {tool.name for tool in found.tools.failing})
    if found.failures:
        console.print()
        _print_failures(console, found)


def _print_agents(console: Console, report: ExecutionReport) -> None:
    names = ("agent", "executions", "success", "p50", "p95", "p99", "tokens", "cost")
    rows = [_agent_row(each, each.agent_name or each.agent_id or "") for each in report]
    if len(rows) > 1:
        rows.append(_agent_row(report.total, "all"))
    _print_rows(console, names, rows)
    if report.total.unpriced:
        typer.echo(
            f"{report.total.unpriced:,} with tokens have no cost: their model has no price. "
            "`client.prices.set(…)` gives it one."
        )


def _agent_row(stats: ExecutionStats, name: str) -> tuple[str, ...]:
    return (
        name,
        f"{stats.executions:,}",
        _rate(stats.success_rate, stats.success_interval),
        *(_duration(each) for each in (stats.p50_ms, stats.p95_ms, stats.p99_ms)),
        f"{stats.usage.total:,}",
        _dollars(stats.cost, is_part=stats.unpriced > 0),
    )


def _print_tools(console: Console, tools: Sequence[ToolStats], failing: set[str]) -> None:
    rows = [
        (
            tool.name,
            f"{tool.calls:,}",
            _rate(tool.success_rate, tool.success_interval),
            _duration(tool.p50_ms),
            _duration(tool.p95_ms),
            "failing" if tool.name in failing else "",
        )
        for tool in tools[:_MOST_TOOLS]
    ]
    _print_rows(console, ("tool", "calls", "success", "p50", "p95", ""), rows)
    if len(tools) > _MOST_TOOLS:
        typer.echo(f"and {len(tools) - _MOST_TOOLS:,} more; --json has them all")


def _print_failures(console: Console, found: _Found) -> None:
    from rich.text import Text

    for failure in found.failures:
        agent = found.names.get(failure.agent_id, failure.agent_id)
        lines = ("(encrypted)" if failure.error is None else failure.error).strip().splitlines()
        said = ": ".join(part for part in (failure.error_type, lines[0] if lines else "") if part)
        line = f"{failure.started_at:%Y-%m-%d %H:%M:%S} {agent} failed: {said or 'it does not say why'}"
        console.print(Text(line), no_wrap=True, overflow="ellipsis", crop=True)


def _print_rows(console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the terminal is too narrow for it, a line for each number."""
    from rich.text import Text

    table = _table(names, rows)
    if console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width:
        console.print(table)
        return
    for first, *rest in rows:
        console.print(Text(first, style="bold"), overflow="fold")
        for name, value in zip(names[1:], rest, strict=True):
            if value:
                console.print(Text(f"  {name} {value}"), overflow="fold")


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _rate(rate: float | None, interval: tuple[float, float] | None) -> str:
    if rate is None or interval is None:
        return _NOTHING
    low, high = (_percent(bound) for bound in interval)
    return f"{_percent(rate)} % ({low}-{high})"


def _percent(rate: float) -> str:
    """Return a share in percent, never rounded to all or nothing when it is not."""
    percent = round(100 * rate)
    return f"{min(max(percent, 1 if rate > 0 else 0), 99 if rate < 1 else 100)}"


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return _NOTHING
    if milliseconds < 999.5:
        return f"{milliseconds:.3g} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _dollars(cost: Decimal | None, *, is_part: bool) -> str:
    """Return an amount; ">=" where some of it is not known."""
    if cost is None:
        return _NOTHING
    if 0 < cost < Decimal("0.0001") and not is_part:
        return "< $0.0001"
    text = f"${cost:,.2f}" if cost >= 1 or not cost else f"${cost:.4f}"
    return f">= {text}" if is_part else text
