"""What an entry becomes on its way to the table."""

from __future__ import annotations

from typing import Any

import pytest

from agentdb import DimensionMismatchError, InvalidInputError, MemoryEntry
from agentdb.client.memory.embedding import Embedding
from agentdb.client.memory.rows import (
    MemoryRow,
    UniqueRows,
    array_parameters,
    in_chunks,
    memory_row,
    rows_of,
    unique_rows,
)
from agentdb.ids import keyed_uuid


class FakeEmbedder:
    """Makes vectors of length 2."""

    model = "fake"
    dimensions = 2

    async def embed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]


def row(**fields: Any) -> MemoryRow:
    return memory_row(MemoryEntry(**{"agent_id": "a", "content": "text", **fields}), None, None)


def made_unique(rows: list[MemoryRow]) -> UniqueRows:
    return unique_rows(rows, [made.key for made in rows])


def test_what_equal_means() -> None:
    """Agent, type, content and metadata; nothing else, and no order of keys."""
    same = [
        row(metadata={"a": 1, "b": 2}),
        row(metadata={"b": 2, "a": 1}, importance=0.9, pinned=True, idempotency_key="k"),
    ]
    other = [
        row(metadata={"a": 1}),
        row(content="Text", metadata={"a": 1, "b": 2}),
        row(memory_type="fact", metadata={"a": 1, "b": 2}),
        row(agent_id="b", metadata={"a": 1, "b": 2}),
    ]

    assert len({made.key for made in same}) == 1
    assert len({made.key for made in same + other}) == 5


def test_metadata_changed_after_the_entry_was_built_is_checked_again() -> None:
    """A dict cannot be frozen; the error names the row."""
    entry = MemoryEntry(agent_id="a", content="text", metadata={"x": 1})
    entry.metadata["x"] = "\x00"

    with pytest.raises(InvalidInputError) as caught:
        list(rows_of([entry], None, None))
    assert caught.value.field == "entries[0].metadata.x"


@pytest.mark.parametrize("vector", [[1e-60], [1e39], ["1"], [0.0], []])
def test_an_embedding_changed_after_the_entry_was_built_is_checked_again(vector: list[Any]) -> None:
    """Here, where the entry can still be named."""
    entry = MemoryEntry(agent_id="a", content="text", embedding=[1.0])
    assert isinstance(entry.embedding, list)
    entry.embedding[:] = vector

    with pytest.raises(InvalidInputError) as caught:
        list(rows_of([entry], None, None))
    assert caught.value.field.startswith("entries[0].embedding")


@pytest.mark.parametrize("entry", [{"agent_id": "a", "content": "x"}, None, "text"])
def test_only_an_entry_is_an_entry(entry: Any) -> None:
    """A dict has to be made one first."""
    with pytest.raises(InvalidInputError, match="MemoryEntry"):
        memory_row(entry, None, None)


def test_the_id_is_the_entrys_or_its_keys_or_new() -> None:
    """An id and a key would be two answers to one question."""
    id = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"

    assert row(id=id.upper()).id == id
    assert row(idempotency_key="k").id == str(keyed_uuid("a", "k"))
    assert row().id != row().id
    with pytest.raises(InvalidInputError, match="idempotency_key"):
        row(id=id, idempotency_key="k")


def test_an_embedding_is_as_long_as_the_embedders() -> None:
    """Without an embedder any length is, and the model is "unnamed" unless it is named."""
    entry = MemoryEntry(agent_id="a", content="text", embedding=[1, 2, 3])
    embedding = Embedding(FakeEmbedder())

    assert memory_row(entry, None, None).embedding_model == "unnamed"
    with pytest.raises(DimensionMismatchError) as caught:
        memory_row(entry, embedding, None)
    assert (caught.value.expected, caught.value.actual, caught.value.field) == (2, 3, "embedding")
    with pytest.raises(DimensionMismatchError) as caught:
        list(rows_of([entry], embedding, None))
    assert (caught.value.actual, caught.value.field) == (3, "entries[0].embedding")
    fitting = entry.model_copy(update={"embedding": [1.0, 2.0]})
    assert memory_row(fitting, embedding, None).embedding_model == "fake"
    assert row(embedding_model="m").embedding_model is None


def test_equal_rows_are_one_and_in_a_fixed_order() -> None:
    """Whatever the order they came in; each is counted."""
    rows = [row(content=text) for text in "abcab"]
    one, other = made_unique(rows), made_unique(rows[::-1])

    assert [made.key for made in one.rows] == [made.key for made in other.rows] == sorted({made.key for made in rows})
    assert sorted(one.copies) == [1, 2, 2]
    assert sorted(one.positions) == [0, 1, 2]
    assert {made.id for made in one.rows} == {made.id for made in rows[:3]}
    assert one.without({rows[2].id}).copies == [2, 2]


def test_a_column_of_defaults_travels_empty() -> None:
    """One agent goes as a scalar, defaults not at all."""
    plain = array_parameters(made_unique([row(content="a"), row(content="b")]))
    assert plain[0] == "a"
    assert [bool(column) for column in plain[1:]] == [True, False, True, True, *[False] * 15, True]

    full = array_parameters(
        made_unique(
            [
                row(agent_id="x")._replace(embedding_error="none came", execution_id="e"),
                row(agent_id="y", metadata={"a": 1}, importance=1, memory_type="t", visibility="organization",
                    sensitive=True, pinned=True, embedding=[1], occurred_at="2026-01-01", expires_at="2026-01-01")
                ._replace(sealed=b"sealed", lookups='{"hash"}'),
                row(agent_id="x"),
            ]
        )
    )  # fmt: skip
    assert full[0] is None
    assert all(len(column) == 2 for column in full[1:])  # type: ignore[arg-type]


async def test_a_batch_is_cut_by_rows_and_by_size() -> None:
    """1,000 rows, or what adds up to 4,000,000 characters."""

    async def sizes(entries: Any) -> list[int]:
        return [len(rows) async for rows in in_chunks(rows_of(entries, None, None))]

    assert await sizes(MemoryEntry(agent_id="a", content=str(n)) for n in range(2001)) == [1000, 1000, 1]
    assert await sizes([MemoryEntry(agent_id="a", content="x" * 1_000_000)] * 5) == [4, 1]
    assert await sizes([]) == []
