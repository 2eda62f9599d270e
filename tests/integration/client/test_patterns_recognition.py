"""`client.patterns.recognize`: what makes a difference among recorded executions."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from agentdb import Agent, AgentConfig, InvalidInputError, PrismaAgentClient
from agentdb.client.queries import load_queries
from agentdb.ids import uuid7_text

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)


@dataclass
class Run:
    """An execution that has ended."""

    agent_id: str
    kind: str | None = "answer"
    status: str = "completed"
    model: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    ms: float = 1000.0
    cost: float | None = None
    tools: Sequence[str] = ()
    started_at: datetime = NOW - timedelta(days=1)
    id: str = field(default_factory=uuid7_text)


async def _record(client: PrismaAgentClient, runs: Sequence[Run]) -> None:
    await client.driver.execute(
        """
        INSERT INTO agent_executions (organization_id, id, agent_id, kind, task, status, model, settings, cost,
            started_at, finished_at)
        SELECT $1, id, agent_id, kind, '1', status::execution_status, model, settings::jsonb, cost, started_at,
            CASE WHEN status <> 'running' THEN started_at + ms * interval '1 millisecond' END
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::float8[],
            $10::timestamptz[]) AS e (id, agent_id, kind, status, model, settings, ms, cost, started_at)
        """,
        (
            client.organization_id,
            [run.id for run in runs],
            [run.agent_id for run in runs],
            [run.kind for run in runs],
            [run.status for run in runs],
            [run.model for run in runs],
            [json.dumps(run.settings) for run in runs],
            [run.ms for run in runs],
            [run.cost for run in runs],
            [run.started_at for run in runs],
        ),
    )
    calls = [(run, name) for run in runs for name in run.tools]
    tools = {name: (await client.tools.register(name)).id for _, name in calls}
    await client.driver.execute(
        """
        INSERT INTO agent_steps (organization_id, id, agent_id, execution_id, kind, name, tool_id, success, duration_ms,
            at)
        SELECT $1, gen_random_uuid(), e.agent_id, e.execution_id, 'tool', e.name, e.tool_id, true, 1, e.at
        FROM unnest($2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::timestamptz[])
            AS e (agent_id, execution_id, name, tool_id, at)
        """,
        (
            client.organization_id,
            [run.agent_id for run, _ in calls],
            [run.id for run, _ in calls],
            [name for _, name in calls],
            [tools[name] for _, name in calls],
            [run.started_at for run, _ in calls],
        ),
    )


def _status(success: bool) -> str:
    return "completed" if success else "failed"


async def test_a_prompt_variant_that_succeeds_more_often(client: PrismaAgentClient, agent: Agent) -> None:
    """Found with its numbers, and recorded as a pattern whose evidence are the executions that had it."""
    runs = [Run(agent.id, settings={"prompt": "brief"}, status=_status(n % 10 > 0)) for n in range(50)]
    runs += [Run(agent.id, settings={"prompt": "long"}, status=_status(n % 2 > 0)) for n in range(60)]
    await _record(client, runs)

    findings = await client.patterns.recognize()

    brief, long = sorted(findings, key=lambda finding: str(finding.value))
    assert (brief.agent_id, brief.kind, brief.factor, brief.name, brief.value, brief.measure) == (
        agent.id, "answer", "setting", "prompt", "brief", "success"
    )  # fmt: skip
    assert (brief.trials, brief.successes, brief.other_trials, brief.other_successes) == (50, 45, 60, 30)
    assert (brief.typical, brief.other_typical, brief.is_better) == (0.9, 0.5, True)
    assert brief.effect == pytest.approx(0.4)
    assert 0.2 < brief.interval[0] < 0.4 < brief.interval[1] < 0.6
    assert 0 < brief.p_value <= brief.adjusted_p_value < 0.001
    assert (long.value, long.is_better) == ("long", False)
    assert long.effect == pytest.approx(-0.4)

    assert brief.pattern_id is not None
    pattern = await client.patterns.get(brief.pattern_id)
    assert (pattern.pattern_type, pattern.name) == ("recognized", 'answer: setting prompt = "brief"')
    assert (pattern.trials, pattern.successes, pattern.scope) == (50, 45, "agent")
    content = pattern.content
    assert (content["kind"], content["factor"], content["name"], content["value"]) == (
        "answer", "setting", "prompt", "brief"
    )  # fmt: skip
    assert content["measures"]["success"]["p_value"] == brief.p_value
    assert content["measures"]["success"]["interval"] == list(brief.interval)


async def test_a_tool_that_takes_time_and_a_model_that_costs(client: PrismaAgentClient, agent: Agent) -> None:
    """Each in its measure, by the median; what makes no difference is not found."""
    chance = Random(1)
    runs = []
    for n in range(120):
        slow, dear = n % 3 == 0, n % 2 == 0
        runs.append(
            Run(
                agent.id,
                status=_status(chance.random() < 0.8),
                model="large" if dear else "small",
                settings={"noise": chance.randrange(4)},
                ms=chance.lognormvariate(7.5 if slow else 6.5, 0.5),
                cost=(0.02 if dear else 0.01) + chance.random() / 200,
                tools=["search", "lookup"] if slow else ["lookup"] if n % 5 else [],
            )
        )
    await _record(client, runs)

    findings = await client.patterns.recognize(agent.id)

    assert {(f.factor, f.name, f.value, f.measure, f.is_better) for f in findings} == {
        ("tool", "search", None, "time", False),
        ("model", "model", "large", "cost", False),
        ("model", "model", "small", "cost", True),
    }
    by_factor = {(f.factor, f.value): f for f in findings}
    search, large = by_factor["tool", None], by_factor["model", "large"]
    done = [run for run in runs if run.status == "completed"]
    assert search.typical == pytest.approx(statistics.median(r.ms for r in done if "search" in r.tools), rel=1e-4)
    assert search.other_typical == pytest.approx(
        statistics.median(r.ms for r in done if "search" not in r.tools), rel=1e-4
    )
    assert (search.counted + search.other_counted, search.trials, search.other_trials) == (len(done), 40, 80)
    assert 0.5 < search.interval[0] < search.effect < search.interval[1] <= 1
    assert large.typical == pytest.approx(statistics.median(r.cost or 0 for r in runs if r.model == "large"), abs=1e-9)
    assert (large.counted, large.other_counted) == (60, 60)


async def test_like_is_compared_with_like(client: PrismaAgentClient, agent: Agent) -> None:
    """A tool that the hard tasks of one agent need does no harm: neither kinds nor agents are mixed."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    runs = []
    for n in range(200):
        hard = n % 2 == 0
        tools = ["search"] if n % (4 if hard else 10) < 2 or (hard and n % 10) else []
        runs.append(Run(agent.id, kind="hard" if hard else "easy", status=_status(not hard or n % 4 > 0), tools=tools))
        runs.append(Run(other.id, kind="hard", status="completed", tools=["search"] if n % 50 == 0 else []))
    await _record(client, runs)
    with_it = [run for run in runs if run.tools]
    without = [run for run in runs if not run.tools]
    assert sum(run.status == "completed" for run in with_it) / len(with_it) < 0.65
    assert sum(run.status == "completed" for run in without) / len(without) > 0.9

    assert await client.patterns.recognize(record=False) == []


async def test_found_again_it_is_the_same_pattern(client: PrismaAgentClient, agent: Agent) -> None:
    """With the new numbers; what was quarantined stays so."""
    runs = [Run(agent.id, settings={"t": float(n % 2)}, status=_status(n % 2 == 1 or n % 4 == 0)) for n in range(80)]
    await _record(client, runs)
    first = await client.patterns.recognize()
    assert first[0].pattern_id is not None
    await client.patterns.quarantine(first[0].pattern_id, "I know why")
    await _record(client, [Run(agent.id, settings={"t": n % 2}, status=_status(n % 2 == 1)) for n in range(80)])

    second = await client.patterns.recognize()

    assert {f.pattern_id for f in first} == {f.pattern_id for f in second}
    assert len({f.pattern_id for f in second}) == 2
    patterns = await client.patterns.list(agent.id, include_inactive=True)
    assert [(p.trials, p.successes) for p in sorted(patterns, key=lambda p: str(p.content["value"]))] == [
        (80, 20),
        (80, 80),
    ]
    assert sorted(p.status for p in patterns) == ["active", "quarantined"]
    assert await client.patterns.review(min_trials=1, min_confidence=0.1, quarantine_below=0.1) == []


async def test_looking_records_nothing(client: PrismaAgentClient, agent: Agent) -> None:
    """With record=False."""
    await _record(client, [Run(agent.id, model=f"m{n % 2}", status=_status(n % 2 == 0)) for n in range(80)])

    findings = await client.patterns.recognize(record=False)

    assert [(f.value, f.pattern_id) for f in findings] == [("m0", None), ("m1", None)]
    assert await client.patterns.list(agent.id) == []
    assert len(await client.patterns.recognize(record=False, limit=1)) == 1
    assert await client.patterns.recognize("nobody") == []
    assert await client.for_organization("other").patterns.recognize() == []


async def test_without_enough_there_is_nothing_to_say(client: PrismaAgentClient, agent: Agent) -> None:
    """On both sides; what is older, still running or cancelled does not count."""
    old = NOW - timedelta(days=31)
    runs = [Run(agent.id, model="a", status="failed") for _ in range(19)]
    runs += [Run(agent.id, model="a", status=status) for status in ("running", "cancelled") for _ in range(20)]
    runs += [Run(agent.id, model="a", status="failed", started_at=old) for _ in range(30)]
    runs += [Run(agent.id, model="b") for _ in range(40)]
    await _record(client, runs)

    assert await client.patterns.recognize(record=False) == []
    assert len(await client.patterns.recognize(record=False, min_trials=19)) == 2
    assert len(await client.patterns.recognize(record=False, since=old - timedelta(days=1))) == 2


async def test_every_value_that_a_setting_can_have(client: PrismaAgentClient, agent: Agent) -> None:
    """Texts, numbers and truths are told apart, long names are cut; what is no single value is no factor."""
    long = "x" * 250
    runs = []
    for value in ("1", 1, True, 2.5, "", long, 'a "quoted" = value', None, [1], {"a": 1}, "y" * 300):
        settings = {"the key": value, long: 1}
        runs += [Run(agent.id, None, settings=settings, status=_status(n % 5 > 0 or value == 1)) for n in range(25)]
    await _record(client, runs)

    findings = await client.patterns.recognize(false_discovery_rate=1)

    values = [f.value for f in findings if f.measure == "success"]
    assert {(type(value), value) for value in values} == {
        (str, "1"), (int, 1), (bool, True), (float, 2.5), (str, ""), (str, long), (str, 'a "quoted" = value')
    }  # fmt: skip
    names = [p.name for p in await client.patterns.list(agent.id)]
    assert len(set(names)) == len(names) == 7
    assert all(len(name) <= 255 for name in names)
    assert 'any task: setting "the key" = true' in names


async def test_what_is_counted_is_right(client: PrismaAgentClient, agent: Agent) -> None:
    """Every number of the statement, against counting by hand, with ties, gaps and repeated calls."""
    chance = Random(2)
    runs = [
        Run(
            agent.id,
            chance.choice(["a", "b", None]),
            status=chance.choice(["completed", "completed", "failed", "abandoned"]),
            model=chance.choice(["m", "n", None]),
            settings={key: chance.randrange(2) for key in "xy" if chance.random() < 0.8},
            ms=float(chance.randrange(1, 9)),
            cost=chance.choice([None, 0.0, 0.25, 0.5]),
            tools=[chance.choice("pqr") for _ in range(chance.randrange(4))],
        )
        for _ in range(300)
    ]
    await _record(client, runs)

    rows = await client.driver.fetch(
        load_queries("recognition")["compare"], (client.organization_id, None, NOW - timedelta(days=2), 1)
    )

    expected: dict[tuple[str, str, str, str | None], list[float]] = {}
    for kind in ("a", "b", None):
        of_kind = [run for run in runs if run.kind == kind]
        for tool in "pqr":
            expected[kind or "", "tool", tool, None] = _counts(of_kind, [tool in run.tools for run in of_kind])
        pool = [run for run in of_kind if run.model]
        for model in "mn":
            expected[kind or "", "model", "model", f'"{model}"'] = _counts(pool, [run.model == model for run in pool])
        for key in "xy":
            pool = [run for run in of_kind if key in run.settings]
            for value in (0, 1):
                expected[kind or "", "setting", key, str(value)] = _counts(
                    pool, [run.settings[key] == value for run in pool]
                )
    columns = [
        "trials", "successes", "other_trials", "other_successes", "timed", "other_timed", "ms_ranks", "ms_ties",
        "priced", "other_priced", "cost_ranks", "cost_ties",
    ]  # fmt: skip
    found = {(r["kind"], r["factor"], r["name"], r["value"]): [float(r[column]) for column in columns] for r in rows}
    assert found == expected


async def test_medians_are_right(client: PrismaAgentClient, agent: Agent) -> None:
    """Of those with and of those without each factor, against sorting by hand, with ties, gaps and repeated calls."""
    chance = Random(4)
    runs = [
        Run(
            agent.id,
            chance.choice(["a", None]),
            status=chance.choice(["completed", "completed", "failed"]),
            model=chance.choice(["m", "n", None]),
            settings={"x": chance.choice([1, 1.0, 2.5, "1", True]), "tool": chance.choice("pé")},
            ms=float(chance.choice([1, 2, 2, 3, 5, 8, chance.randrange(1, 99)])),
            cost=chance.choice([None, 0.0, 0.25, 0.5]),
            tools=[chance.choice("pqr") for _ in range(chance.randrange(4))],
        )
        for _ in range(199)
    ]
    await _record(client, runs)

    factors: list[tuple[str, str, str, str | None]] = []
    for kind in ("a", ""):
        factors += [(kind, "tool", tool, None) for tool in "pqr"]
        factors += [(kind, "model", "model", f'"{model}"') for model in "mn"]
        factors += [(kind, "setting", "x", value) for value in ("1", "2.5", '"1"', "true")]
        factors += [(kind, "setting", "tool", '"é"')]
    columns = [[agent.id] * len(factors), *map(list, zip(*factors, strict=True))]
    rows = await client.driver.fetch(
        load_queries("recognition")["medians"], (client.organization_id, None, NOW - timedelta(days=2), *columns)
    )

    found = {(row["place"], row["is_cost"]): (row["median"], row["other_median"]) for row in rows}
    expected = {}
    for place, (kind, factor, name, value) in enumerate(factors):
        pool = [run for run in runs if (run.kind or "") == kind and (run.model or factor != "model")]
        for is_cost in (False, True):
            sides: tuple[list[float], list[float]] = [], []
            for run in pool:
                amount = run.cost if is_cost else run.ms if run.status == "completed" else None
                if amount is not None:
                    sides[not _has(run, factor, name, value)].append(amount)
            expected[place, is_cost] = tuple(map(statistics.median, sides))
    assert found == expected


def _has(run: Run, factor: str, name: str, value: str | None) -> bool:
    if factor == "tool":
        return name in run.tools
    its = run.model if factor == "model" else run.settings[name]
    # 1.0 is 1 to the database
    return value == json.dumps(1 if its == 1 and its is not True else its, ensure_ascii=False)


def _counts(pool: list[Run], has: list[bool]) -> list[float]:
    """The columns of `compare`, by hand."""
    numbers: list[float] = []
    for side in (True, False):
        runs = [run for run, is_in in zip(pool, has, strict=True) if is_in is side]
        numbers += [len(runs), sum(run.status == "completed" for run in runs)]
    for values in (
        [run.ms if run.status == "completed" else None for run in pool],
        [run.cost for run in pool],
    ):
        known = [value for value in values if value is not None]
        mine = [value for value, is_in in zip(values, has, strict=True) if is_in and value is not None]
        ranks = sum(sum(k < value for k in known) + (known.count(value) + 1) / 2 for value in mine)
        ties = sum(known.count(value) ** 3 - known.count(value) for value in set(known))
        numbers += [len(mine), len(known) - len(mine), ranks, ties]
    return [float(number) for number in numbers]


async def test_what_cannot_be_looked_for(client: PrismaAgentClient) -> None:
    """Arguments that do not fit are named."""
    refused: list[tuple[dict[str, Any], str]] = [
        ({"min_trials": 0}, "min_trials"),
        ({"false_discovery_rate": 0}, "false_discovery_rate"),
        ({"limit": 0}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"record": 1}, "record"),
        ({"agent_id": ""}, "agent_id"),
    ]
    for options, name in refused:
        with pytest.raises(InvalidInputError) as caught:
            await client.patterns.recognize(**options)
        assert caught.value.field == name
