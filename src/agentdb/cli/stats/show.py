"""What `agentdb stats` looks like in a terminal; in a pipe, one line for each thing, so that grep finds it whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer
from rich.table import Table
from rich.text import Text

from agentdb.cli import output
from agentdb.cli.chart import chart, stacked_chart
from agentdb.cli.output import say
from agentdb.cli.stats.figures import STATUSES, Figures, Metric
from agentdb.cli.stats.texts import NOTHING, dollars, duration, number, rate, size
from agentdb.security.access_log import on_one_line

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from agentdb.models import ExecutionReport, ExecutionStats, ToolStats

__all__ = ["show", "show_metric"]

_MOST_TOOLS: Final = 10
_MOST_TYPES: Final = 10
_MOST_TABLES: Final = 6
_MARKS: Final = dict(zip(STATUSES, "▒░▓█·", strict=True))
_COLOURS: Final = dict(zip(STATUSES, ("red", "yellow", "magenta", "green", "cyan"), strict=True))
_LABELS: Final = 12
"""Characters beside a chart's columns, at most."""
_PIPE: Final = 10_000


def show(found: Figures) -> None:
    """Print all that there is; of what is not there, only that no execution started."""
    console = output.results()
    columns = console.width
    if not console.is_terminal:
        console.width = _PIPE
    if found.report.total.executions:
        _show_over_time(console, found, columns)
        _show_agents(console, found.report)
    else:
        say(f"No execution started in the last {found.hours:g} hours.")
    _show_tools(console, found)
    _show_failures(console, found)
    _show_memories(console, found)
    _show_tables(console, found)
    if not (found.report.total.executions or found.memories):
        say("Nothing is stored for this organization yet: `agentdb demo` shows an agent at work.")


def show_metric(found: Metric) -> None:
    """Print a metric's figures and its averages as a chart."""
    console = output.results()
    columns = console.width
    if not console.is_terminal:
        console.width = _PIPE
    if found.summary is None:
        say(f"{found.agent} recorded no {found.series.name} in the last {found.hours:g} hours.")
        if found.others:
            say(f"It recorded {', '.join(found.others)}.")
        return
    summary = found.summary
    values = (summary.avg, summary.min, summary.max, summary.p50, summary.p95, summary.last)
    names = ("metric", "points", "average", "least", "most", "p50", "p95", "last", "unit")
    _print_rows(console, names, [(summary.name, f"{summary.count:,}", *map(number, values), summary.unit)])
    buckets = found.series.buckets[-_most_columns(columns, width=1) :]
    averages = [bucket.avg for bucket in buckets]
    known = [value for value in averages if value is not None]
    bottom, top = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    width = _column_width(columns, len(buckets))
    console.print()
    console.print(Text(f"average of each {found.series.bucket}", style="dim"))
    for line in chart(averages, top=top, bottom=bottom, width=width, gap=0):
        console.print(Text(line), no_wrap=True, crop=True)
    _print_times(console, line, buckets[0].start, buckets[-1].start)


def _show_over_time(console: Console, found: Figures, columns: int) -> None:
    shown = found.over_time[-_most_columns(columns, width=1) :]
    lines = stacked_chart([span.counts for span in shown], _MARKS, width=_column_width(columns, len(shown)))
    used = [status for status in STATUSES if any(span.counts[status] for span in shown)]
    console.print(Text(f"executions started in each {found.bucket}", style="dim"))
    for line in lines:
        console.print(_coloured(line), no_wrap=True, crop=True)
    _print_times(console, lines[-1], shown[0].start, shown[-1].start)
    console.print(_coloured("  ".join(f"{_MARKS[status]} {status}" for status in used)), no_wrap=True, crop=True)
    console.print()


def _most_columns(columns: int, *, width: int) -> int:
    return max(1, (columns - _LABELS) // width)


def _column_width(columns: int, count: int) -> int:
    return 2 if count <= _most_columns(columns, width=2) else 1


def _coloured(line: str) -> Text:
    text = Text(line)
    for status, mark in _MARKS.items():
        text.highlight_words([mark], style=_COLOURS[status])
    return text


def _print_times(console: Console, axis: str, first: datetime, last: datetime) -> None:
    """Print below a chart's axis when it begins and ends."""
    start = axis.index("└") + 1
    left, right = (f"{moment:%m-%d %H:%M}" for moment in (first, last))
    room = len(axis) - start - len(left) - len(right)
    times = f"{left}{' ' * room}{right} UTC" if room > 0 else f"{left} UTC"
    console.print(Text(" " * start + times, style="dim"), no_wrap=True, crop=True)


def _show_agents(console: Console, report: ExecutionReport) -> None:
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
        rate(stats.success_rate, stats.success_interval),
        *(duration(each) for each in (stats.p50_ms, stats.p95_ms, stats.p99_ms)),
        f"{stats.usage.total:,}",
        dollars(stats.cost, is_part=stats.unpriced > 0),
    )


def _show_tools(console: Console, found: Figures) -> None:
    tools = [tool for tool in found.tools.tools if tool.calls]
    if not tools:
        return
    failing = {tool.name for tool in found.tools.failing}
    console.print()
    rows = [_tool_row(tool, "failing" if tool.name in failing else "") for tool in tools[:_MOST_TOOLS]]
    _print_rows(console, ("tool", "calls", "success", "p50", "p95", ""), rows)
    _say_rest(len(tools) - _MOST_TOOLS)


def _tool_row(tool: ToolStats, note: str) -> tuple[str, ...]:
    times = (duration(tool.p50_ms), duration(tool.p95_ms))
    return tool.name, f"{tool.calls:,}", rate(tool.success_rate, tool.success_interval), *times, note


def _show_failures(console: Console, found: Figures) -> None:
    if found.failures:
        console.print()
    for failure in found.failures:
        agent = found.names.get(failure.agent_id, failure.agent_id)
        lines = ("(encrypted)" if failure.error is None else failure.error).strip().splitlines()
        said = ": ".join(part for part in (failure.error_type, lines[0] if lines else "") if part)
        line = f"{failure.started_at:%Y-%m-%d %H:%M:%S} {agent} failed: {said or 'it does not say why'}"
        console.print(Text(on_one_line(line)), no_wrap=True, overflow="ellipsis", crop=True)


def _show_memories(console: Console, found: Figures) -> None:
    if not found.memories:
        return
    console.print()
    rows = [
        (f"{each.agent}, {each.type}", *(f"{count:,}" if count else NOTHING for count in each[2:]))
        for each in found.memories[:_MOST_TYPES]
    ]
    _print_rows(console, ("memories of", "living", "embedded", "sensitive"), rows)
    _say_rest(len(found.memories) - _MOST_TYPES)


def _show_tables(console: Console, found: Figures) -> None:
    if not (found.memories or found.report.total.executions):
        return
    console.print()
    rows = [
        (table.name, f"{table.rows:,}" if table.rows else NOTHING, size(table.size_bytes))
        for table in found.tables[:_MOST_TABLES]
    ]
    _print_rows(console, ("table, of all organizations", "rows, about", "size"), rows)


def _say_rest(count: int) -> None:
    if count > 0:
        typer.echo(f"and {count:,} more; --json has them all")


def _print_rows(console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the terminal is too narrow for it, a line for each number."""
    rows = [[on_one_line(value) for value in row] for row in rows]  # names are what others have chosen
    table = _table(names, rows)
    if console.measure(table, options=console.options.update(width=_PIPE)).maximum <= console.width:
        console.print(table)
        return
    for first, *rest in rows:
        console.print(Text(first, style="bold"), overflow="fold")
        for name, value in zip(names[1:], rest, strict=True):
            if value:
                console.print(Text(f"  {name} {value}"), overflow="fold")


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
