"""Spans, by the semantic conventions of OpenTelemetry, where the application uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from agentdb import AgentConfig, EnhancedAgentBase, MemoryEntry, NotFoundError, PrismaAgentClient, tool
from agentdb.client.telemetry import MODULE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytestmark = pytest.mark.postgres

CONTENTS = "the unspeakable"


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where spans go. OpenTelemetry is loaded here, and gone again afterwards: other tests run without."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()
    del sys.modules[MODULE]


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """The same, empty."""
    exporter.clear()
    yield exporter
    exporter.clear()


@pytest_asyncio.fixture
async def client(database_url: str, spans: InMemorySpanExporter) -> AsyncIterator[PrismaAgentClient]:
    """A client with an agent, whose registration is no span of the test's."""
    async with PrismaAgentClient(database_url, "acme") as client:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
        spans.clear()
        yield client


def _named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


async def test_an_operation_is_a_span_of_a_database_client(
    client: PrismaAgentClient, spans: InMemorySpanExporter, database_url: str
) -> None:
    """With the attributes of the stable conventions."""
    await client.memories.store(MemoryEntry(agent_id="scout-1", content=CONTENTS))

    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind.name, span.status.status_code.name) == ("memories.store", "CLIENT", "UNSET")
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "agentdb"
    attributes = dict(span.attributes or {})
    assert str(attributes.pop("db.namespace")).startswith("test_")
    assert attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "memories.store",
        "db.collection.name": "agent_memories",
        "db.response.returned_rows": 1,
    }


async def test_a_failure_is_told_by_its_class_alone(client: PrismaAgentClient, spans: InMemorySpanExporter) -> None:
    """No text of an error, no event with its traceback."""
    with pytest.raises(NotFoundError):
        await client.memories.store(MemoryEntry(agent_id=CONTENTS, content=CONTENTS))

    (span,) = spans.get_finished_spans()
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    assert dict(span.attributes or {})["error.type"] == "NotFoundError"
    assert span.events == ()
    assert CONTENTS not in span.to_json()


class Scout(EnhancedAgentBase):
    """Looks words up, for another one."""

    def __init__(self, name: str = "scout", inner: Scout | None = None) -> None:
        super().__init__(AgentConfig(name=name, category="SUPPORT"))
        self.inner = inner

    async def execute_task(self, task: Any) -> Any:
        self.execution.model = "gpt-5"
        self.execution.usage.add(input=10, cached_input=5, output=7)
        if task == "fail":
            raise ValueError(CONTENTS)
        if self.inner is not None:
            await self.inner.execute_task(task)
        return await self.look_up(task)

    @tool
    async def look_up(self, word: str) -> str:
        """Look a word up."""
        await self.remember(word)
        return word

    def get_capabilities(self) -> list[str]:
        return []


async def test_tasks_and_tools_are_spans_within_each_other(
    client: PrismaAgentClient, spans: InMemorySpanExporter
) -> None:
    """A task of an agent that calls another one and a tool, which stores a memory."""
    inner = Scout("inner")
    outer = Scout("outer", inner)
    await inner.initialize(client)
    await outer.initialize(client)
    spans.clear()

    await outer.execute_task(CONTENTS)

    finished = spans.get_finished_spans()
    by_id = {span.context.span_id: span.name for span in finished if span.context}
    nested = {(span.name, by_id.get(span.parent.span_id) if span.parent else None) for span in finished}
    assert nested == {
        ("invoke_agent outer", None),
        ("invoke_agent inner", "invoke_agent outer"),
        ("executions.track", "invoke_agent outer"),
        ("executions.track", "invoke_agent inner"),
        ("execute_tool look_up", "invoke_agent outer"),
        ("execute_tool look_up", "invoke_agent inner"),
        ("memories.store", "execute_tool look_up"),
        ("executions.track.end", "invoke_agent outer"),
        ("executions.track.end", "invoke_agent inner"),
    }
    task = _named(spans)["invoke_agent outer"]
    assert task.kind.name == "INTERNAL"
    assert dict(task.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": outer.id,
        "gen_ai.agent.name": "outer",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.input_tokens": 15,
        "gen_ai.usage.output_tokens": 7,
    }
    called = _named(spans)["execute_tool look_up"]
    assert dict(called.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
    }
    assert [span.name for span in finished if CONTENTS in span.to_json()] == []


async def test_a_task_that_fails_is_an_error_and_its_recording_is_none(
    client: PrismaAgentClient, spans: InMemorySpanExporter
) -> None:
    """What it says stays in the database."""
    agent = Scout()
    await agent.initialize(client)
    with pytest.raises(ValueError, match=CONTENTS):
        await agent.execute_task("fail")

    named = _named(spans)
    assert named["invoke_agent scout"].status.status_code.name == "ERROR"
    assert dict(named["invoke_agent scout"].attributes or {})["error.type"] == "ValueError"
    assert named["executions.track.end"].status.status_code.name == "UNSET"
    assert CONTENTS not in named["invoke_agent scout"].to_json()


async def test_telemetry_that_fails_is_no_failure_of_the_work(
    client: PrismaAgentClient, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A sampler, a processor: whatever raises there."""
    from opentelemetry.sdk.trace import Span, Tracer

    def fail(*_args: Any, **_named: Any) -> None:
        raise RuntimeError(CONTENTS)

    agent = Scout()
    await agent.initialize(client)
    for owner, name in ((Tracer, "start_span"), (Span, "end"), (Span, "set_attribute"), (Span, "set_status")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, fail)
            assert await agent.execute_task(f"task {name}") == f"task {name}"
            with pytest.raises(ValueError, match=CONTENTS):
                await agent.execute_task("fail")

    assert {record.getMessage() for record in caplog.records if record.name == "agentdb.client"} == {
        "OpenTelemetry has failed"
    }


async def test_lines_are_one_span(client: PrismaAgentClient, spans: InMemorySpanExporter) -> None:
    """And what their reader does is not below it."""
    async for _ in client.memories.export_lines():
        await client.agents.list()

    finished = _named(spans)
    assert finished["memories.export_lines"].parent is None
    assert finished["agents.list"].parent is None


def test_nobody_who_does_not_use_it_loads_it() -> None:
    """Not even a program that opens a client; it need not be installed."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import agentdb, asyncio, contextlib, agentdb.client.telemetry as t\n"
        "async def main():\n"
        "    client = agentdb.PrismaAgentClient('postgresql://db.invalid/x', 'acme')\n"
        "    with contextlib.suppress(agentdb.NotConnectedError): await client.agents.list()\n"
        "    with t.agent_span('a', 'b'), t.tool_span('c'): pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert done.stdout.strip() == "[]"
