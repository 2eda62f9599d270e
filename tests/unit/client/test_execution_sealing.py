"""How executions, steps and tools stand where they are encrypted, and how they are read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import EncryptionError
from agentdb.client.encryption.seals import Seals
from agentdb.client.execution.sealing import open_execution, open_step, sealed_end, sealed_start, step_values
from agentdb.client.execution.steps import new_step
from agentdb.client.execution.writes import EndRow, StartRow
from agentdb.client.tool.sealing import known_lookups, offer_values, sealed_tool
from agentdb.security.encryption import KeyRing
from agentdb.validation import json_text

K1, K2 = b"1" * 32, b"2" * 32
SEALS = Seals(KeyRing({"k1": K1}), "acme")
KEYLESS = Seals(None, "acme")
ID = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


def start(task: str) -> StartRow:
    return StartRow(ID, "scout", None, "kind", task, "{}", "model")


def end(result: str | None, error: str | None, traceback: str | None) -> EndRow:
    return EndRow(ID, "failed", result, error, "ValueError", traceback, None, None, "{}", 0, 0, 0, 0, 0)


@given(documents, documents, st.none() | texts, st.none() | texts)
def test_an_execution_comes_back_as_it_was(task: Any, result: Any, error: str | None, traceback: str | None) -> None:
    """Whatever it says; nothing of it is left in the plain columns, and what is no secret stays."""
    begun = sealed_start(start(json_text(task)), SEALS)
    ended = sealed_end(end(json_text(result), error, traceback), SEALS)

    assert (begun.task, ended.result, ended.error, ended.traceback) == ("null", None, None, None)
    assert (begun.kind, begun.model, ended.status, ended.error_type) == ("kind", "model", "failed", "ValueError")
    values = {"id": ID, **begun._asdict(), **ended._asdict()}
    open_execution(values, SEALS)
    assert (values["task"], values["result"], values["error"], values["traceback"]) == (task, result, error, traceback)
    assert not values.keys() & {"sealed_task", "sealed_result"}


@given(st.none() | texts, st.dictionaries(texts, documents, max_size=4))
def test_a_step_comes_back_as_it_was(message: str | None, data: dict[str, Any]) -> None:
    """One that says nothing has nothing to seal."""
    step = new_step("log", "info", "scout", ID, message=message, data=json_text(data))

    values = step_values(step, SEALS)
    is_sealed = "sealed" in values

    assert is_sealed is (message is not None or data != {})
    assert (values["message"], values["data"]) == (None, "{}")
    stored = {"sealed": None, **values, "data": {}}
    open_step(stored, SEALS)
    assert (stored["message"], stored["data"]) == (message, data)
    assert step_values(step, None) == step._asdict()


def test_an_execution_is_bound_to_its_row() -> None:
    """Neither another row's nor another column's value opens."""
    begun, ended = sealed_start(start("1"), SEALS), sealed_end(end("1", None, None), SEALS)
    task, result = begun.sealed_task, ended.sealed_result
    for id, one, other in (("another", task, result), (ID, result, task)):
        with pytest.raises(EncryptionError, match="does not open"):
            open_execution({"id": id, "task": "null", "sealed_task": one, "sealed_result": other}, SEALS)


def test_without_a_key() -> None:
    """The error names the key, the row, and where keys are set."""
    values = {"id": ID, "sealed_task": sealed_start(start("1"), SEALS).sealed_task, "sealed_result": None}

    with pytest.raises(
        EncryptionError, match=f"sealed_task of {ID} was sealed with the key 'k1'.*set AGENTDB_ENC"
    ) as caught:
        open_execution(values, KEYLESS)

    assert (caught.value.key_id, caught.value.place) == ("k1", f"agent_executions.sealed_task of {ID}")


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ('{"a":1}', '{"a":1.0}', True),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', True),
        ('{"a":1e16}', '{"a":10000000000000000}', True),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":0.1}', '{"a":0.10000000000000002}', False),
    ],
)
def test_parameters_are_compared_as_the_database_does(one: str, other: str, are_equal: bool) -> None:
    """By value, not by how they are written."""
    assert (sealed_tool("pick", one, SEALS).lookup in known_lookups("pick", other, SEALS)) is are_equal


def test_parameters_are_known_under_each_key() -> None:
    """A tool that an older key sealed has not changed; without a key nothing is known."""
    both = Seals(KeyRing({"k2": K2, "k1": K1}), "acme")

    assert sealed_tool("pick", "{}", SEALS).lookup in known_lookups("pick", "{}", both)
    assert sealed_tool("pick", "{}", SEALS).lookup not in known_lookups("smell", "{}", both)
    assert known_lookups("pick", "{}", KEYLESS) == []


def test_what_is_offered() -> None:
    """Plain parameters without seals, and none beside them."""
    assert offer_values("pick", '{"a":1}', None) == {"parameters": '{"a":1}'}
    assert offer_values("pick", '{"a":1}', SEALS).keys() == {"parameters", "sealed", "lookup", "sealed_version"}
    assert offer_values("pick", '{"a":1}', SEALS)["parameters"] == "{}"
