"""`agentdb demo`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys

import asyncpg
import pytest

from agentdb import PrismaAgentClient
from agentdb.cli.demo import agent as demo_agent
from agentdb.cli.demo.agent import QUESTIONS
from agentdb.cli.demo.library import Source, find_sources
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

ANSWERS = {
    "How do I find close matches for a misspelled word?": "difflib.get_close_matches",
    "How do I wrap a long paragraph of text to fit a width?": "textwrap.fill",
    "How do I measure the execution time of small code snippets?": "timeit",
    "How do I suppress exceptions in a with block?": "contextlib.suppress",
    "Which function tells me the greatest common divisor?": "math.gcd",
    "How do I copy a directory tree recursively?": "shutil.copytree",
}

_READ = re.compile(r"([\d,]+) docstrings read in .* s: ([\d,]+) new, ([\d,]+) already known")


def _read(out: str) -> tuple[int, int, int]:
    """Return how many docstrings were read, new and known."""
    match = _READ.search(out)
    assert match, out
    read, new, known = (int(number.replace(",", "")) for number in match.groups())
    return read, new, known


async def _facts(database: Database) -> dict[str, int]:
    connection = await asyncpg.connect(**parse_url(database.admin_url).connect_arguments())
    try:
        row = await connection.fetchrow("""
            SELECT count(*) AS notes, count(DISTINCT metadata->>'name') AS names,
                (SELECT count(*) FROM agents) AS agents,
                (SELECT count(*) FROM agent_executions WHERE status = 'completed') AS completed
            FROM agent_memories WHERE memory_type = 'note'
        """)
    finally:
        await connection.close()
    return dict(row)


@pytest.fixture
def a_few_modules(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The library cut down to the modules that the questions are about."""
    wanted = {"contextlib", "difflib", "ipaddress", "math", "textwrap", "timeit"}
    sources = [source for source in find_sources() if source.module in wanted]
    monkeypatch.setattr(demo_agent, "find_sources", lambda: sources)
    return sources


def test_killed_and_run_again_it_stores_nothing_twice(database: Database) -> None:
    """
    SIGKILL in the middle of the load leaves whole batches; the next run adds the rest, the one after that nothing, and
    the questions find their answers among all that was read.
    """
    command = [sys.executable, "-m", "agentdb.cli", "demo"]
    environment = os.environ | {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert killed.stderr is not None
    assert "docstrings" in killed.stderr.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    after_kill = asyncio.run(_facts(database))

    outs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    second, third = map(_read, outs)
    facts = asyncio.run(_facts(database))

    assert after_kill["notes"] > 0
    assert after_kill["notes"] % 500 == 0
    assert second == (facts["notes"], facts["notes"] - after_kill["notes"], after_kill["notes"])
    assert third == (facts["notes"], 0, facts["notes"])
    assert (facts["names"], facts["agents"]) == (facts["notes"], 1)
    lines = outs[1].splitlines()
    best = {question: lines[lines.index(f"   {question}") + 1].split(")")[1].split()[0] for question in QUESTIONS}
    assert best == ANSWERS


def test_shows_what_it_does(database: Database, a_few_modules: list[Source], agentdb: Command) -> None:
    """Where the data is, what was read, answers with scores and their parts, metrics, rows, times, what to try next."""
    outcome = agentdb("demo", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert outcome.status == 0
    for text in ("PostgreSQL", "acme, kept apart by row-level security", "(lexical 0."):
        assert text in outcome.out
    for row in (r"agents\s+1", r"memories\s+\d+", r"executions\s+7", r"metric points\s+14", r"recall\s+6\s+[\d.]+ ms"):
        assert re.search(row, outcome.out), row
    assert "agentdb demo --ask" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_asks_only_what_it_is_told(database: Database, a_few_modules: list[Source], agentdb: Command) -> None:
    """--ask answers from what was read before, and reads nothing; an empty memory says what to do."""
    empty = agentdb("demo", "--ask", "How do I wrap text?", DATABASE_URL=database.url, ORGANIZATION_ID="acme")
    agentdb("demo")
    asked = agentdb("demo", "--ask", "How do I wrap text?", "--ask", "greatest common divisor")

    assert "nothing" in empty.out
    assert asked.status == 0
    assert "textwrap." in asked.out
    assert "math.gcd" in asked.out
    assert "docstrings read" not in asked.out


async def test_leaves_other_organizations_alone(
    database: Database, a_few_modules: list[Source], agentdb: Command
) -> None:
    """What it stored belongs to the organization that it ran for."""
    async with PrismaAgentClient(database.url, "other") as other:
        await asyncio.to_thread(agentdb, "demo", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

        assert await other.agents.list() == []
        assert await other.memories.count() == 0


def test_a_database_without_tables(blank_database: Database, agentdb: Command) -> None:
    """It says which command makes them."""
    outcome = agentdb("demo", DATABASE_URL=blank_database.url, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.out) == (1, "")
    assert "agentdb migrate deploy" in outcome.err
