"""The chain: what makes a change of the access log visible."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import AccessEntry, InvalidInputError
from agentdb.ids import uuid7_text
from agentdb.security.access_log import ChainCheck, Head, chain_of, digest_of, parse_head

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def _entry(number: int, **changes: Any) -> AccessEntry:
    values: dict[str, Any] = {
        "organization_id": "acme",
        "id": uuid7_text(),
        "at": BEGINNING + timedelta(seconds=number),
        "agent_id": "scout",
        "user_name": None,
        "operation": "memories.store",
        "table_names": ["agent_memories"],
        "row_ids": ["a"],
        "row_count": 1,
        "duration_ms": 1.5,
        "outcome": "ok",
        "position": number,
        "digest": b"",
        "chain": None,
    }
    return AccessEntry(**values | changes)


def _chained(entries: Sequence[AccessEntry]) -> list[AccessEntry]:
    """Return *entries* with their places, as the database chains them."""
    chained, chain = [], b""
    for position, entry in enumerate(entries, 1):
        digest = digest_of(entry)
        chain = chain_of(chain, position, digest)
        chained.append(entry.model_copy(update={"position": position, "digest": digest, "chain": chain}))
    return chained


def _problems(entries: Sequence[AccessEntry], expected: Head | None = None) -> list[str]:
    check = ChainCheck(expected)
    for entry in entries:
        check.read(entry)
    check.end()
    return check.problems


LOG = _chained([_entry(number) for number in range(1, 11)])
HEAD = Head(10, LOG[-1].chain or b"")


def test_a_chain_that_nobody_touched_is_intact() -> None:
    """Its head is that of the last entry, and every earlier one is still in it; so is that of an empty log."""
    assert _problems(LOG, HEAD) == []
    assert [_problems(LOG, parse_head(f"{entry.position}:{(entry.chain or b'').hex()}")) for entry in LOG] == [[]] * 10
    assert _problems([], Head(0, b"")) == _problems(LOG, Head(0, b"")) == []


CHANGES: dict[str, Any] = {
    "organization_id": "other",
    "id": "00000000-0000-0000-0000-000000000001",
    "at": BEGINNING,
    "agent_id": None,
    "user_name": "mia",
    "operation": "memories.get",
    "table_names": [],
    "row_ids": ["b"],
    "row_count": 0,
    "duration_ms": 1.25,
    "outcome": "ConflictError",
}


@pytest.mark.parametrize("field", CHANGES)
def test_any_change_of_an_entry_is_found(field: str) -> None:
    """Whichever field; also when the digest was changed with it."""
    changed = LOG[4].model_copy(update={field: CHANGES[field]})
    redigested = changed.model_copy(update={"digest": digest_of(changed)})

    assert _problems([*LOG[:4], changed, *LOG[5:]]) == ["position 5: the entry was changed"]
    (problem,) = _problems([*LOG[:4], redigested, *LOG[5:]])
    assert problem.startswith("position 5: does not follow")


def test_every_field_counts() -> None:
    """There is none beside those that are changed above, and the place in the chain."""
    assert CHANGES.keys() | {"position", "digest", "chain"} == AccessEntry.model_fields.keys()


def _swapped(entries: list[AccessEntry]) -> list[AccessEntry]:
    """Let the entries at 4 and 5 change places, with their digests."""
    fourth, fifth = entries[3], entries[4]
    places = [{"position": each.position, "chain": each.chain} for each in (fourth, fifth)]
    return [*entries[:3], fifth.model_copy(update=places[0]), fourth.model_copy(update=places[1]), *entries[5:]]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda log: [*log[:2], *log[3:]], ["position 3: the entry was deleted"]),
        (lambda log: [*log[:2], *log[6:]], ["positions 3 to 6: the entries were deleted"]),
        (lambda log: log[3:], ["positions 1 to 3: the entries were deleted"]),
        (_swapped, ["position 4: does not follow", "position 5: does not follow"]),
        (lambda log: log[:7], ["position 10: was there once; the log ends at 7"]),
        (lambda log: [], ["position 10: was there once; the log ends at 0"]),
        (lambda log: _chained([*log[:4], _entry(99), *log[5:]]), ["position 10: is not what its head was once"]),
        (lambda log: _chained([*log[:4], *log[5:], _entry(99)]), ["position 10: is not what its head was once"]),
    ],
    ids=["deleted", "several deleted", "the beginning", "swapped", "the end", "all", "rewritten", "rewritten, moved"],
)
def test_what_was_done_is_found_where_it_was(
    tamper: Callable[[list[AccessEntry]], list[AccessEntry]], expected: list[str]
) -> None:
    """And the rest is checked all the same."""
    found = _problems(tamper(LOG), HEAD)

    assert len(found) == len(expected)
    assert [problem for problem, start in zip(found, expected, strict=True) if not problem.startswith(start)] == []


def test_whoever_recomputes_the_whole_chain_is_found_by_a_head_alone() -> None:
    """Which is why it is kept elsewhere."""
    rewritten = _chained([*LOG[:4], _entry(99), *LOG[5:]])

    assert _problems(rewritten) == []
    assert _problems(rewritten, HEAD) != []


def test_problems_are_told_up_to_a_hundred() -> None:
    """A log that was emptied by half does not fill the memory."""
    assert len(_problems(_chained([_entry(n) for n in range(500)])[::2])) == 100


Texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
Fields = st.tuples(st.none() | Texts, st.none() | Texts, st.lists(Texts, max_size=3), st.lists(Texts, max_size=3))


@given(Fields, Fields)
def test_two_entries_have_one_digest_only_if_they_are_equal(one: Any, other: Any) -> None:
    """Whatever their texts hold: no border between two fields can be moved."""
    names = ("agent_id", "user_name", "table_names", "row_ids")
    base = _entry(1)
    digests = [digest_of(base.model_copy(update=dict(zip(names, each, strict=True)))) for each in (one, other)]

    assert (digests[0] == digests[1]) == (one == other)


def test_the_canonical_form_is_what_the_documentation_says() -> None:
    """So that somebody else can compute it."""
    entry = _entry(1, id="0192f8a0-0000-7000-8000-000000000001", user_name='m"ä', row_ids=["x", "y"])
    form = (
        '["agentdb access log 1", "acme", "0192f8a0-0000-7000-8000-000000000001", 1767225601000000, "scout", "m\\"ä", '
        '"memories.store", ["agent_memories"], ["x", "y"], 1, "3ff8000000000000", "ok"]'
    )

    assert digest_of(entry) == hashlib.sha256(form.encode()).digest()
    assert chain_of(b"", 1, b"d") == hashlib.sha256(b"\0\0\0\0\0\0\0\1d").digest()


@pytest.mark.parametrize("text", ["", "1", "1:", ":", "0:" + "a" * 64, "1:" + "a" * 63, "-1:" + "a" * 64, "x", None, 7])
def test_a_head_that_is_none_is_refused(text: object) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidInputError, match="expected_head"):
        parse_head(text)


def test_a_head_is_read_as_it_is_written() -> None:
    """Also that of an empty log."""
    assert parse_head(str(HEAD)) == HEAD
    assert parse_head("0:") == Head(0, b"")


def test_a_place_that_no_other_can_have_is_found() -> None:
    """One before the first, and one that is given twice: where whoever owns the table has dropped what forbids it."""
    assert _problems([_entry(0), *LOG]) != []
    twice = [*LOG[:4], LOG[3], *LOG[4:]]
    assert _problems(twice) == ["position 4: an entry was inserted; it has a place that no other can have"]


def test_an_entry_without_a_chain_is_found() -> None:
    """It fails no audit, it is found by it."""
    assert _problems([*LOG[:-1], LOG[-1].model_copy(update={"chain": None})]) != []
