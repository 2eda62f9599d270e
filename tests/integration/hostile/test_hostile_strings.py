"""Ten thousand hostile strings into every text argument of every public method and every text field of every model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import agentdb
from agentdb import (
    AgentConfig,
    InvalidInputError,
    Memory,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    acting_as,
)
from agentdb.client.resource import Resource
from agentdb.models.base import Input
from tests.conftest import Database
from tests.integration.hostile.calls import (
    CALLS,
    CONTENT,
    INTERNAL,
    NAME,
    RESOURCES,
    SHORT,
    Call,
    Text,
    World,
    document,
    text_arguments,
    text_fields,
)
from tests.integration.hostile.conftest import make_world
from tests.integration.hostile.strings import KINDS, hostile_strings, is_storable
from tests.integration.hostile.witness import checksums, unharmed

pytestmark = pytest.mark.postgres

AT_ONCE = 8
_LONGEST_MESSAGE = 900
_SHOWN = 300


def test_the_strings_are_hostile() -> None:
    """Ten thousand of them, all different, every fragment of every kind alone and within others."""
    texts = hostile_strings()

    assert len(set(texts)) == len(texts) == 10_000
    assert {fragment for fragments in KINDS.values() for fragment in fragments} <= set(texts)
    assert sum(not is_storable(text) for text in texts) > 300
    assert sum(len(text) > 255 for text in texts) > 300


def test_every_public_method_is_thought_of() -> None:
    """A method or an argument that is added later has to be added to the calls, or this fails."""
    client = PrismaAgentClient("postgresql://db.invalid/agents", "acme")
    resources = {name for name, value in vars(client).items() if isinstance(value, Resource)}
    assert {*resources, "client"} == set(RESOURCES)
    missing: list[str] = []
    for resource in RESOURCES:
        kind = type(client if resource == "client" else getattr(client, resource))
        for name, function in inspect.getmembers(kind, callable):
            method = f"{resource}.{name}"
            if name.startswith("_") or method in INTERNAL or not text_arguments(function):
                continue
            calls = [call for key, call in CALLS.items() if key.partition(" ")[0] == method]
            covered = {argument for call in calls for argument in call.arguments}
            for argument in text_arguments(function):
                if argument in ("changes", "options") or any(call.build for call in calls):
                    continue  # fields by name, or a model, which the next test looks at
                if argument not in covered:
                    missing.append(f"{method}.{argument}")
    assert missing == []


def test_every_field_of_a_model_that_callers_build_is_thought_of() -> None:
    """And every such model is built by some call."""
    built = {model for call in CALLS.values() for model in call.models}
    own = {value for value in vars(agentdb).values() if isinstance(value, type) and issubclass(value, Input)}

    assert {model for model in own if text_fields(model)} == built
    missing = [
        f"{method}: {model.__name__}.{name}"
        for method, call in CALLS.items()
        for model in call.models
        for name in text_fields(model)
        if name not in call.arguments
    ]
    assert missing == []


def test_no_model_shows_what_it_was_given() -> None:
    """Not in pydantic's own errors."""
    models = [value for value in vars(agentdb).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    shown = [
        model.__name__
        for model in models
        if issubclass(model, Input) and not model.model_config.get("hide_input_in_errors")
    ]

    assert len(models) > 10
    assert shown == []


@pytest.mark.parametrize("resource", RESOURCES)
async def test_hostile_text_is_kept_or_refused(
    resource: str, client: PrismaAgentClient, database: Database, log: Path
) -> None:
    """
    Whatever can be stored comes back as it was; the rest is refused by the name of its argument, which is not echoed.

    No statement fails to parse, the catalogue stays, rows of other organizations stay.
    """
    calls = {method: call for method, call in CALLS.items() if method.startswith(f"{resource}.")}
    async with unharmed(database, log) as connection, client:
        spent = [call.at_most or len(hostile_strings()) for call in calls.values() if call.spends]
        world = await make_world(client, database, rows=max(spent, default=1))
        before = await checksums(connection)
        problems = [problem for method, call in calls.items() for problem in await _find_nothing(world, method, call)]
        await client.gathering.journal.flush()
        await client.gathering.accesses.flush()
        assert await checksums(connection) == before
        for method, call in calls.items():
            problems += await _are_refused(world, method, call)
            problems += await _are_kept(world, method, call)
        await client.gathering.journal.flush()
    assert not problems, "\n".join([f"{len(problems)} problems", *problems[:20]])


async def test_hostile_text_is_sealed_and_opened(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """Encrypted, it comes back as it was, is found by equality of its metadata, and stands nowhere in the database."""
    texts = [text for text in hostile_strings() if CONTENT.accepts(text)][:3_000]
    settings = replace(client.settings, encryption_keys={"k": bytes(32)}, encrypt=frozenset({"executions", "tools"}))
    async with unharmed(database, log) as connection, PrismaAgentClient(settings=settings) as sealing:
        await sealing.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
        entries = [
            MemoryEntry(agent_id="scout", content=text, metadata={**document(text), "place": number}, sensitive=True)
            for number, text in enumerate(texts)
        ]
        ids = await sealing.memories.store_many(entries)
        found = {memory.id: memory for memory in await _all_memories(sealing)}
        assert [found[id].content for id in ids] == texts
        assert [found[id].metadata for id in ids] == [entry.metadata for entry in entries]
        for number, (id, text) in islice(enumerate(zip(ids, texts, strict=True)), 300):
            hits = await sealing.memories.list("scout", where={"value": text, "place": number})
            assert [memory.id for memory in hits] == [id]
            execution = await sealing.executions.start("scout", document(text))
            finished = await sealing.executions.finish(execution.id, document(text))
            if len(text) <= 10_000:
                assert (finished.task, finished.result) == (document(text), document(text))
            tool = await sealing.tools.register(f"tool {number}", parameters=document(text))
            assert (await sealing.tools.get(tool.name)).parameters == document(text)
        assert await connection.fetchval("SELECT count(*) FROM agent_memories WHERE sealed IS NULL AND sensitive") == 0
        assert await connection.fetchval("SELECT count(*) FROM agent_memories WHERE sensitive AND content <> ''") == 0


async def test_hostile_users_are_logged_as_they_are(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """With every call's entry in the table, which verifies afterwards; an entry is never more than one."""
    texts = [text for text in hostile_strings() if NAME.accepts(text)][:2_000]
    async with unharmed(database, log), PrismaAgentClient(settings=replace(client.settings, access_log=True)) as logged:
        await logged.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
        for number, text in enumerate(texts):
            with acting_as(agent_id=text, user=text):
                await logged.memories.store(MemoryEntry(agent_id="scout", content=f"{number} {text}", id=None))
        for text in texts[:200]:
            (entry,) = await logged.access_log.list(user=text, agent_id=text)
            assert (entry.user_name, entry.agent_id, entry.operation) == (text, text, "memories.store")
        audit = await logged.verify_access_log()
        assert audit.problems == []
        assert audit.entries >= len(texts)
        for text in (text for text in hostile_strings() if not NAME.accepts(text)):
            with pytest.raises(InvalidInputError, match=r"^(agent_id|user): "), acting_as(user=text):
                pass


async def test_hostile_text_travels(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """Exported and imported into another organization, every row is what it was."""
    async with unharmed(database, log), client:
        await make_world(client, database, rows=10)
        texts = [text for text in hostile_strings() if SHORT.accepts(text)][:2_000]
        entries = [
            MemoryEntry(agent_id="idle", content=text, memory_type=text, metadata=document(text)) for text in texts
        ]
        await client.memories.store_many(entries)
        for text in texts[:100]:
            execution = await client.executions.start("idle", document(text), kind=text, model=text)
            await client.executions.fail(execution.id, text)
            await client.metrics.record("idle", text, 1.0, text, labels=document(text))
            await client.patterns.record("idle", text, document(text), name=text)
        lines = [line async for line in client.export_lines("idle")]
        other = client.for_organization("elsewhere")
        await other.import_lines(lines)
        before, after = [
            {
                memory.id: (memory.content, memory.memory_type, memory.metadata)
                for memory in await _all_memories(one, "idle")
            }
            for one in (client, other)
        ]
        assert before == after
        assert len(before) == len(texts)
        for one in (client, other):
            executions = await one.executions.list("idle", limit=1000)
            patterns = await one.patterns.list("idle", include_shared=False, limit=1000)
            assert [(row.task, row.kind, row.model, row.error) for row in executions[::-1]] == [
                (document(text), text, text, text) for text in texts[:100]
            ]
            assert {row.name: (row.pattern_type, row.content) for row in patterns} == {
                text: (text, document(text)) for text in texts[:100]
            }


async def _all_memories(client: PrismaAgentClient, agent_id: str = "scout") -> list[Memory]:
    found: list[Memory] = []
    while page := await client.memories.list(agent_id, limit=1000, offset=len(found)):
        found += page
    return found


# The three things that a hostile text can do.


async def _find_nothing(world: World, method: str, call: Call) -> list[str]:
    """Put hostile text in the place of names and ids of rows: nothing is found, and nothing changes."""
    names = {name: text for name, text in call.texts.items() if text.names_a_row}
    if not names:
        return []
    taken = {name: _of(text.accepts, call)[: call.names_at_most] for name, text in names.items()}

    async def one(number: int) -> str | None:
        arguments = {name: names[name].made(texts[number]) for name, texts in taken.items() if number < len(texts)}
        fine = {name: value for name, value in call.fine.items() if name not in names or value is not None}
        _, error = await _outcome(world, method, call, {**fine, **arguments})
        if error is None or isinstance(error, NotFoundError):
            return None
        return _problem(method, "names", arguments, error)

    return await _each(range(max(map(len, taken.values()))), one)


async def _are_refused(world: World, method: str, call: Call) -> list[str]:
    """Put what cannot be taken into one argument after another: refused by its name, and not echoed at length."""
    cases = [(name, text, hostile) for name, text in call.texts.items() for hostile in _of(text.refuses, call)]

    async def one(case: tuple[str, Text, str]) -> str | None:
        name, text, hostile = case
        _, error = await _outcome(world, method, call, {**_fine(world, call, 0), name: text.made(hostile)})
        if not isinstance(error, InvalidInputError | ValidationError):
            return _problem(method, f"{name} was not refused", {name: hostile}, error)
        named = error.field if isinstance(error, InvalidInputError) else str(error.errors()[0]["loc"])
        if (text.reported or name) not in named:
            return _problem(method, f"{name} is called {named[:60]!r}", {name: hostile}, error)
        said = str(error)
        if len(said) > _LONGEST_MESSAGE or (len(hostile) > _SHOWN and hostile[:_SHOWN] in said):
            return _problem(method, f"{name} is echoed", {name: hostile}, error)
        return None

    return await _each(cases, one)


async def _are_kept(world: World, method: str, call: Call) -> list[str]:
    """Put hostile text into all the other arguments at once: it comes back as it was."""
    values = {name: text for name, text in call.texts.items() if not text.names_a_row}
    taken = {name: _of(text.accepts, call) for name, text in values.items()}
    step = 811 + 13 * len(method)  # other pairs for each method: no two write equal rows

    async def one(number: int) -> str | None:
        # Each argument another text, so that what one shows of another is seen.
        texts = {
            name: taken[name][(number + step * place) % len(taken[name])]
            for place, name in enumerate(values)
            if number < len(taken[name])
        }
        arguments = {name: values[name].made(hostile) for name, hostile in texts.items()}
        result, error = await _outcome(world, method, call, {**_fine(world, call, number), **arguments})
        if error is not None:
            return (
                None
                if isinstance(error, NotFoundError) and not call.fine
                else _problem(method, "refused", texts, error)
            )
        if call.reads_back is not None:
            result = await call.reads_back(world.client, result)
        row = result[0] if isinstance(result, list) and result else result
        changed = [
            name
            for name, hostile in texts.items()
            if len(hostile) <= values[name].kept_up_to and getattr(row, name, arguments[name]) != arguments[name]
        ]
        return _problem(method, f"{changed} changed", texts, None) if changed else None

    return await _each(range(max(map(len, taken.values()), default=0)), one)


# How it is done.


async def _outcome(
    world: World, method: str, call: Call, arguments: dict[str, Any]
) -> tuple[Any, BaseException | None]:
    resource, _, name = method.partition(" ")[0].partition(".")
    owner = world.client if resource == "client" else getattr(world.client, resource)
    try:
        made = call.build(arguments) if call.build else arguments
        if call.run is not None:
            return await call.run(world.client, **made), None
        result = getattr(owner, name)(**made)
        return (await result if inspect.isawaitable(result) else result), None
    except Exception as error:
        return None, error


def _fine(world: World, call: Call, number: int) -> dict[str, Any]:
    """Return what is fine, one row of those that are used up in its place."""
    if call.spends is None:
        return dict(call.fine)
    rows, argument = call.spends
    spare = getattr(world, rows)
    return {**call.fine, argument: spare[number % len(spare)]}


def _of(takes: Callable[[str], bool], call: Call) -> Sequence[str]:
    texts = [text for text in hostile_strings() if takes(text)]
    return texts if call.at_most is None else texts[: call.at_most]


async def _each(items: Iterable[Any], work: Callable[[Any], Awaitable[str | None]]) -> list[str]:
    """Do *work* for each of *items*, some at once; return what went wrong."""
    source = iter(items)

    async def some() -> list[str]:
        found = []
        for item in source:
            problem = await work(item)
            if problem is not None:
                found.append(problem)
        return found

    return [
        problem for found in await asyncio.gather(*(some() for _ in range(AT_ONCE))) for problem in islice(found, 20)
    ]


def _problem(method: str, what: str, given: dict[str, Any], error: BaseException | None) -> str:
    shown = {name: ascii(value)[:80] for name, value in given.items()}
    return f"{method}: {what}: {shown} {type(error).__name__}: {ascii(str(error))[:200]}"
