"""Sealing and opening memories: what comes back, and what equal ones have in common."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import EncryptionError, MemoryEntry
from agentdb.client.encryption.seals import Seals
from agentdb.client.memory.filters import filter_path, lookup_path
from agentdb.client.memory.rows import MemoryRow, memory_row
from agentdb.client.memory.sealing import lookup_hashes, older_hashes, open_memory, resealed, sealed_row
from agentdb.security.encryption import KeyRing, key_id_of

OLD, NEW = KeyRing({"k1": b"1" * 32}), KeyRing({"k2": b"2" * 32, "k1": b"1" * 32})
SEALS = Seals(OLD, "acme")

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(SCALARS, lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3))
METADATA = st.dictionaries(TEXTS, JSON, max_size=5)


def row(content: str = "text", **fields: Any) -> MemoryRow:
    return memory_row(MemoryEntry(agent_id="a", content=content, sensitive=True, **fields), None, None)


def hashes(lookups: str) -> set[str]:
    """Return the hashes in the text of an array."""
    return {each.strip('"').removeprefix("\\\\x") for each in lookups.strip("{}").split(",") if each}


@given(TEXTS.filter(bool), METADATA)
def test_what_was_sealed_opens(content: str, metadata: dict[str, Any]) -> None:
    """In its row alone, with nothing of it left outside."""
    plain = row(content, metadata=metadata)
    sealed = sealed_row(plain, SEALS)

    assert (sealed.content, sealed.metadata) == ("", "{}")
    assert sealed.sealed is not None
    assert sealed.content_hash != plain.content_hash
    assert open_memory(sealed.id, sealed.sealed, SEALS) == (content, metadata)
    for foreign in (Seals(OLD, "other"), Seals(None, "acme"), Seals(KeyRing({"k1": b"2" * 32}), "acme")):
        with pytest.raises(EncryptionError, match=sealed.id):
            open_memory(sealed.id, sealed.sealed, foreign)
    with pytest.raises(EncryptionError):
        open_memory(row().id, sealed.sealed, SEALS)


@given(METADATA)
def test_equal_memories_have_equal_hashes(metadata: dict[str, Any]) -> None:
    """In one organization, under one key; sealed twice, they are two texts all the same."""
    one, two = (sealed_row(row(metadata=metadata), SEALS) for _ in range(2))
    other = sealed_row(row(metadata=metadata), Seals(OLD, "other"))

    assert (one.content_hash, one.lookups) == (two.content_hash, two.lookups)
    assert one.sealed != two.sealed
    assert other.content_hash != one.content_hash
    assert not hashes(other.lookups) & hashes(one.lookups)
    assert sealed_row(row("more", metadata=metadata), SEALS).content_hash != one.content_hash
    assert sealed_row(row(metadata=metadata, memory_type="fact"), SEALS).content_hash != one.content_hash


@given(METADATA)
def test_there_is_a_hash_for_each_scalar_entry(metadata: dict[str, Any]) -> None:
    """And it is the one that is looked for."""
    found = hashes(sealed_row(row(metadata=metadata), SEALS).lookups)

    assert found == {
        lookup_hashes(key, value, SEALS)[0].hex()
        for key, value in metadata.items()
        if not isinstance(value, dict | list)
    }


def same(one: Any, other: Any) -> bool:
    """Whether PostgreSQL takes two JSON values as equal: numbers as decimals, true as no number."""
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)]
    if all(numbers):
        return Decimal(repr(one)) == Decimal(repr(other))
    return type(one) is type(other) and one == other


@given(
    st.lists(SCALARS | st.sampled_from([0, -0.0, 1, 1.0, True, "1", "true", 1e22, 10**22, 1e23, 100, 1e2]), max_size=8)
)
def test_values_meet_that_the_database_takes_as_equal(values: list[Any]) -> None:
    """And no others."""
    for one in values:
        for other in values:
            assert (lookup_hashes("k", one, SEALS) == lookup_hashes("k", other, SEALS)) == same(one, other)


def test_a_key_and_a_value_do_not_run_together() -> None:
    """Whatever quotes and colons they hold."""
    entries = [("a", 'b":"c'), ('a":"b', "c"), ("a:", "b"), ("a", ":b"), ("1", 1), ("1", "1"), ("", "1"), ("1", "")]
    assert len({lookup_hashes(key, value, SEALS)[0] for key, value in entries}) == len(entries)


@given(METADATA)
def test_a_change_of_keys(metadata: dict[str, Any]) -> None:
    """Makes of a row what the newest key would have made of the memory."""
    plain, new = row(metadata=metadata), Seals(NEW, "acme")
    old, wanted = sealed_row(plain, SEALS), sealed_row(plain, new)
    made = resealed(cast(Any, old._asdict()), Seals(NEW, "acme"))

    assert (made.content_hash, made.lookups) == (wanted.content_hash, wanted.lookups)
    assert key_id_of(made.sealed) == "k2"
    assert open_memory(plain.id, made.sealed, new) == ("text", metadata)
    assert older_hashes(wanted, new) == [old.content_hash]
    assert older_hashes(old, SEALS) == older_hashes(plain, new) == []
    if scalars := [(key, value) for key, value in metadata.items() if not isinstance(value, dict | list)]:
        assert {each.hex() for each in lookup_hashes(*scalars[0], new)} & hashes(old.lookups)


def named(key: str, value: Any) -> list[bytes]:
    return [f"{key}{value}".encode()]


H = {name: name.encode().hex() for name in ("k1", "k2", "j3")}


@pytest.mark.parametrize(
    ("where", "path"),
    [
        (None, None),
        ({}, None),
        ({"k": 1}, f'strict ($[*] == "\\\\x{H["k1"]}")'),
        ({"k": {"in": [1, 2, [3]]}}, f'strict ($[*] == "\\\\x{H["k1"]}" || $[*] == "\\\\x{H["k2"]}")'),
        ({"k": 1, "j": 3}, f'strict ($[*] == "\\\\x{H["k1"]}") && ($[*] == "\\\\x{H["j3"]}")'),
        (
            {"OR": [{"k": 1, "j": 3}, {"k": 2}, {"k": {"gt": 2}}]},
            f'strict (($[*] == "\\\\x{H["k1"]}") && ($[*] == "\\\\x{H["j3"]}") || ($[*] == "\\\\x{H["k2"]}"))',
        ),
        ({"k": 1, "j": {"gt": 1}}, None),
        ({"k": 1, "NOT": {"j": 1}}, None),
        ({"NOT": {"NOT": {"k": 1}}}, None),
        ({"k": {"in": []}}, None),
        ({"k": [1]}, None),
        ({"OR": []}, None),
        ({"AND": []}, "strict 1 == 1"),
        ({"AND": [{}, {"NOT": []}]}, "strict 1 == 1 && 1 == 1"),
    ],
)
def test_the_path_of_a_filter(where: dict[str, Any] | None, path: str | None) -> None:
    """Equality and what combines it; None where no sealed memory fits."""
    filter_path(where)
    assert lookup_path(where, named) == path


def test_a_filter_asks_for_all_keys() -> None:
    """And without a key for nothing."""
    path = lookup_path({"k": 1}, partial(lookup_hashes, seals=Seals(NEW, "acme")))
    assert path is not None
    assert path.count("==") == 2
    assert lookup_path({"k": 1}, partial(lookup_hashes, seals=Seals(None, "acme"))) is None
