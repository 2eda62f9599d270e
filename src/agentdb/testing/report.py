"""
What a failed test's agents have recorded, as the section of its report.

It is gathered on the test's own event loop while the test's client still stands, so that what it holds in memory is in
it, too. Texts of tasks, errors and logs are shown, cut, but not where the client encrypts them; what memories say is
never shown. Whatever goes wrong here, the test's own report stays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.security.access_log import on_one_line

if TYPE_CHECKING:
    from agentdb import Execution, ExecutionTree, PrismaAgentClient, Step
    from agentdb.testing.stage import Stage

__all__ = ["LastMetric", "recorded", "report_lines"]

_SECONDS: Final = 5.0
_MOST_EXECUTIONS: Final = 20
_MOST_METRICS: Final = 10
_MOST_LINES: Final = 60
_MOST_CHARACTERS: Final = 120
_AGENTS: Final = "SELECT id, name FROM agents WHERE organization_id = $1"
_METRICS: Final = f"""
SELECT * FROM (
    SELECT DISTINCT ON (agent_id, name) agent_id, name, value, unit, recorded_at
    FROM agent_metrics WHERE organization_id = $1 ORDER BY agent_id, name, recorded_at DESC
) AS last ORDER BY recorded_at DESC LIMIT {_MOST_METRICS}
"""


class LastMetric(NamedTuple):
    """The last point of a metric."""

    agent_id: str
    name: str
    value: float
    unit: str


def recorded(stage: Stage) -> str:
    """
    Return what the organization of *stage* holds of executions and metrics, as text; empty if that is nothing.

    To be called between the parts of a test, when its event loop rests. Never raises: what went wrong is the text.
    """
    if stage.loop.is_closed() or stage.loop.is_running():
        return ""
    stage.end_failures()
    try:
        return stage.loop.run_until_complete(asyncio.wait_for(_recorded(stage.client), _SECONDS))
    except Exception as error:  # the test has failed already, and says more than this would
        return f"what was recorded cannot be read: {type(error).__name__}: {_cut(str(error))}"


async def _recorded(client: PrismaAgentClient) -> str:
    async with client:  # opens it again if the test has closed it; one that is open stays so
        await client.gathering.settle()
        driver, organization = client.inner_driver, (client.organization_id,)
        executions = await client.executions.list(limit=_MOST_EXECUTIONS, must_open=False)
        known = {execution.id for execution in executions}
        roots = [execution for execution in reversed(executions) if execution.parent_id not in known]
        trees = [await client.executions.tree(execution.id) for execution in roots]
        names = {row["id"]: row["name"] for row in await driver.fetch(_AGENTS, organization)}
        metrics = [LastMetric(*row[:4]) for row in await driver.fetch(_METRICS, organization)]
    shows_texts = "executions" not in client.settings.encrypt
    return "\n".join(report_lines(trees, metrics, names, shows_texts=shows_texts))


def report_lines(
    trees: Sequence[ExecutionTree], metrics: Sequence[LastMetric], names: Mapping[str, str], *, shows_texts: bool
) -> list[str]:
    """
    Return the report.

    Args:
        trees: Executions, oldest first.
        metrics: The last point of each metric.
        names: Agents' names by their ids.
        shows_texts: Whether tasks, errors and what was logged are shown.

    Returns:
        At most 61 lines of at most some 200 characters; the last says so if there would be more.
    """
    lines = [line for tree in trees for line in _tree_lines(tree, names, "", shows_texts=shows_texts)]
    lines += [_metric_line(metric, names) for metric in metrics]
    rest = len(lines) - _MOST_LINES
    return lines if rest <= 0 else [*lines[:_MOST_LINES], f"… and {rest} lines more"]


def _tree_lines(tree: ExecutionTree, names: Mapping[str, str], indent: str, *, shows_texts: bool) -> Iterator[str]:
    execution = tree.execution
    yield indent + _execution_line(execution, names, shows_texts=shows_texts)
    inside = f"{indent}  "
    steps = ((step.at, [inside + _step_line(step, shows_texts=shows_texts)]) for step in tree.steps)
    children = (
        (child.execution.started_at, list(_tree_lines(child, names, inside, shows_texts=shows_texts)))
        for child in tree.children
    )
    for _, lines in sorted([*steps, *children]):
        yield from lines


def _execution_line(execution: Execution, names: Mapping[str, str], *, shows_texts: bool) -> str:
    parts = [f"{execution.status} {on_one_line(names.get(execution.agent_id, execution.agent_id))}"]
    if execution.kind:
        parts.append(on_one_line(execution.kind))
    if execution.duration_ms is not None:
        parts.append(f"{execution.duration_ms:.1f} ms")
    line = ", ".join(parts)
    if shows_texts and execution.task is not None:
        line += f": {_cut(execution.task)}"
    return line + _error(execution.error_type, execution.error, shows_texts=shows_texts)


def _step_line(step: Step, *, shows_texts: bool) -> str:
    line = f"{step.kind} {on_one_line(step.name)}"
    if step.success is not None:
        line += " ok" if step.success else " failed"
    if step.duration_ms is not None:
        line += f", {step.duration_ms:.1f} ms"
    if step.kind == "log":
        return f"{line}: {_cut(step.message)}" if shows_texts else line
    return line + _error(step.error_type, step.message, shows_texts=shows_texts)


def _metric_line(metric: LastMetric, names: Mapping[str, str]) -> str:
    agent = names.get(metric.agent_id, metric.agent_id)
    return on_one_line(f"metric {agent} {metric.name} = {metric.value:g} {metric.unit}".rstrip())


def _error(kind: str | None, text: str | None, *, shows_texts: bool) -> str:
    said = [each for each in (kind, _cut(text) if text and shows_texts else None) if each]
    return f" -> {': '.join(said)}" if said else ""


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = on_one_line(text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
