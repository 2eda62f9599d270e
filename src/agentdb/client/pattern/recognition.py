"""Finding, in recorded executions, what makes a difference: a tool, a model, a prompt variant or any other setting."""

from __future__ import annotations

import asyncio
import builtins
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.pattern.comparisons import Comparison, adjust, compare_order, compare_rates
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import NotFoundError
from agentdb.ids import keyed_uuid
from agentdb.models import Finding, from_row
from agentdb.moments import utc_now
from agentdb.validation import (
    check_count,
    check_flag,
    check_json,
    check_limit,
    check_number,
    check_text,
    check_time,
    parse_json,
)

if TYPE_CHECKING:
    from uuid import UUID

    from agentdb.postgres.driver import Record

__all__ = ["RECOGNIZED", "PatternRecognition", "found_among"]

RECOGNIZED: Final = "recognized"
"""The type of the patterns that `recognize` records."""

_SQL: Final = load_queries("recognition")
_WINDOW: Final = timedelta(days=30)
_MOST_TRIALS: Final = 10**9
_PLAIN: Final = re.compile(r"[\w./-]+")
_LONGEST_NAME: Final = 255
_NUMBERS: Final = (
    "trials", "successes", "other_trials", "other_successes", "counted", "other_counted", "typical", "other_typical",
    "effect", "interval", "p_value", "adjusted_p_value", "is_better",
)  # fmt: skip


class _Factor(NamedTuple):
    """What some executions have and others have not, as the database tells it; *value* is JSON."""

    agent_id: str
    kind: str
    factor: str
    name: str
    value: str | None


class PatternRecognition(Resource):
    """What of `client.patterns` finds out what makes a difference."""

    async def recognize(
        self,
        agent_id: str | None = None,
        *,
        since: datetime | None = None,
        min_trials: int = 20,
        false_discovery_rate: float = 0.05,
        limit: int = 100,
        record: bool = True,
    ) -> builtins.list[Finding]:
        """
        Find which tool, model or setting makes a difference in success, time or cost.

        Executions are compared with others of the same agent and the same kind of task, so that neither who does it nor
        what is to be done is mistaken for the factor. With a tool or without it; with a model, or with a setting's
        value, or with another one. Success is "completed" against "failed" and "abandoned"; time is that of completed
        executions, cost that of all whose cost is known. Rates are compared by the score test, time and cost by their
        order (Mann and Whitney); what is likely to be chance among so many comparisons is left out (Benjamini and
        Hochberg). A difference need not be an effect: a tool may be called where things have gone wrong already.

        What is found is recorded, per factor, as a pattern of the type "recognized" with these numbers for its content
        and the executions with the factor for its trials. Found again, the same pattern gets the new numbers; found no
        more, it keeps the old ones, and its content says when they were found.

        Args:
            agent_id: Only this agent's executions; None: all agents', each compared with its own.
            since: Only executions started then or later; a naive time is taken as UTC. None: the last 30 days.
            min_trials: So many executions there have to be with a factor, and as many without it; 1 or more.
            false_discovery_rate: The share of findings that may be chance, in [0.0001, 1].
            limit: Most findings to return and record, 1 to 1000.
            record: Whether to record them.

        Returns:
            Findings, the surest first.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        begin = check_time(since, "since") or utc_now() - _WINDOW
        fewest = check_count(min_trials, "min_trials", _MOST_TRIALS)
        rate = check_number(false_discovery_rate, "false_discovery_rate", 0.0001, 1)
        most, keep = check_limit(limit), check_flag(record, "record")
        rows = await self._fetch(_SQL["compare"], agent, begin, fewest)
        # Thousands of values take their time, which the event loop shall not.
        found = (await asyncio.to_thread(found_among, rows, fewest, rate))[:most]
        ordered = dict.fromkeys(factor for factor, values in found if values["measure"] != "success")
        medians = await self._medians(agent, begin, builtins.list(ordered)) if ordered else {}
        findings = [
            _finding(factor, values, medians, keep)
            for factor, values in found
            if values["measure"] == "success" or (factor, values["measure"]) in medians
        ]
        if keep and findings:
            await self._record_findings(findings, begin)
        return findings

    async def _medians(
        self, agent_id: str | None, since: datetime, factors: Sequence[_Factor]
    ) -> dict[tuple[_Factor, str], Record]:
        """Return median time and cost of executions with and without each factor, as far as they are still there."""
        columns = [builtins.list(column) for column in zip(*factors, strict=True)]
        rows = await self._fetch(_SQL["medians"], agent_id, since, *columns)
        return {(factors[row["place"]], "cost" if row["is_cost"] else "time"): row for row in rows}

    async def _record_findings(self, findings: Sequence[Finding], since: datetime) -> None:
        by_id: dict[str, builtins.list[Finding]] = {}
        for finding in findings:
            by_id.setdefault(str(finding.pattern_id), []).append(finding)
        # In a fixed order: two that record the same findings then wait for each other in one direction only.
        rows = sorted((id, *_pattern(about, since)) for id, about in by_id.items())
        columns = [builtins.list(column) for column in zip(*rows, strict=True)]
        try:
            await self._retried(lambda: self._execute(_SQL["record_findings"], *columns))
        except NotFoundError:
            raise await self._unknown_agents(finding.agent_id for finding in findings) from None


def found_among(
    rows: Iterable[Record | dict[str, Any]], fewest: int, rate: float
) -> builtins.list[tuple[_Factor, dict[str, Any]]]:
    """
    Return the differences among *rows* of the block `compare` that are not likely to be chance, the surest first.

    Args:
        rows: What to compare, a row per factor.
        fewest: So many values there have to be on both sides.
        rate: The share of what is returned that may be chance.
    """
    compared = [
        (_Factor(row["agent_id"], row["kind"], row["factor"], row["name"], row["value"]), measured)
        for row in rows
        for measured in _measures(row)
        if min(measured["counted"], measured["other_counted"]) >= fewest
    ]
    adjusted = adjust([values["p_value"] for _, values in compared])
    for (_, values), p_value in zip(compared, adjusted, strict=True):
        values["adjusted_p_value"] = p_value
    found = [(factor, values) for factor, values in compared if values["adjusted_p_value"] <= rate]
    return sorted(found, key=_doubt)


def _doubt(found: tuple[_Factor, dict[str, Any]]) -> tuple[Any, ...]:
    """Return what findings are sorted by: how likely they are chance, then how small; the rest makes it one order."""
    factor, values = found
    return values["p_value"], -abs(values["distance"]), *factor[:4], factor.value or "", values["measure"]


def _measures(row: Record | dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Compare what *row* counts, in success, time and cost as far as they are known."""
    common = {name: row[name] for name in ("trials", "successes", "other_trials", "other_successes")}
    rates = compare_rates(row["successes"], row["trials"], row["other_successes"], row["other_trials"])
    counts = {"counted": row["trials"], "other_counted": row["other_trials"]}
    typical = {
        "typical": row["successes"] / row["trials"], "other_typical": row["other_successes"] / row["other_trials"]
    }  # fmt: skip
    yield common | counts | typical | _difference("success", rates, rates.effect, is_better=rates.effect > 0)
    for measure, count, ranks, ties in (
        ("time", "timed", "ms_ranks", "ms_ties"), ("cost", "priced", "cost_ranks", "cost_ties")
    ):  # fmt: skip
        counted, other = row[count], row[f"other_{count}"]
        if counted and other:
            order = compare_order(row[ranks], counted, other, row[ties])
            counts = {"counted": counted, "other_counted": other}
            yield common | counts | _difference(measure, order, order.effect - 0.5, is_better=order.effect < 0.5)


def _difference(measure: str, comparison: Comparison, distance: float, *, is_better: bool) -> dict[str, Any]:
    return {"measure": measure, "distance": distance, "is_better": is_better, **comparison._asdict()}


def _finding(
    factor: _Factor, values: dict[str, Any], medians: dict[tuple[_Factor, str], Record], is_recorded: bool
) -> Finding:
    if values["measure"] != "success":
        medians_of = medians[factor, values["measure"]]
        values |= {"typical": medians_of["median"], "other_typical": medians_of["other_median"]}
    del values["distance"]
    about = factor._asdict() | {
        "kind": factor.kind or None,
        "value": _value(factor),
        "pattern_id": str(_pattern_id(factor)) if is_recorded else None,
    }
    return from_row(Finding, about | values)


def _pattern_id(factor: _Factor) -> UUID:
    """Return the id of the pattern about *factor*, which is the same whenever it is found."""
    value = "" if factor.value is None else json.dumps(_value(factor))
    return keyed_uuid(RECOGNIZED, *factor[:4], value)


def _value(factor: _Factor) -> Any:
    return None if factor.value is None else parse_json(factor.value)


def _pattern(findings: Sequence[Finding], since: datetime) -> tuple[str, str, str, int, int]:
    """Return agent, name, content, trials and successes of the pattern that *findings* about one factor become."""
    first = findings[0]
    content = {
        "kind": first.kind,
        "factor": first.factor,
        "name": first.name,
        "value": first.value,
        "since": since.isoformat(),
        "found_at": utc_now().isoformat(),
        "measures": {f.measure: {name: getattr(f, name) for name in _NUMBERS} for f in findings},
    }
    return first.agent_id, _name(first), check_json(content, "content"), first.trials, first.successes


def _name(finding: Finding) -> str:
    """Return what to call the pattern of a finding: no two factors of an agent are called the same."""
    kind = "any task" if finding.kind is None else _plain(finding.kind)
    value = "" if finding.factor == "tool" else f" = {json.dumps(finding.value, ensure_ascii=False)}"
    name = f"{kind}: {finding.factor} {_plain(finding.name)}{value}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = keyed_uuid(name).hex
    return f"{name[: _LONGEST_NAME - len(digest) - 2]}… {digest}"


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
