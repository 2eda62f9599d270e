"""What the models take, and what they refuse before anything is written."""

from __future__ import annotations

import array
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from agentdb import (
    AgentCategory,
    AgentConfig,
    InvalidInputError,
    Memory,
    MemoryEntry,
    MemoryHit,
    MetricPoint,
    SearchResult,
    TokenUsage,
)
from agentdb.models import from_row
from agentdb.validation import checked

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MEMORY = {
    "id": "01a204bf-38e6-7c72-a0e5-6526c4d1d84c",
    "agent_id": "a",
    "content": "text",
    "metadata": {"x": [1]},
    "importance": 0.5,
    "memory_type": "general",
    "visibility": "agent",
    "sensitive": False,
    "pinned": False,
    "embedding_model": None,
    "embedding_error": None,
    "execution_id": None,
    "created_at": NOW,
    "occurred_at": NOW,
    "expires_at": None,
    "superseded_by": None,
    "store_count": 1,
    "access_count": 0,
    "last_accessed_at": None,
}

NESTED: dict[str, Any] = {}
NESTED["self"] = NESTED

REFUSED_ENTRIES = [
    ({"importance": math.nan}, "importance"),
    ({"importance": 1.0001}, "importance"),
    ({"importance": -0.1}, "importance"),
    ({"importance": "much"}, "importance"),
    ({"importance": "0.5"}, "importance"),
    ({"importance": b"1"}, "importance"),
    ({"importance": True}, "importance"),
    ({"content": ""}, "content"),
    ({"content": "a\x00b"}, "content"),
    ({"content": "\ud800"}, "content"),
    ({"content": "x" * 1_000_001}, "content"),
    ({"agent_id": "a\x00"}, "agent_id"),
    ({"agent_id": ""}, "agent_id"),
    ({"memory_type": "\udfff"}, "memory_type"),
    ({"metadata": {"a": math.nan}}, "metadata.a"),
    ({"metadata": {"a": [1, {"b": math.inf}]}}, "metadata.a[1].b"),
    ({"metadata": {"a": "x\x00"}}, "metadata.a"),
    ({"metadata": {"a": ["\ud800"]}}, "metadata.a[0]"),
    ({"metadata": {"a": {1: 2}}}, "metadata.a"),
    ({"metadata": {"a": NOW}}, "metadata.a"),
    ({"metadata": {"a": {1, 2}}}, "metadata.a"),
    ({"metadata": {"a": b"bytes"}}, "metadata.a"),
    ({"metadata": {"a": NESTED}}, "metadata"),
    ({"metadata": "text"}, "metadata"),
    ({"embedding": []}, "embedding"),
    ({"embedding": [0.0, 0.0]}, "embedding"),
    ({"embedding": [1.0, math.nan]}, "embedding.1"),
    ({"embedding": [1.0, 1e39]}, "embedding"),
    ({"embedding": [1e-60, 1e-60]}, "embedding"),
    ({"embedding": [1.0, "2"]}, "embedding.1"),
    ({"embedding": (True, 1.0)}, "embedding.0"),
    ({"embedding": "[1,2]"}, "embedding"),
    ({"embedding": [1.0] * 16_001}, "embedding"),
    ({"visibility": "everyone"}, "visibility"),
    ({"expires_at": "soon"}, "expires_at"),
    ({"id": "not-a-uuid"}, "id"),
    ({"idempotency_key": ""}, "idempotency_key"),
    ({"importanse": 0.5}, "importanse"),
]


def entry(**fields: Any) -> MemoryEntry:
    return MemoryEntry(**{"agent_id": "a", "content": "text", **fields})


@pytest.mark.parametrize(("fields", "field"), REFUSED_ENTRIES, ids=[name for _, name in REFUSED_ENTRIES])
def test_a_bad_entry_is_refused_and_the_field_named(fields: dict[str, Any], field: str) -> None:
    """Building the model raises pydantic's error; through the client it is ours, short, with the path of the field."""
    with pytest.raises(ValidationError) as theirs:
        entry(**fields)
    assert len(str(theirs.value)) < 1000

    with pytest.raises(InvalidInputError) as ours:
        checked(MemoryEntry, **{"agent_id": "a", "content": "text", **fields})
    assert ours.value.field == field
    assert len(str(ours.value)) < 300


def test_an_entry_takes_vectors_of_every_kind() -> None:
    """A list, a tuple and an array are the same vector."""
    for vector in ([1.0, 2.0], (1, 2), array.array("f", [1.0, 2.0])):
        assert entry(embedding=vector).embedding == [1.0, 2.0]


def test_metadata_is_a_copy() -> None:
    """Changing the caller's dict afterwards changes nothing; a tuple becomes what JSON makes of it."""
    metadata: dict[str, Any] = {"tags": ("a", "b"), "n": 2**70, "nul": "\\u0000"}
    made = entry(metadata=metadata)
    metadata["late"] = object()

    assert made.metadata == {"tags": ["a", "b"], "n": 2**70, "nul": "\\u0000"}


def test_a_naive_time_is_utc() -> None:
    """Times are aware and in UTC once they are in a model."""
    made = entry(occurred_at=datetime(2026, 1, 1), expires_at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))))

    assert made.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert str(made.expires_at) == "2025-12-31 22:00:00+00:00"


def test_an_assignment_is_checked_too() -> None:
    """An entry stays valid."""
    made = entry()
    made.importance = 1.0
    with pytest.raises(ValidationError):
        made.importance = 2.0


@pytest.mark.parametrize("category", ["SUPPORT", "support", AgentCategory.SUPPORT])
def test_a_category_in_any_case(category: Any) -> None:
    """Lower case is accepted, and it is a str."""
    config = AgentConfig(name="n", category=category)

    assert config.category is AgentCategory.SUPPORT
    assert config.category == "SUPPORT" == f"{config.category}"


@pytest.mark.parametrize(
    "fields", [{"category": "OTHER"}, {"name": ""}, {"name": "x" * 256}, {"capabilities": ["\x00"]}]
)
def test_a_bad_config_is_refused(fields: dict[str, Any]) -> None:
    """As for memories."""
    with pytest.raises(ValidationError):
        AgentConfig(**{"name": "n", "category": "SUPPORT", **fields})


def test_the_category_is_required() -> None:
    """Agents written for the old base have none."""
    with pytest.raises(ValidationError, match="category"):
        AgentConfig(name="n")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"value": math.nan}, "value"),
        ({"value": math.inf}, "value"),
        ({"value": -1.1e300}, "value"),
        ({"value": "3.5"}, "value"),
        ({"value": True}, "value"),
        ({"value": b"1"}, "value"),
        ({"name": ""}, "name"),
        ({"unit": "x" * 101}, "unit"),
        ({"labels": {"a": math.nan}}, "labels.a"),
        ({"recorded_at": datetime.now(UTC) + timedelta(hours=25)}, "recorded_at"),
    ],
)
def test_a_bad_point_is_refused(fields: dict[str, Any], field: str) -> None:
    """Not finite, or more than a day ahead."""
    with pytest.raises(InvalidInputError) as caught:
        checked(MetricPoint, **{"agent_id": "a", "name": "n", "value": 1, **fields})
    assert caught.value.field == field


def test_a_point_may_lie_a_little_ahead() -> None:
    """Clocks differ."""
    assert (
        MetricPoint(agent_id="a", name="n", value=1, recorded_at=datetime.now(UTC) + timedelta(hours=23)).value == 1.0
    )


def test_token_classes_are_disjoint() -> None:
    """Reasoning is a part of output, and the total counts every token once."""
    usage = TokenUsage(input=1, cached_input=2, cache_write=4, output=8, reasoning=5)

    assert usage.total == 15
    assert (usage + usage).output == 16
    for wrong in ({"output": 1, "reasoning": 2}, {"input": -1}, {"input": 2**63}):
        with pytest.raises(ValidationError):
            TokenUsage(**wrong)


def test_a_row_is_the_model_that_validation_would_give() -> None:
    """`from_row` skips the checks and nothing else."""
    fast, checked_one = from_row(Memory, dict(MEMORY)), Memory(**MEMORY)

    assert fast == checked_one
    assert repr(fast) == repr(checked_one)
    assert fast.model_dump() == checked_one.model_dump()
    assert fast.model_dump_json() == checked_one.model_dump_json()
    assert fast.model_fields_set == checked_one.model_fields_set
    assert fast.model_copy(update={"content": "other"}).content == "other"
    with pytest.raises(ValidationError, match="frozen"):
        fast.content = "other"  # type: ignore[misc]


def test_a_search_result_is_a_list() -> None:
    """Hits, best first, and whether all were considered."""
    hit = MemoryHit(memory=Memory(**MEMORY), score=0.5, parts={"lexical": 0.5})
    result = SearchResult([hit], exact=False)

    assert result == [hit]
    assert not result.exact
    assert (hit.id, hit.content) == (MEMORY["id"], "text")


def test_every_model_says_what_it_is() -> None:
    """No public model without a docstring of its own."""
    import agentdb

    models = [value for value in vars(agentdb).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    assert len(models) > 15
    assert [model.__name__ for model in models if not model.__dict__.get("__doc__")] == []
