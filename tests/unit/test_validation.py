"""What can be stored: JSON and texts."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import MemoryEntry, MetricPoint
from agentdb.errors import InvalidInputError
from agentdb.validation import (
    UnstorableError,
    check_flag,
    check_limit,
    check_number,
    check_offset,
    check_text,
    check_time,
    checked,
    json_copy,
    json_text,
    storable_text,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


def is_storable(value: Any) -> bool:
    """The plain definition: JSON with text for keys, no NaN or infinity, no NUL and no lone surrogate."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_storable, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_storable(key) and is_storable(item) for key, item in value.items())
    return True


@given(anything)
def test_json_is_copied_or_refused(value: Any) -> None:
    """What is storable is copied as it is; all else is refused, and nothing else is raised."""
    try:
        copy = json_copy(value)
    except UnstorableError:
        assert not is_storable(value)
    else:
        assert is_storable(value)
        assert copy == value


@given(st.dictionaries(st.text(alphabet="abc"), st.integers()))
def test_json_text_does_not_depend_on_order(value: dict[str, int]) -> None:
    """Equal objects have equal texts, so equal memories equal hashes."""
    assert json_text(value) == json_text(dict(reversed(value.items())))
    assert json.loads(json_text(value)) == value


@given(st.text(alphabet=st.characters(), max_size=50) | st.text(alphabet="a\x00\ud800\udc00😀", max_size=20))
def test_any_text_can_be_made_storable(text: str) -> None:
    """Recording a failure never fails on its text; a replacement is marked, a good text stays."""
    made = storable_text(text, 1000)

    assert is_storable(made)
    assert (made == text) == is_storable(text)
    assert is_storable(text) or "replaced" in made


def test_a_long_text_is_cut_and_marked() -> None:
    """So that a traceback of a megabyte does not fill the table."""
    made = storable_text("x" * 1000, 10)

    assert made.startswith("x" * 10 + " [")
    assert "1000 characters" in made


@pytest.mark.parametrize("value", [None, 7, b"text", "", "x" * 256, "a\x00", "\ud800"])
def test_what_no_id_is(value: object) -> None:
    """Ids and names are text of 1 to 255 characters."""
    with pytest.raises(InvalidInputError) as caught:
        check_text(value, "agent_id")
    assert caught.value.field == "agent_id"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("limit", [0, -1, 1001, 1_000_000, True, 1.5, "10", None])
def test_a_limit_is_1_to_1000(limit: object) -> None:
    """Anything else is refused, not corrected."""
    with pytest.raises(InvalidInputError, match="limit"):
        check_limit(limit)
    assert (check_limit(1), check_limit(1000)) == (1, 1000)


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1, "1", True, None])
def test_a_number_within_bounds(value: object) -> None:
    """NaN lies nowhere."""
    with pytest.raises(InvalidInputError, match="min_importance"):
        check_number(value, "min_importance", 0, 1)


@pytest.mark.parametrize("offset", [-1, True, 0.5, 2**31])
def test_an_offset_is_not_negative(offset: object) -> None:
    """Nor more than the server takes."""
    with pytest.raises(InvalidInputError, match="offset"):
        check_offset(offset)


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_the_ends_of_time_are_refused(moment: datetime) -> None:
    """The server would keep them as infinity, which sorts behind every time and fits no datetime."""
    for aware in (moment, moment.replace(tzinfo=UTC)):
        with pytest.raises(InvalidInputError) as caught:
            check_time(aware, "since")
        assert caught.value.field == "since"
        for model, field, more in (
            (MemoryEntry, "occurred_at", {"content": "text"}),
            (MemoryEntry, "expires_at", {"content": "text"}),
            (MetricPoint, "recorded_at", {"name": "m", "value": 1}),
        ):
            with pytest.raises(InvalidInputError) as caught:
                checked(model, agent_id="a", **{field: aware}, **more)
            assert caught.value.field == field
    for fine in (datetime(1, 1, 2), datetime(9999, 12, 31, 23, 59, 59)):
        assert check_time(fine, "since") == fine.replace(tzinfo=UTC)


@pytest.mark.parametrize("value", ["yes", 1, 0, None])
def test_a_flag_is_true_or_false(value: object) -> None:
    """Any text would count as true."""
    with pytest.raises(InvalidInputError, match="include_expired"):
        check_flag(value, "include_expired")
    assert check_flag(True, "include_expired") is True
