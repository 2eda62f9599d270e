"""What is about somebody, and what a mention is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import InvalidInputError
from agentdb.client.erasure.mentions import mention_of, says
from agentdb.client.erasure.scope import erasure_scope

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
GAP = st.sampled_from([" ", "\n", "\t", ". ", "(", '"', "/", "\\", "\\n "])


@given(name=TEXT, before=TEXT, after=TEXT, left=GAP, right=GAP)
def test_a_word_of_its_own_is_found_in_json(name: str, before: str, after: str, left: str, right: str) -> None:
    """Whatever is in it and beside it, as a value and as a key, at any depth."""
    text = f"{before}{left}{name}{right}{after}"
    mention = mention_of(name, hyphen_joins=False)

    for document in ({"a": text}, {text: 1}, [[{"b": [text]}]], name, [name]):
        assert mention.is_in(json.dumps(document, ensure_ascii=False))


@given(name=st.from_regex(r"[a-z]{1,8}", fullmatch=True), more=st.from_regex(r"[a-z0-9_]{1,3}", fullmatch=True))
def test_a_part_of_a_word_is_not(name: str, more: str) -> None:
    """On neither side."""
    mention = mention_of(name, hyphen_joins=False)

    assert not mention.is_in(json.dumps(f"{name}{more}"))
    assert not mention.is_in(json.dumps([f"{more}{name}"]))


@pytest.mark.parametrize(("joins", "is_found"), [(True, False), (False, True)])
def test_a_hyphen_joins_ids(joins: bool, is_found: bool) -> None:
    """Of agents; in a person's name it does not."""
    assert mention_of("scout", hyphen_joins=joins).is_in('"scout-1"') is is_found


@pytest.mark.parametrize(
    ("document", "is_about"),
    [
        ({"subject": "7"}, True),
        ({"subject": 7}, True),
        ({"subject": ["x", "7"]}, True),
        ({"subject": [7]}, True),
        ({"subject": "77"}, False),
        ({"subject": {"id": "7"}}, False),
        ({"subject": [["7"]]}, False),
        ({"subject": None}, False),
        ({"who": "7"}, False),
        ({"a": {"subject": "7"}}, False),
        (["7"], False),
        ("7", False),
        (None, False),
    ],
)
def test_about_whom_a_document_is(document: Any, is_about: bool) -> None:
    """It says so at its top, under the key."""
    assert says(document, "subject", "7") is is_about


@given(agent_id=st.none() | st.just("a"), subject=st.none() | st.just("s"), organization=st.booleans())
def test_exactly_one_scope(agent_id: str | None, subject: str | None, organization: bool) -> None:
    """None is not everything, and two are not one."""
    named = (agent_id is not None) + (subject is not None) + organization
    if named == 1:
        scope = erasure_scope(agent_id, subject, "subject", organization=organization)
        assert (scope.agent_id, scope.subject) == (agent_id, subject)
    else:
        with pytest.raises(InvalidInputError, match="scope"):
            erasure_scope(agent_id, subject, "subject", organization=organization)
