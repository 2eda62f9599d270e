"""Hostile strings as an agent meets them: in its tasks, from its tools, in what it logs, in the names it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentdb import AgentConfig, EnhancedAgentBase, InvalidInputError, NotFoundError, PrismaAgentClient, tool
from tests.conftest import Database
from tests.integration.hostile.calls import SHORT, document
from tests.integration.hostile.strings import hostile_strings, is_storable
from tests.integration.hostile.witness import unharmed

pytestmark = pytest.mark.postgres


class Parrot(EnhancedAgentBase):
    """Does all that an agent can do with the text of its task."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="parrot", category="SUPPORT", id="parrot"))

    def get_capabilities(self) -> list[str]:
        """None."""
        return []

    async def execute_task(self, task: Any) -> Any:
        """Remember, recall, measure, learn, log, call a tool."""
        text = task["text"]
        data: dict[str, Any] = {text: document(text)}
        self.execution.log(text, **data)
        self.execution.settings[text] = text
        await self.remember(text, **{text: text})
        await self.recall(text, where={"k" + text: text})
        await self.record_metric(text, 1.0, text)
        await self.learn(text, document(text), name=text)
        return await self.call_tool("echo", word=text)

    @tool
    async def echo(self, word: str) -> str:
        """Say it again."""
        return word


async def test_an_agent_keeps_what_it_is_given(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """The trail, the memory, the metric and the pattern of each task say what the task said."""
    texts = [text for text in hostile_strings() if SHORT.accepts(text)][:200]
    async with unharmed(database, log), client:
        parrot = Parrot()
        await parrot.initialize(client)
        for text in texts:
            assert await parrot.execute_task({"text": text}) == text
        await parrot.cleanup()
        executions = (await client.executions.list("parrot", limit=1000))[::-1]
        assert [(e.task, e.result, e.settings) for e in executions] == [({"text": t}, t, {t: t}) for t in texts]
        for execution, text in list(zip(executions, texts, strict=True))[:50]:
            steps = (await client.executions.tree(execution.id)).steps
            assert [(step.message, step.data) for step in steps if step.kind == "log"] == [
                (text, {text: document(text)})
            ]
            assert [step.data for step in steps if step.kind == "tool"] == [{"arguments": {"word": text}}]
        memories = await client.memories.list("parrot", limit=1000)
        assert {memory.content: memory.metadata for memory in memories} == {text: {text: text} for text in texts}
        assert set(await client.metrics.summary("parrot")) == set(texts)
        patterns = await client.patterns.list("parrot", include_shared=False, limit=1000)
        assert {pattern.name for pattern in patterns} == set(texts)


async def test_tasks_and_names_that_cannot_be_stored(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """Are refused before they run, or kept with the replacement marked; a tool of no such name is not found."""
    texts = [text for text in hostile_strings() if not is_storable(text)][:200]
    async with unharmed(database, log), client:
        parrot = Parrot()
        await parrot.initialize(client)
        for text in texts:
            with pytest.raises(NotFoundError):
                await parrot.call_tool(text, word="x")
            with pytest.raises(InvalidInputError):
                await parrot.call_tool("echo", **{text: "x"})
            with pytest.raises(InvalidInputError):
                await parrot.execute_task({"text": text})
            with pytest.raises(InvalidInputError, match=r"^echo: "):
                await parrot.call_tool("echo", word=text)
        recorder = client.metrics.recorder()
        async with recorder:
            for text in texts:
                with pytest.raises(InvalidInputError):
                    await recorder.record("parrot", text, 1.0)
        await parrot.cleanup()
        assert await client.metrics.summary("parrot") == {}
