"""Cuts values to a size, visibly: long texts first, then long lists and objects, at last the whole. Plain functions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from agentdb.validation import json_text

__all__ = ["SMALLEST", "cut_json", "cut_text", "fits"]

SMALLEST: Final = 256
"""The fewest bytes that something can be cut to: the marks alone take a hundred."""

_CUT: Final = "… [agentdb: cut]"
_NESTED: Final = "… [agentdb: cut, it was nested deeper]"
_MARK_CHARACTERS: Final = 80  # room for a mark: only what becomes shorter by being cut is cut
_SHORT_TEXT: Final = 200
_SHORTEST_TEXT: Final = 40
_FEWEST_ITEMS: Final = 4
# Python's own functions nest some hundred calls at most, of which the caller has used a part.
_DEEPEST: Final = 200


class _Limits(NamedTuple):
    """What a value is cut to: characters of a text, items of a list or object, levels of nesting."""

    characters: int
    items: int
    levels: int


class _TooLargeError(Exception):
    """A value is larger than it may be, even when it is cut to these limits."""


def fits(text: str, at_most: int) -> bool:
    """Return whether *text* is at most that many bytes of UTF-8; in 0.1 µs where it is ASCII."""
    return len(text) <= at_most and (text.isascii() or len(text.encode()) <= at_most)


def cut_text(text: str, at_most: int) -> str:
    """Return *text*, or its beginning and a mark that says how long it was; at most that many bytes, 256 or more."""
    if fits(text, at_most):
        return text
    mark = _text_mark(text)
    room = at_most - len(mark.encode())
    # A character that the cut goes through is left out as a whole.
    return text[:room].encode()[:room].decode(errors="ignore") + mark


def cut_json(value: Any, text: str, at_most: int) -> str:
    """
    Return JSON in at most that many bytes: *text* as it is, or what is left of *value* when it is cut.

    What is cut says so and how large it was: a text ends with a mark, a list has one as its last item, an object one
    under a key of its own. Texts are shortened to no less than 200 characters before lists and objects lose items, and
    those keep 4 before nesting is cut. What is still too large becomes an object with the beginning of its JSON. Keys
    stay whole; equal values are cut alike; an object stays an object.

    Takes time by *at_most*, not by the size of *value*: each of some seven tries ends when it has gone too far. 100 MB
    cost less than 0.1 s beside the half to two seconds that writing them as JSON takes.

    Args:
        value: What JSON can express.
        text: Its JSON, see `json_text`.
        at_most: 256 or more.
    """
    if fits(text, at_most):
        return text
    cut: str | None = None
    ladder = _ladder(at_most)
    sorted_keys: dict[int, list[Any]] = {}
    low, high = 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        tried = _tried(value, ladder[middle], at_most, sorted_keys)
        if tried is None:
            low = middle + 1
        else:
            cut, high = tried, middle
    return _beginning(text, at_most) if cut is None else cut


@lru_cache(maxsize=4)
def _ladder(at_most: int) -> list[_Limits]:
    """Return limits from wide to narrow, each a little narrower than the one before."""
    return [
        *(_Limits(characters, at_most, _DEEPEST) for characters in _falling(at_most, _SHORT_TEXT)),
        *(_Limits(_SHORT_TEXT, items, _DEEPEST) for items in _falling(at_most // 2, _FEWEST_ITEMS)),
        *(_Limits(_SHORTEST_TEXT, _FEWEST_ITEMS, levels) for levels in _falling(_DEEPEST, 1)),
    ]


def _falling(start: int, end: int) -> Iterator[int]:
    while start > end:
        yield start
        start = start * 4 // 5
    yield end


def _tried(value: Any, limits: _Limits, at_most: int, sorted_keys: dict[int, list[Any]]) -> str | None:
    """Return the JSON of *value* when it is cut to *limits*; None when that is still too large."""
    try:
        text = json_text(_Cut(limits, at_most, sorted_keys).of(value, limits.levels))
    except (_TooLargeError, RecursionError):
        return None
    return text if fits(text, at_most) else None


class _Cut:
    """
    Cuts a value to limits, and gives up when what it has kept is too large.

    Args:
        limits: What to cut to.
        at_most: The most characters of JSON.
        sorted_keys: The keys of large objects by their identity, which several tries share.
    """

    def __init__(self, limits: _Limits, at_most: int, sorted_keys: dict[int, list[Any]]) -> None:
        self._characters, self._items, _ = limits
        self._left = at_most
        self._sorted_keys = sorted_keys

    def of(self, value: Any, levels: int) -> Any:
        """Return what is kept of *value*, a copy, with at most that many levels in it."""
        if isinstance(value, str):
            if len(value) > self._characters + _MARK_CHARACTERS:
                value = value[: self._characters] + _text_mark(value)
            self._spend(len(value) + 2)
            return value
        if isinstance(value, dict):
            return self._object(value, levels) if levels or not value else {_CUT: "it was nested deeper"}
        if isinstance(value, list | tuple):
            return self._list(value, levels) if levels or not value else [_NESTED]
        # A number of n bits has more than n / 4 digits.
        self._spend(value.bit_length() // 4 + 1 if isinstance(value, int) else 1)
        return value

    def _object(self, value: dict[Any, Any], levels: int) -> dict[str, Any]:
        is_long = len(value) > self._items + 1
        kept: dict[str, Any] = {}
        for key in self._keys(value)[: self._items] if is_long else value:
            name = key if isinstance(key, str) else json_text(key)  # of a number, None, … json makes text, too
            self._spend(len(name) + 4)
            kept[name] = self.of(value[key], levels - 1)
        if is_long:
            kept[_CUT] = f"it had {len(value):,} keys"
        return kept

    def _list(self, value: list[Any] | tuple[Any, ...], levels: int) -> list[Any]:
        is_long = len(value) > self._items + 1
        kept = []
        for item in value[: self._items] if is_long else value:
            self._spend(1)
            kept.append(self.of(item, levels - 1))
        if is_long:
            kept.append(f"… [agentdb: cut, it had {len(value):,} items]")
        return kept

    def _keys(self, value: dict[Any, Any]) -> list[Any]:
        keys = self._sorted_keys.get(id(value))
        if keys is None:
            keys = self._sorted_keys[id(value)] = sorted(value)
        return keys

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise _TooLargeError


def _text_mark(text: str) -> str:
    return f"… [agentdb: cut, it had {len(text):,} characters]"


def _beginning(text: str, at_most: int) -> str:
    """Return an object that says how long the JSON *text* was, with as much of its beginning as there is room for."""
    mark = f"it had {len(text):,} characters of JSON"

    def marked(length: int) -> str:
        return json_text({_CUT: mark, "beginning": text[:length]})

    shortest, longest = 0, min(len(text), at_most)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if fits(marked(middle), at_most):
            shortest = middle
        else:
            longest = middle - 1
    return marked(shortest)
