"""`agentdb stats`."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agentdb import AgentConfig, MemoryEntry, MetricPoint, PrismaAgentClient, Settings, TokenUsage
from agentdb.cli import output
from agentdb.cli.stats.figures import STATUSES, bucket_of, spans
from agentdb.cli.stats.texts import dollars, duration, percent, rate, size
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres


def _with_client(database: Database, work: Callable[[PrismaAgentClient], Awaitable[None]]) -> None:
    async def run() -> None:
        # Not of the environment, which is scrubbed for each test, and this is done once for several.
        settings = Settings(organization_id="acme", database_url=database.url)
        async with PrismaAgentClient(settings=settings) as client:
            await work(client)

    asyncio.run(run())


async def _fill(client: PrismaAgentClient) -> None:
    """Four executions of "scout", one of them failed; one of "clerk", without a price; a tool that fails."""
    for name in ("scout", "clerk", "idler"):
        await client.agents.register(AgentConfig(name=name, category="SUPPORT", id=f"id-{name}"))
    await client.tools.register("look_up")
    await client.tools.register("unused")
    for index in range(4):
        execution = await client.executions.start("id-scout", {"n": index}, model="gpt-4o-mini")
        usage = TokenUsage(input=1_000_000)
        if index == 3:
            await client.executions.fail(execution.id, ValueError("[red]no\nsuch word"), usage=usage)
        else:
            await client.executions.finish(execution.id, usage=usage)
    execution = await client.executions.start("id-clerk", "task")
    await client.executions.finish(execution.id, usage=TokenUsage(output=1))
    for index in range(5):
        await client.tools.record_call("look_up", "id-scout", success=index == 0, duration_ms=2 * index)
    for number in range(3):
        kind = "general" if number else "rule"
        await client.memories.store(MemoryEntry(agent_id="id-scout", content=f"{number}", memory_type=kind))
    await client.metrics.record_many(
        [MetricPoint(agent_id="id-scout", name="accuracy", value=value, unit="%") for value in (60, 90)]
    )
    old = datetime.now(UTC) - timedelta(hours=30)
    await client.driver.execute(
        "UPDATE agent_executions SET started_at = $1, finished_at = $1 WHERE task = '{\"n\": 0}'", (old,)
    )


@pytest.fixture(scope="module")
def filled(shared_database: Database) -> Database:
    """A database with all of that, for tests that only look."""
    _with_client(shared_database, _fill)
    return shared_database


def test_what_there_is_to_see(filled: Database, agentdb: Command) -> None:
    """A chart, a line for each agent and for all, for each tool that was called, each failure, each type of memory."""
    outcome = agentdb("stats", DATABASE_URL=filled.url, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.err) == (0, "")
    lines = [re.sub(r"\d+(\.\d+)? (ms|s)\b", "T", line) for line in outcome.out.splitlines()]
    lines = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", re.sub(" +", " ", line).strip()) for line in lines]
    above, below = lines.index(""), next(number for number, line in enumerate(lines) if line.startswith("table, of"))
    assert lines[0] == "executions started in each 1h"
    assert lines[above - 1] == "▒ failed █ completed"
    assert set("▒█") <= set("".join(lines[1 : above - 1]))
    assert lines[above + 1 : below] == [
        "agent executions success p50 p95 p99 tokens cost",
        "scout 3 67 % (21-94) T T T 3,000,000 $0.4500",
        "clerk 1 100 % (21-100) T T T 1 -",
        "all 4 75 % (30-95) T T T 3,000,001 >= $0.4500",
        "1 with tokens have no cost: their model has no price. `client.prices.set(…)` gives it one.",
        "",
        "tool calls success p50 p95",
        "look_up 5 20 % (4-62) T T failing",
        "",
        "WHEN scout failed: ValueError: [red]no",
        "",
        "memories of living embedded sensitive",
        "scout, general 2 - -",
        "scout, rule 1 - -",
        "",
    ]
    assert any(re.fullmatch(r"agent_executions (-|5) [\d.]+ kB", line) for line in lines[below:])
    assert "\x1b" not in outcome.out


def test_one_agent_and_other_hours(filled: Database, agentdb: Command) -> None:
    """--agent and --hours narrow all of it."""
    scout = agentdb("stats", "--agent", "id-scout", "--hours", "48", DATABASE_URL=filled.url, ORGANIZATION_ID="acme")
    clerk = agentdb("stats", "--agent", "id-clerk")

    assert re.search(r"^scout +4 ", scout.out, re.MULTILINE)
    assert "clerk" not in scout.out
    assert "\nall " not in scout.out
    assert "clerk" in clerk.out
    assert not {"scout", "look_up", "failed"} & set(clerk.out.split())


def test_as_json(filled: Database, agentdb: Command) -> None:
    """Everything, amounts as text and times in ISO 8601."""
    outcome = agentdb("stats", "--json", DATABASE_URL=filled.url, ORGANIZATION_ID="acme")

    found = json.loads(outcome.out)
    assert list(found) == [
        "hours", "total", "agents", "over_time", "tools", "never_used", "failing", "failures", "memories", "tables",
    ]  # fmt: skip
    assert len(found["over_time"]) in (24, 25)
    assert sum(each["completed"] for each in found["over_time"]) == 3
    assert found["memories"][0] == {"agent": "scout", "type": "general", "memories": 2, "embedded": 0, "sensitive": 0}
    assert {"name", "rows", "size_bytes"} == set(found["tables"][0])
    assert [each["agent_name"] for each in found["agents"]] == ["scout", "clerk"]
    assert Decimal(found["total"]["cost"]) == Decimal("0.45")
    assert found["total"]["unpriced"] == 1
    assert found["agents"][0]["usage"]["input"] == 3_000_000
    assert ([tool["name"] for tool in found["tools"]], found["never_used"]) == (["look_up"], ["unused"])
    assert found["failing"] == ["look_up"]
    (failure,) = found["failures"]
    assert (failure["error_type"], failure["error"]) == ("ValueError", "[red]no\nsuch word")
    assert datetime.fromisoformat(failure["started_at"]).tzinfo is not None
    assert not {"task", "result", "traceback"} & set(failure)


def test_an_empty_organization(filled: Database, agentdb: Command) -> None:
    """It is said in a line or two, and what to do; that others have something is not shown."""
    nothing = agentdb("stats", DATABASE_URL=filled.url, ORGANIZATION_ID="other")
    as_json = agentdb("stats", "--json")

    assert (nothing.status, nothing.err) == (0, "")
    assert nothing.out.splitlines() == [
        "No execution started in the last 24 hours.",
        "Nothing is stored for this organization yet: `agentdb demo` shows an agent at work.",
    ]
    assert json.loads(as_json.out)["total"]["executions"] == 0


def test_an_agent_that_did_nothing(filled: Database, agentdb: Command) -> None:
    """It is there, in contrast to one that is mistyped."""
    idle = agentdb("stats", "--agent", "idler", DATABASE_URL=filled.url, ORGANIZATION_ID="acme")
    mistyped = agentdb("stats", "--agent", "idle")

    assert (idle.status, idle.out.splitlines()[0]) == (0, "No execution started in the last 24 hours.")
    assert (mistyped.status, mistyped.out) == (1, "")


def test_a_metric(filled: Database, agentdb: Command) -> None:
    """Its figures, and its averages as a chart; or what there is in its place."""
    where = {"DATABASE_URL": filled.url, "ORGANIZATION_ID": "acme"}

    outcome = agentdb("stats", "--agent", "scout", "--metric", "accuracy", **where)
    as_json = json.loads(agentdb("stats", "--agent", "scout", "--metric", "accuracy", "--json").out)
    other = agentdb("stats", "--agent", "scout", "--metric", "accuracies")
    alone = agentdb("stats", "--metric", "accuracy")

    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[:4] == [
        "metric points average least most p50 p95 last unit",
        "accuracy 2 75.0 60.0 90.0 75.0 88.5 90.0 %",
        "",
        "average of each 1h",
    ]
    assert lines[4].startswith("75 │")
    assert (as_json["summary"]["avg"], as_json["series"]["bucket"]) == (75, "1h")
    assert other.out.splitlines() == ["scout recorded no accuracies in the last 24 hours.", "It recorded accuracy."]
    assert (alone.status, "--agent" in alone.err) == (2, True)


def test_wrong_use(filled: Database, agentdb: Command) -> None:
    """A database without an organization, hours that are none: exit status 2."""
    without = agentdb("stats", DATABASE_URL=filled.url)
    none = [agentdb("stats", "--hours", hours, ORGANIZATION_ID="acme") for hours in ("0", "-1", "nan", "many")]
    empty = agentdb("stats", "--agent", "")

    assert without.err.startswith("agentdb: ORGANIZATION_ID")
    assert [outcome.status for outcome in (without, *none, empty)] == [2] * 6


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("no_color", [False, True])
def test_terminals(
    filled: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch, width: int, no_color: bool
) -> None:
    """No line is longer than the terminal is wide, no number is cut; NO_COLOR is obeyed."""
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(
        output, "results", lambda: Console(highlight=False, force_terminal=True, width=width, color_system="standard")
    )

    outcome = agentdb("stats", DATABASE_URL=filled.url, ORGANIZATION_ID="acme")

    plain = re.sub(r"\x1b\[[0-9;]*m", "", outcome.out)
    tables = plain.split("1 with tokens")[0] + plain.split("gives it one.")[1]
    assert max(cell_len(line) for line in tables.splitlines()) <= width
    for part in ("67 % (21-94)", "100 % (21-100)", "3,000,000", ">= $0.4500", "20 % (4-62)"):
        assert part in " ".join(plain.split())
    assert not (no_color and re.search(r"\x1b\[[0-9;]*3[0-7]", outcome.out))


def test_names_stay_on_their_line(database: Database, agentdb: Command) -> None:
    """Whatever others have called an agent: no name looks like a line of agentdb's own."""

    async def fill(client: PrismaAgentClient) -> None:
        agent = await client.agents.register(AgentConfig(name="mallory\nscout 9 100 %", category="SUPPORT"))
        await client.executions.fail((await client.executions.start(agent.id, 1)).id, "no\x1b[2J")
        await client.memories.store(MemoryEntry(agent_id=agent.id, content="x"))

    _with_client(database, fill)
    outcome = agentdb("stats", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    lines = outcome.out.splitlines()
    assert sum("mallory\\nscout 9 100 %" in line for line in lines) == 3
    assert not any(line.startswith("scout") for line in lines)
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.01234, "0.0123 ms"),
        (12.34, "12.3 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (59_900, "59.9 s"),
        (59_960, "1 min"),
        (3_500_000, "58 min"),
        (3_599_000, "1 h 00 min"),
        (90_000_000, "25 h 00 min"),
    ],
)
def test_durations(milliseconds: float | None, text: str) -> None:
    """Three digits, in the unit that fits."""
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "-"),
        ("0", "$0.00"),
        ("0.0000000001", "< $0.0001"),
        ("0.00012", "$0.0001"),
        ("0.4567", "$0.4567"),
        ("1.005", "$1.00"),
        ("1234567.891", "$1,234,567.89"),
    ],
)
def test_amounts(cost: str | None, text: str) -> None:
    """In dollars; what is not all of it says so."""
    amount = None if cost is None else Decimal(cost)

    assert dollars(amount, is_part=False) == text
    assert dollars(amount, is_part=True) in ("-", ">= $0.0000", f">= {text}")


def test_sizes() -> None:
    """Three digits, too."""
    assert [size(count) for count in (0, 999, 1000, 8_192, 123_456, 7_654_321, 10**9, 2 * 10**15)] == [
        "0 B", "999 B", "1 kB", "8.19 kB", "123 kB", "7.65 MB", "1 GB", "2,000 TB",
    ]  # fmt: skip


@given(st.floats(1e-3, 1e6), st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
def test_spans_fit_into_a_terminal(hours: float, naive: datetime) -> None:
    """However long the time is: never more than 32, without a gap, and the last holds its end."""
    until = naive.replace(tzinfo=UTC)
    _, length = bucket_of(hours)
    since = until - timedelta(hours=min(hours, 90_000))

    found = spans([], since, until, length)

    assert 1 <= len(found) <= 32
    assert found[-1].start <= until < found[-1].start + length
    assert all(after.start - before.start == length for before, after in pairwise(found))
    assert all(set(span.counts) == set(STATUSES) for span in found)


def test_rates() -> None:
    """All and nothing are said of all and nothing only."""
    assert [percent(rate) for rate in (0, 0.0001, 0.5, 0.9999, 1)] == ["0", "1", "50", "99", "100"]
    assert rate(None, None) == "-"


def test_failures_that_do_not_open(database: Database, agentdb: Command) -> None:
    """They are named without what they say, beside those that are plain; and it is said why. With the key they open."""
    keys = {"k1": b"1" * 32}
    url = {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}

    async def fill(client: PrismaAgentClient) -> None:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
        await client.executions.fail((await client.executions.start("scout", 1)).id, ValueError("plain tulip"))
        settings = replace(client.settings, encryption_keys=keys, encrypt=frozenset({"executions"}))
        async with PrismaAgentClient(settings=settings) as sealing:
            await sealing.executions.fail((await sealing.executions.start("scout", 2)).id, KeyError("sealed rose"))

    _with_client(database, fill)
    seen, as_json = agentdb("stats", **url), agentdb("stats", "--json", **url)
    ring = f"k1:{base64.b64encode(keys['k1']).decode()}"
    opened = agentdb("stats", **url, AGENTDB_ENCRYPTION_KEYS=ring)

    assert (seen.status, as_json.status, opened.status) == (0, 0, 0)
    assert "failed: KeyError: (encrypted)" in seen.out
    assert "failed: ValueError: plain tulip" in seen.out
    assert "AGENTDB_ENCRYPTION_KEYS" in seen.err
    assert [failure["error"] for failure in json.loads(as_json.out)["failures"]] == [None, "plain tulip"]
    assert "sealed rose" in opened.out
    assert "encrypt" not in opened.out + opened.err
