"""What the demo looks like in a terminal: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from agentdb.cli.chart import chart
from agentdb.cli.output import progress as progress_console
from agentdb.cli.output import results, shorten_path
from agentdb.cli.stats.texts import number
from agentdb.postgres.embedded import default_data_dir
from agentdb.postgres.url import parse_url

if TYPE_CHECKING:
    from agentdb import (
        Choice,
        ExecutionStats,
        Finding,
        MetricSummary,
        PrismaAgentClient,
        Settings,
        ToolOverview,
        ToolStats,
    )
    from agentdb.cli.demo.agent import Question
    from agentdb.cli.demo.exam import Outcome

__all__ = ["Show"]

_LINE_EVERY = 1000
_PARTS = ("lexical", "semantic", "recency", "importance")


class Show:
    """Prints what the agent does."""

    def __init__(self) -> None:
        self._results = results()
        self._console = progress_console()
        self._progress: Progress | None = None
        self._printed = 0
        self._parts = 0

    def heading(self, text: str) -> None:
        """Begin the next part."""
        self._parts += 1
        self._results.print(f"\n[bold cyan]{self._parts}[/bold cyan]  [bold]{text}[/bold]")

    async def database(self, client: PrismaAgentClient, settings: Settings) -> None:
        """Say where the data lives and who may see it."""
        health = await client.health_check()
        if settings.is_embedded:
            place = f"embedded, its data in {shorten_path(settings.data_dir or default_data_dir())}"
        else:
            place = parse_url(settings.database_url or "").masked()
        version = health.server_version.split()[0]
        guard = "row-level security" if health.tenancy == "row-level-security" else "the client alone"
        lines = Table.grid(padding=(0, 2))
        lines.add_row("   database", Text(f"PostgreSQL {version}, {place}"))
        lines.add_row("   organization", Text(f"{client.organization_id}, kept apart by {guard}"))
        lines.add_row("   embeddings", "of spelling, not of meaning (SpellingEmbedder: no model, no download)")
        self._results.print("[bold]agentdb demo[/bold]: an agent with a memory in PostgreSQL\n")
        self._results.print(lines)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that something takes a moment."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(text):
            yield

    # -- reading

    def progress(self) -> AbstractContextManager[object]:
        """Show a bar while the block runs; plain lines when stderr is no terminal."""
        self._progress = Progress(
            TextColumn("  "),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._progress.add_task("", total=None, text="")
        return self._progress

    def watch(self, done: int, modules: int, docstrings: int) -> None:
        """Move the bar."""
        text = f"{done}/{modules} modules, {docstrings:,} docstrings"
        if self._console.is_terminal:
            assert self._progress is not None
            self._progress.update(self._progress.task_ids[0], completed=done, total=modules, text=text)
        elif docstrings - self._printed >= _LINE_EVERY:
            self._printed = docstrings
            self._console.print(text)

    def read(self, result: Mapping[str, Any]) -> None:
        """Print what reading came to."""
        self._results.print(
            f"   {result['docstrings']:,} docstrings read in {result['seconds']:.1f} s: "
            f"[bold]{result['new']:,} new[/bold], {result['known']:,} already known"
        )

    # -- answering

    def score(self) -> None:
        """Say what the numbers are that `answer` prints."""
        text = "score = mean of lexical (words) and semantic (here: spelling), moved by recency and importance"
        self._results.print(Padding(f"[dim]{text}[/dim]", (0, 0, 1, 3), expand=False))
        self._results.print(f"   [dim]score  {'  '.join(_PARTS)}[/dim]")

    def answer(self, question: Question, result: Mapping[str, Any]) -> None:
        """Print a question and what memory has of it: scores, their parts, what and what it says."""
        line = Text.assemble("   ", (question.question, "italic"))
        if question.where:
            line.append(f"  where={json.dumps(question.where)}", "cyan")
        self._results.print(line)
        hits: Sequence[Mapping[str, Any]] = result["hits"]
        if not hits:
            self._results.print("   nothing (has it read yet? `agentdb demo` without --ask makes it read)")
            return
        for hit in hits:
            self._results.print(_hit(hit), no_wrap=True, overflow="ellipsis")
        worded = result["by_words_alone"]
        if worded != hits[0]["name"]:
            self._results.print(f"          [dim]words alone would find {worded or 'nothing'}[/dim]")

    # -- examining

    def watch_exams(self, exams: int, choice: Choice) -> None:
        """Move the bar."""
        likely = choice.probability_best
        text = f"{exams} exams, the best prompt known with {max(likely.values()):.0%}"
        if self._console.is_terminal:
            assert self._progress is not None
            self._progress.update(self._progress.task_ids[0], text=text)

    def experiment(self, outcome: Outcome) -> None:
        """Print how the prompts did, how it went on, and what recognition found by itself."""
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("  prompt")
        for name in ("trials", "passed", "confidence", "likely the best"):
            table.add_column(name, justify="right")
        for variant in outcome.variants:
            likely = outcome.last.probability_best.get(variant.id, 0.0)
            counts = f"{variant.trials:,.0f}", f"{variant.successes:,.0f}"
            table.add_row(f"  {variant.name}", *counts, f"{variant.confidence:.2f}", f"{likely:.0%}")
        self._results.print(table)
        best = outcome.variants[0].name
        settled = f"settled: [bold]{best}[/bold]" if outcome.last.settled else "not settled yet"
        self._results.print(f"   {settled} after {outcome.exams} exams of this run\n")
        shares = [bucket.avg for bucket in outcome.series.buckets]
        self._results.print("   [dim]share of exams passed, 15 to a column, as if there had been one a minute[/dim]")
        for line in chart(shares, top=1.0):
            self._results.print(f"   {line}", highlight=False)
        for finding in outcome.findings[:1]:
            self._results.print(f"\n   [dim]recognized by itself:[/dim] {_found(finding)}")

    # -- reporting

    def figures(self, executions: Sequence[ExecutionStats], tools: ToolOverview) -> None:
        """Print how often tasks and tools succeeded, and how long they took."""
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("  agent or tool")
        for name in ("runs", "succeeded", "p50", "p95"):
            table.add_column(name, justify="right")
        for stats in executions:
            table.add_row(f"  {stats.agent_name}", f"{stats.executions:,}", *_rates(stats))
        for tool in tools.tools:
            table.add_row(f"  {tool.name}()", f"{tool.calls:,}", *_rates(tool))
        self._results.print(table)

    def metrics(self, summaries: Mapping[str, MetricSummary]) -> None:
        """Print what the metrics say."""
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("  metric")
        for name in ("points", "median", "p95", "last"):
            table.add_column(name, justify="right")
        table.add_column("unit")
        for name, summary in summaries.items():
            values = (number(value) for value in (summary.p50, summary.p95, summary.last))
            table.add_row(f"  {name}", f"{summary.count:,}", *values, summary.unit)
        self._results.print(table)

    def summary(self, counts: Mapping[str, int], times: Mapping[str, Sequence[float]]) -> None:
        """Print how much there is, and the median time of each operation."""
        rows = Table(box=None, padding=(0, 1), header_style="dim")
        rows.add_column("  rows")
        rows.add_column("", justify="right")
        for name, count in counts.items():
            rows.add_row(f"  {name}", f"{count:,}")
        operations = Table(box=None, padding=(0, 1), header_style="dim")
        operations.add_column("operation")
        operations.add_column("calls", justify="right")
        operations.add_column("median", justify="right")
        for name, taken in times.items():
            operations.add_row(name, str(len(taken)), f"{number(statistics.median(taken))} ms")
        both = Table.grid(padding=(0, 4))
        both.add_row(rows, operations)
        self._results.print(both)

    def next_steps(self, settings: Settings) -> None:
        """Print what to try next."""
        self._results.print("\n[bold]Next[/bold]")
        lines = Table.grid(padding=(0, 2))
        lines.add_row('   agentdb demo --ask "How do I create a ZIP archive?"', "[dim]ask it yourself[/dim]")
        lines.add_row("   agentdb doctor", "[dim]check the set-up[/dim]")
        if settings.is_embedded:
            lines.add_row('   psql "$(agentdb embedded url --admin)"', "[dim]look into the tables[/dim]")
        self._results.print(lines)
        source = Path(sys.modules[__name__].__file__ or "").with_name("agent.py")
        self._results.print(f"   [dim]The agent itself, to copy from:[/dim] {shorten_path(source)}", soft_wrap=True)


def _found(finding: Finding) -> str:
    name = f"{finding.name} = {finding.value}" if finding.factor != "tool" else f"the tool {finding.name}"
    if finding.measure == "success":
        values = f"{finding.typical:.0%} succeed, {finding.other_typical:.0%} of the others"
    else:
        values = f"{number(finding.typical)} ms, {number(finding.other_typical)} of the others"
    return f"with {name} {values} (p = {finding.adjusted_p_value:.1g})"


def _rates(stats: ExecutionStats | ToolStats) -> tuple[str, str, str]:
    rate = "-" if stats.success_rate is None else f"{stats.success_rate:.0%}"
    times = ("-" if time is None else f"{number(time)} ms" for time in (stats.p50_ms, stats.p95_ms))
    return rate, *times  # type: ignore[return-value]  # two of them


def _hit(hit: Mapping[str, Any]) -> Text:
    parts = "  ".join(f"{hit['parts'].get(name, 0):{len(name)}.2f}" for name in _PARTS)
    return Text.assemble(
        (f"   {hit['score']:5.2f}", "bold"),
        (f"  {parts}  ", "dim"),
        f"{hit['name']:<26}  ",
        (_says(hit["note"]), "dim"),
    )


def _says(note: str) -> str:
    """Return the beginning of what a note says, on one line."""
    return " ".join(note.partition("\n\n")[2].split())
