"""Processes that are killed with SIGKILL in the middle of a task."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from agentdb import Agent, AgentConfig, PrismaAgentClient, Settings
from tests.waiting import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked, which Windows does not do"),
]

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 200
AT_ONCE = 40
"""As many as the server has connections for."""


class Victim:
    """A process: the execution it was in, and when it said which number."""

    def __init__(self) -> None:
        self.execution_id = ""
        self.said: dict[int, float] = {}


async def run_and_kill(url: str, count: int, lines_each: int) -> dict[int, Victim]:
    """Start *count* processes and kill each once it has said *lines_each* numbers, in mid-task."""
    forker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.killing",
        url,
        str(count),
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert forker.stdout is not None
    victims: dict[int, Victim] = {}
    killed = 0
    async with asyncio.timeout(120):
        while killed < count:
            pid, execution_id, number = (await forker.stdout.readline()).decode().split()
            victim = victims.setdefault(int(pid), Victim())
            victim.execution_id = execution_id
            victim.said[int(number)] = time.time()
            if int(number) == lines_each - 1:
                os.kill(int(pid), signal.SIGKILL)
                killed += 1
    forker.kill()
    await forker.wait()
    return victims


@pytest.fixture
async def agent(database_url: str) -> Agent:
    """The agent that the processes are."""
    async with PrismaAgentClient(database_url, "acme") as client:
        return await client.agents.register(AgentConfig(name="endless", category="SUPPORT", id="endless"))


async def test_every_execution_of_a_killed_process_ends_abandoned(
    database_url: str, superuser_url: str, agent: Agent
) -> None:
    """200 processes with two executions each; a process that lives sees to it, and keeps its own."""
    settings = Settings(
        organization_id="acme", database_url=database_url, heartbeat_seconds=0.2, abandoned_after_seconds=2
    )
    victims: dict[int, Victim] = {}
    async with PrismaAgentClient(settings=settings) as living, living.executions.track(agent.id, "living") as own:
        for _ in range(PROCESSES // AT_ONCE):
            victims |= await run_and_kill(database_url, AT_ONCE, lines_each=2)

        async def is_alone() -> bool:
            return len(await living.executions.list(status="running", limit=1000)) == 1

        await until(is_alone)
        executions = await living.executions.list(status="abandoned", limit=1000)
        assert (await living.executions.get(own.id)).status == "running"

    assert len(victims) == PROCESSES
    assert len(executions) == 2 * PROCESSES
    by_id = {execution.id: execution for execution in executions}
    inner = [by_id[victim.execution_id] for victim in victims.values()]
    assert all(execution.parent_id in by_id and execution.finished_at for execution in inner)


async def test_what_a_kill_can_lose(database_url: str, superuser_url: str, agent: Agent) -> None:
    """Steps and calls of tools of the last second, nothing before; counters agree with what is there."""
    (victim,) = (await run_and_kill(database_url, 1, lines_each=60)).values()
    killed_at = max(victim.said.values())
    await asyncio.sleep(0.5)  # what the process had sent, the server may still be writing

    async with PrismaAgentClient(database_url, "acme") as client:
        steps = (await client.executions.tree(victim.execution_id)).steps
        counter = await client.tools.get("count")
    lines = {step.message for step in steps if step.kind == "log"}
    calls = [step for step in steps if step.kind == "tool"]
    missing = [number for number, said_at in victim.said.items() if f"line {number}" not in lines]

    assert len(victim.said) == 60
    assert [number for number in missing if victim.said[number] < killed_at - 1] == []
    assert len(lines) < 60, "nothing was lost: this has shown nothing"
    assert counter.calls == counter.successes == len(calls)
    connection = await asyncpg.connect(superuser_url)
    try:
        assert (
            await connection.fetchval("SELECT count(*) - count(DISTINCT message) FROM agent_steps WHERE kind = 'log'")
            == 0
        )
    finally:
        await connection.close()
