"""The key ring: what it seals opens for its place alone, with its key alone."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import EncryptionError
from agentdb.security.encryption import KeyRing, Place, key_id_of

OLD, NEW = b"canary-1".ljust(32, b"-"), b"canary-2".ljust(32, b"-")
RING = KeyRing({"new": NEW, "old": OLD})
PLACE = Place("acme", "agent_memories", "sealed", "1")
PLACES = st.tuples(*[st.text(max_size=5)] * 4).map(lambda parts: Place(*parts))
# What "old" has sealed once and for all: the format is kept.
KEPT = bytes.fromhex("01036f6c64c94fda23fa31a1616ebfae0de822c2af93e3baa3a8b8a0b673e9660ce941a19225")


@given(st.binary(max_size=100), PLACES, PLACES)
def test_a_value_opens_where_it_was_sealed(value: bytes, place: Place, other: Place) -> None:
    """And nowhere else, however alike the two places are; it never looks the same twice."""
    sealed = RING.seal(value, place)

    assert RING.open(sealed, place) == value
    assert sealed != RING.seal(value, place)
    assert sealed.startswith(RING.header)
    assert key_id_of(sealed) == "new"
    if other != place:
        with pytest.raises(EncryptionError):
            RING.open(sealed, other)


def test_parts_of_a_place_do_not_run_together() -> None:
    """Nor does one organization open what another sealed."""
    for moved in (
        Place("acme", "agent_memories", "sealed1", ""),
        Place("acme", "agent_memories", "seale", "d1"),
        Place('acme","agent_memories', "sealed", "1", ""),
        PLACE._replace(organization_id="ACME"),
    ):
        with pytest.raises(EncryptionError):
            RING.open(RING.seal(b"x", PLACE), moved)


def test_a_value_that_was_changed_does_not_open() -> None:
    """Whichever byte it is, and wherever it is cut."""
    sealed = RING.seal(b"tulip", PLACE)
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for wrong in [*changed, *(sealed[:at] for at in range(len(sealed))), sealed + b"x"]:
        with pytest.raises(EncryptionError) as raised:
            RING.open(wrong, PLACE)
        assert raised.value.place == "agent_memories.sealed of 1"
        assert "tulip" not in str(raised.value)


@given(st.binary(max_size=60))
def test_what_is_no_sealed_value_is_told_apart(value: bytes) -> None:
    """Any bytes: they are refused in our words, never garbage."""
    with pytest.raises(EncryptionError):
        RING.open(value, PLACE)


def test_older_keys_open_and_the_newest_seals() -> None:
    """What a ring without the key, or with another one of its name, says, names the key and never shows one."""
    sealed = KeyRing({"old": OLD}).seal(b"x", PLACE)
    assert RING.open(sealed, PLACE) == b"x"
    assert RING.ids == ("new", "old")
    for ring in (KeyRing({"new": NEW}), KeyRing({"old": NEW})):
        with pytest.raises(EncryptionError, match="old") as raised:
            ring.open(sealed, PLACE)
        assert raised.value.key_id == "old"
        assert "canary" not in f"{raised.value}{ring!r}"


def test_hashes() -> None:
    """Equal for equal values of one organization, purpose and key; different otherwise."""
    kinds = [
        (ring.lookup(value, organization, purpose))
        for ring in (RING, KeyRing({"new": OLD}))
        for value in (b"a", b"b")
        for organization in ("acme", "other")
        for purpose in ("t.c", "t.d")
    ]
    assert len(set(kinds)) == len(kinds) == 16
    assert RING.lookup(b"a", "acme", "t.c") == RING.lookups(b"a", "acme", "t.c")[0]
    assert RING.lookups(b"a", "acme", "t.c")[1] == KeyRing({"x": OLD}).lookup(b"a", "acme", "t.c")


def test_what_was_sealed_once_opens_for_good() -> None:
    """The format and how keys are derived are kept: these bytes and this hash are of the first version."""
    assert RING.open(KEPT, PLACE) == b"tulip"
    assert (
        RING.lookups(b"tulip", "acme", "t.c")[1].hex()
        == "b8ae64eaf34ed360669e591a74a31bce99d2c4fb8968e80f4e4617b9ebce02ef"
    )


def test_a_ring_is_not_copied_out_of_the_process() -> None:
    """It cannot be pickled, with its keys, by mistake."""
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(RING)
