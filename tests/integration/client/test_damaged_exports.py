"""Exports that are damaged, cut off or made up: refused with a place and a reason, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from agentdb import Agent, ConflictError, InvalidInputError, MemoryEntry, PrismaAgentClient
from agentdb.client.memory.lines import MOST_CHARACTERS
from tests.integration.client.transferring import (
    Values,
    exported,
    opened,
    register,
    resealed,
    rows_of,
    sealed,
    store,
    versions_of,
)

pytestmark = pytest.mark.postgres

NOBODY = "ffffffff-0000-7000-8000-000000000000"
Damage = Callable[[list[str]], Any]


@pytest_asyncio.fixture
async def lines(client: PrismaAgentClient, agent: Agent) -> list[str]:
    """An export of three memories: a living one, one with an embedding, and one that it superseded."""
    await store(client, agent, "Größe", metadata={"a": [1, 2.5, None, {"b": "😀"}]}, pinned=True)
    old = await store(client, agent, "old")
    await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="new", embedding=[1.0, -2.5]))
    return await exported(client)


@pytest_asyncio.fixture
async def target(client: PrismaAgentClient, lines: list[str]) -> AsyncIterator[PrismaAgentClient]:
    """Another organization, where nothing may have changed in the end."""
    other = client.for_organization("other")
    yield other
    assert await other.agents.list() == []
    assert await other.memories.count() == 0


def with_line(lines: list[str], index: int, line: Any) -> list[Any]:
    return [*lines[:index], line, *lines[index + 1 :]]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "nothing": (lambda lines: [], "line 1"),
    "empty lines": (lambda lines: ["", " \n"], "line 1"),
    "only the header": (lambda lines: lines[:1], "line 2"),
    "no last line": (lambda lines: lines[:-1], "line 5"),
    "a line is missing": (lambda lines: [*lines[:2], *lines[3:]], "line 4"),
    "a line is there twice": (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3.id"),
    "two lines have changed places": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 3.id"),
    "something follows": (lambda lines: [*lines, "", "x"], "line 7"),
    "another export follows": (lambda lines: lines * 2, "line 6"),
    "a second header": (lambda lines: [lines[0], *lines], "line 2.access_count"),
    "no header": (lambda lines: lines[1:], "line 1"),
    "no JSON": (lambda lines: with_line(lines, 2, "{"), "line 3"),
    "no object": (lambda lines: with_line(lines, 2, "[1]"), "line 3"),
    "half a line": (lambda lines: with_line(lines, 2, lines[2][:90]), "line 3"),
    "two lines in one": (lambda lines: [*lines[:1], lines[1] + lines[2], *lines[3:]], "line 2"),
    "no text": (lambda lines: with_line(lines, 2, lines[2].encode()), "line 3"),
    "no number": (lambda lines: with_line(lines, 2, lines[2].replace("0.5", "NaN")), "line 3.importance"),
    "too deep": (lambda lines: with_line(lines, 2, "[" * 100_000), "line 3"),
    "too long": (lambda lines: with_line(lines, 2, " " * (MOST_CHARACTERS + 1)), "line 3"),
    "another content": (lambda lines: with_line(lines, 1, lines[1].replace("Größe", "Große")), "line 2"),
    "another header": (lambda lines: with_line(lines, 0, lines[0].replace("scout", "spout")), "line 1"),
    "another checksum": (lambda lines: with_line(lines, 1, lines[1].replace('256":"', '256":"0')), "line 2"),
    "no checksum": (lambda lines: with_line(lines, 1, json.dumps(opened(lines)[1])), "line 2"),
    "another count": (lambda lines: with_line(lines, 4, lines[4].replace(":3,", ":4,")), "line 5"),
    "another last checksum": (lambda lines: with_line(lines, 4, lines[4].replace('256":"', '256":"0')), "line 5"),
    "another format": (lambda lines: resealed(lines, lambda d: d[0].update(format="x")), "line 1"),
    "a later version": (lambda lines: resealed(lines, lambda d: d[0].update(version=2)), "line 1"),
    "a lone surrogate": (lambda lines: with_line(lines, 1, lines[1].replace("Größe", "\\ud800")), "line 2.content"),
}


async def test_damage_is_refused(lines: list[str], target: PrismaAgentClient) -> None:
    """The error says where, and stays short."""
    for damage, (change, field) in DAMAGES.items():
        await refuse(target, change(lines), field, damage)


async def refuse(target: PrismaAgentClient, lines: Any, field: str, what: str) -> None:
    """Import what has to be refused."""
    with pytest.raises(InvalidInputError) as caught:
        await target.memories.import_lines(lines)
    assert (what, caught.value.field) == (what, field)
    assert len(str(caught.value)) < 250


WRONG_VALUES: dict[str, tuple[Any, ...]] = {
    "not an id": ("id", "x"),
    "no id": ("id", None),
    "the id before it": ("id", "00000000-0000-7000-8000-000000000000"),
    "an unknown agent": ("agent_id", "nobody"),
    "no content": ("content", ""),
    "a NUL": ("content", "a\x00b"),
    "too long a content": ("content", "x" * 1_000_001),
    "a NUL in metadata": ("metadata", {"a": ["\x00"]}, ".a[0]"),
    "no object": ("metadata", [1]),
    "too important": ("importance", 1.5),
    "no importance": ("importance", None),
    "important text": ("importance", "0.5"),
    "no type": ("memory_type", ""),
    "too long a type": ("memory_type", "x" * 101),
    "nobody sees it": ("visibility", "nobody"),
    "never stored": ("store_count", 0),
    "too often stored": ("store_count", 2**31),
    "accessed less than never": ("access_count", -1),
    "no time": ("created_at", "yesterday"),
    "out of time": ("occurred_at", "0001-01-01T00:00:00+00:00"),
    "no time at all": ("occurred_at", None),
    "too late": ("expires_at", "9999-12-31T23:59:59.999999+00:00"),
    "not an execution": ("execution_id", "x"),
    "superseded at no time": ("superseded_at", "2026-01-01T00:00:00+00:00"),
    "no base64": ("embedding", "~~~~"),
    "a list": ("embedding", [1.0]),
    "half a float": ("embedding", "AAA="),
    "no floats": ("embedding", ""),
    "all zero": ("embedding", "AAAAAAAAAAA="),
    "not finite": ("embedding", "AADAfw=="),
    "too many floats": ("embedding", "AACAPwAA" * 8001),
    "of no model": ("embedding_model", None),
    "with an error": ("embedding_error", "no answer"),
    "too long a model": ("embedding_model", "x" * 256),
}


async def test_a_value_that_could_not_be_stored_is_refused(lines: list[str], target: PrismaAgentClient) -> None:
    """Also when the checksums fit; the field is named."""
    line = next(number for number, values in enumerate(opened(lines), start=1) if values.get("embedding"))
    for wrong, (name, value, *inside) in WRONG_VALUES.items():
        documents = opened(lines)
        documents[line - 1][name] = value
        await refuse(target, sealed_anyway(documents), f"line {line}.{name}{''.join(inside)}", wrong)


def sealed_anyway(documents: list[Values]) -> list[str]:
    """Return lines with checksums that fit, also of what the writer refuses."""
    lines, checksums = [], ""
    for document in documents:
        text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        checksum = hashlib.sha256(text.encode()).hexdigest()
        checksums += checksum
        lines.append(f'{text[:-1]},"sha256":"{checksum}"}}')
    last = hashlib.sha256(checksums.encode()).hexdigest()
    return [*lines, json.dumps({"memories": len(documents) - 1, "sha256": last})]


WRONG_SHAPES: dict[str, tuple[Callable[[list[Values]], object], str]] = {
    "a field is missing": (lambda d: d[1].pop("pinned"), "line 2.pinned"),
    "a field is unknown": (lambda d: d[1].update(mood="good"), "line 2.mood"),
    "of the header one is missing": (lambda d: d[0].pop("agents"), "line 1.agents"),
    "of the header one is unknown": (lambda d: d[0].update(mood="good"), "line 1.mood"),
    "no agents": (lambda d: d[0].update(agents={}), "line 1.agents"),
    "no agent": (lambda d: d[0].update(agents=[1]), "line 1.agents[0]"),
    "an agent without an id": (lambda d: d[0]["agents"][0].update(id=None), "line 1.agents[0].id"),
    "an agent without a name": (lambda d: d[0]["agents"][0].update(name=""), "line 1.agents[0].name"),
    "an agent of no category": (lambda d: d[0]["agents"][0].update(category="X"), "line 1.agents[0].category"),
    "an agent twice": (lambda d: d[0]["agents"].append(d[0]["agents"][0]), "line 1.agents"),
    "a name twice": (lambda d: d[0]["agents"].append({**d[0]["agents"][0], "id": "x"}), "line 1.agents"),
    "superseded by itself": (
        lambda d: [v.update(superseded_by=v["id"]) for v in d[1:] if v["superseded_by"]],
        "line 3.superseded_by",
    ),
    "superseded by nobody": (
        lambda d: [v.update(superseded_by=NOBODY) for v in d[1:] if v["superseded_by"]],
        "superseded_by",
    ),
}


async def test_a_shape_that_no_export_has_is_refused(lines: list[str], target: PrismaAgentClient) -> None:
    """Also when the checksums fit."""
    for wrong, (change, field) in WRONG_SHAPES.items():
        await refuse(target, resealed(lines, change), field, wrong)


async def test_two_equal_living_ones_become_one(
    client: PrismaAgentClient, lines: list[str], target: PrismaAgentClient, admin_url: str
) -> None:
    """No export has them; the first stays and is what the other's older version leads to."""
    documents = opened(lines)
    newest = next(values for values in documents if values.get("content") == "new")
    (older,) = (values for values in documents[1:] if values["superseded_by"])
    documents.append({**newest, "id": NOBODY})
    older["superseded_by"] = NOBODY

    third = client.for_organization("third")
    assert await third.memories.import_lines(sealed(documents)) == (3, 1)

    assert [memory.id for memory in await third.memories.history(older["id"])] == [older["id"], newest["id"]]
    assert len(await rows_of(admin_url, "third")) == 3


async def test_written_in_another_way_it_is_the_same(
    client: PrismaAgentClient, lines: list[str], admin_url: str
) -> None:
    """Other tools order and escape JSON in their own ways, and end lines in theirs."""
    third = client.for_organization("third")
    other_lines = [json.dumps(dict(reversed(json.loads(line).items())), indent=None) + "\r\n" for line in lines]

    assert await third.memories.import_lines([*other_lines, "\n"]) == (3, 0)
    assert await rows_of(admin_url, "third") == await rows_of(admin_url, "acme")


async def test_a_refusal_leaves_what_was_there(client: PrismaAgentClient, lines: list[str], admin_url: str) -> None:
    """An organization that has memories keeps them untouched."""
    third = client.for_organization("third")
    await third.memories.import_lines(lines)
    before = await versions_of(admin_url, "third")

    for damaged in (lines[:-1], resealed(lines, lambda documents: documents[3].update(content="x"))):
        with pytest.raises((InvalidInputError, ConflictError)):
            await third.memories.import_lines(damaged)

    assert await versions_of(admin_url, "third") == before


async def test_whatever_byte_is_flipped(client: PrismaAgentClient, lines: list[str], admin_url: str) -> None:
    """The export is refused and nothing is changed, or it still says the same: an escape may be spelled another way."""
    third = client.for_organization("third")
    await register(client, "idle")
    whole = "\n".join([*lines, ""]).encode()
    expected = await rows_of(admin_url, "acme")
    dice = random.Random(20261128)
    refused = 0

    for _ in range(1000):
        flipped = bytearray(whole)
        place = dice.randrange(len(whole))
        flipped[place] = flipped[place] ^ (1 << dice.randrange(8)) if dice.random() < 0.8 else dice.randrange(256)
        try:
            await third.memories.import_lines(bytes(flipped).decode().split("\n"))
        except (UnicodeDecodeError, InvalidInputError):
            refused += 1
            assert await third.memories.count() == 0
        else:
            assert await rows_of(admin_url, "third") == expected
            await third.agents.delete("scout-1")

    assert refused > 950
    assert await third.agents.list() == []
