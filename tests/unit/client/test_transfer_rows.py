"""What a line of an export holds, and the row that it becomes."""

from __future__ import annotations

import base64
import re
import struct
import sys
from array import array
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import AgentConfig, MemoryEntry
from agentdb.client.memory import transfer_rows
from agentdb.client.memory.arrivals import Elsewhere
from agentdb.client.memory.rows import memory_row
from agentdb.client.memory.transfer_rows import TransferRow, agents_in, memory_values, transfer_row
from agentdb.client.queries import load_queries
from agentdb.postgres.vector import pack_vector

SQL = load_queries("memory_transfer")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": "01a204bf-38e6-7c72-a0e5-6526c4d1d84c",
    "agent_id": "a",
    "content": "text",
    "metadata": '{"b": 1, "a": [2.50]}',
    "importance": 0.25,
    "memory_type": "fact",
    "visibility": "organization",
    "sensitive": True,
    "pinned": False,
    "embedding": pack_vector([1.0, -2.5]),
    "embedding_model": "m",
    "embedding_error": None,
    "execution_id": None,
    "superseded_by": None,
    "superseded_at": None,
    "store_count": 2,
    "access_count": 3,
    "last_accessed_at": NOW,
    "occurred_at": datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    "expires_at": datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC),
    "created_at": NOW,
    "updated_at": NOW,
    "sealed": None,
}


def test_a_row_goes_out_and_comes_back() -> None:
    """Every field, with the hash that storing gives it."""
    values = memory_values(cast(Any, ROW))
    row = transfer_row(values, 17)
    entry = MemoryEntry(agent_id="a", content="text", memory_type="fact", metadata={"a": [2.5], "b": 1})

    assert values["embedding"] == base64.b64encode(struct.pack("<2f", 1.0, -2.5)).decode()
    assert values["created_at"] == "2026-01-02T03:04:05.678901+00:00"
    assert row._asdict() == {
        **ROW,
        "metadata": '{"a":[2.5],"b":1}',
        "content_hash": memory_row(entry, None, None).content_hash,
        "lookups": "{}",
        "line": 17,
    }


def test_a_machine_that_keeps_numbers_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """It swaps their bytes."""
    floats = array("f", [1.0, -2.5])
    monkeypatch.setattr(sys, "byteorder", "big")

    assert transfer_rows._little_endian(array("f", floats)).tobytes() == struct.pack(">2f", 1.0, -2.5)


def test_the_exported_columns_are_those_that_are_imported() -> None:
    """No field is forgotten on either way, nor of the agents."""
    selected = SQL["export_page"].partition("FROM (")[0]
    columns = re.findall(r"(?:AS |m\.)(\w+)(?=,|\s*$)", selected)
    inserted = re.search(r"\(organization_id, ([^)]*)\)", SQL["arrive"])
    agents = re.findall(r"(?:AS |a\.)(\w+)(?=,|\s)", SQL["export_agents"].partition("FROM")[0])

    assert set(columns) == transfer_rows._MEMORY_FIELDS | {"sealed"} == ROW.keys()
    assert inserted
    names = inserted[1].replace("superseded_by_id", "superseded_by").split(",")
    assert tuple(name.strip() for name in names) == TransferRow._fields[:-1]
    assert set(agents) == transfer_rows._REGISTERED


def test_a_number_too_long_to_read_is_named() -> None:
    """Another client may have stored it."""
    with pytest.raises(ValueError, match=ROW["id"]):
        memory_values(cast(Any, {**ROW, "metadata": f'{{"n": {"9" * 5000}}}'}))


def test_agents_come_with_their_ids() -> None:
    """As they are registered."""
    config = AgentConfig(name="n", category="SUPPORT", id="i", metadata={"x": 1}, max_memories=3)
    header = {
        **dict.fromkeys(["format", "version", "organization_id", "agent_id", "exported_at"]),
        "agents": [config.model_dump(mode="json")],
    }

    assert agents_in(header, "line 1") == [config]


@given(st.lists(st.tuples(st.uuids(), st.uuids()), max_size=40), st.lists(st.uuids(), max_size=5))
def test_elsewhere_is_a_mapping(pairs: list[tuple[Any, Any]], strangers: list[Any]) -> None:
    """In whatever order it is filled; what it does not know is where it was."""
    elsewhere, known = Elsewhere(), dict(pairs)
    for memory_id, place in known.items():
        elsewhere.add(str(memory_id), str(place))

    for memory_id in [*known, *strangers]:
        assert elsewhere.get(str(memory_id)) == str(known.get(memory_id, memory_id))
    assert elsewhere.get(None) is None
