"""
From a filter on metadata to one jsonpath of PostgreSQL: pure.

Why a jsonpath: it travels as a parameter, so one prepared statement serves every filter, and GIN indexes understand it.

Why strict: lax mode looks into arrays, so that `[5]` would equal 5. What strict mode cannot evaluate (a missing key,
values of two types) is *unknown*, which selects no row, just as false does. `!` would keep it unknown, hence `_not`.

Of a sealed memory the database has a hash for each entry of its metadata that is a text, a number, a boolean or null.
So equality with such a value and "in" a list of them can be asked of it, and AND and OR of these: `lookup_path`. Every
other condition is false of it, and so is NOT, whatever it denies: a key that the client lacks would make it true.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Final, NamedTuple

from agentdb.errors import InvalidInputError
from agentdb.validation import UnstorableError, check_characters

__all__ = ["Hashes", "Where", "filter_path", "is_indexed", "lookup_path", "needs_keys", "says_anything"]

Where = Mapping[str, Any]
"""A filter: `{"key": value}` or `{"key": {"gte": 1, "lt": 5}}`, combined by "AND", "OR" and "NOT"."""

Hashes = Callable[[str, Any], Sequence[bytes]]
"""Returns the hashes that an entry of metadata, key and value, can have."""

_MOST_LEVELS: Final = 32
_MOST_CONDITIONS: Final = 1000
_MOST_CHARACTERS: Final = 100_000
_MOST_DIGITS: Final = 1000
# A text that agrees with most of the operand takes 3 ms at 1,000 characters, but 370 ms at 5,000; at 10,000 PostgreSQL
# runs out of memory.
_LONGEST_SUBSTRING: Final = 1000
_LONGEST_KEY_SHOWN: Final = 40
_LONGEST_PLACE: Final = 120

_TRUE: Final = "1 == 1"
_FALSE: Final = "1 == 0"


def filter_path(where: Where | None, field: str = "where") -> str | None:
    """
    Return the jsonpath that selects what *where* selects, for `metadata @@ $n::jsonpath`.

    Args:
        where: Conditions on the top-level keys of metadata; all must hold. Keys are literal, except AND, OR and NOT.
            A number is the decimal that its JSON text says: 0.1 is one tenth, and 1e23 equals 10**23.
        field: What errors call *where*.

    Returns:
        None when there is no condition: everything is selected.

    Raises:
        InvalidInputError: It is no filter, holds what is not JSON, or exceeds 32 levels of nesting, 1,000 conditions
            (each value that is compared is one) or 100,000 characters of keys and values.
    """
    if where is None:
        return None
    path = _mapping(where, _Spot(field, 0, _Budget()))
    return f"strict {path}" if where else None


def lookup_path(where: Where | None, hashes: Hashes) -> str | None:
    """
    Return the jsonpath that selects what *where* selects of sealed memories, of the list of their hashes.

    Args:
        where: A filter that `filter_path` took.
        hashes: What hashes to look for.

    Returns:
        None when it selects none of them, or when there is no condition.
    """
    condition = _lookup(where, hashes) if where else None
    return condition and f"strict {condition}"


def needs_keys(where: Where | None) -> bool:
    """Whether *where*, a filter that `filter_path` took, may select a sealed memory of whose key there are hashes."""
    return lookup_path(where, lambda key, value: [b""]) is not None


def is_indexed(where: Where | None) -> bool:
    """Whether an index can tell most of what *where*, a filter that `filter_path` took, does not select."""
    return bool(where) and any(_is_indexed(key, condition) for key, condition in (where or {}).items())


def says_anything(where: Where | None) -> bool:
    """Whether there is any condition in *where*, and not only combinations of nothing, which fit everything."""
    if not isinstance(where, Mapping):
        return bool(where)  # no filter; `filter_path` says so
    return any(
        any(map(says_anything, [condition] if isinstance(condition, Mapping) else condition))
        if key in ("AND", "OR", "NOT") and isinstance(condition, Mapping | list | tuple)
        else True
        for key, condition in where.items()
    )


def _is_indexed(key: str, condition: Any) -> bool:
    if key == "NOT":
        return False
    if key in ("AND", "OR"):
        parts = [condition] if isinstance(condition, Mapping) else list(condition)
        return bool(parts) and (all if key == "OR" else any)(is_indexed(part) for part in parts)
    if not isinstance(condition, Mapping):
        return _is_scalar(condition)
    listed = condition.get("in", ())
    return ("eq" in condition and _is_scalar(condition["eq"])) or (bool(listed) and all(map(_is_scalar, listed)))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str) or not isinstance(value, Collection)


# Conditions on hashes: None for what no sealed memory fits.


def _lookup(where: Where, hashes: Hashes) -> str | None:
    return _all_lookups([_lookup_condition(key, condition, hashes) for key, condition in where.items()])


def _lookup_condition(key: str, condition: Any, hashes: Hashes) -> str | None:
    if key in ("AND", "OR", "NOT"):
        parts = [condition] if isinstance(condition, Mapping) else condition
        if key == "NOT":
            return None if parts else _TRUE
        found = [_lookup(part, hashes) for part in parts]
        return _all_lookups(found) if key == "AND" else _any_lookup(found)
    if not isinstance(condition, Mapping):
        return _lookup_one_of(key, [condition], hashes)
    if not condition.keys() <= {"eq", "in"}:
        return None
    return _all_lookups(
        [
            _lookup_one_of(key, operand if operator == "in" else [operand], hashes)
            for operator, operand in condition.items()
        ]
    )


def _lookup_one_of(key: str, values: Iterable[Any], hashes: Hashes) -> str | None:
    wanted = [each for value in values if _is_scalar(value) for each in hashes(key, value)]
    # PostgreSQL writes a bytea as \x and hexadecimal digits; a jsonpath takes the backslash twice.
    return _any_lookup([f'$[*] == "\\\\x{each.hex()}"' for each in wanted])


def _all_lookups(conditions: Sequence[str | None]) -> str | None:
    present = [condition for condition in conditions if condition is not None]
    return " && ".join(present) or _TRUE if len(present) == len(conditions) else None


def _any_lookup(conditions: Sequence[str | None]) -> str | None:
    present = [condition for condition in conditions if condition is not None]
    return f"({' || '.join(present)})" if present else None


class _Budget:
    """What is left of the limits."""

    conditions = _MOST_CONDITIONS
    characters = _MOST_CHARACTERS


class _Spot(NamedTuple):
    """Where in the filter we are, and what is left for the rest of it."""

    place: str
    level: int
    budget: _Budget

    def key(self, key: object) -> _Spot:
        """Return the spot of what *key* holds here."""
        if not isinstance(key, str):
            raise self.refusal(f"has a key that is no text but {type(key).__name__}; keys are text.")
        return _Spot(f"{self.place}.{key[:_LONGEST_KEY_SHOWN]}", self.level, self.budget)

    def items(self, values: Iterable[Any]) -> Iterator[tuple[Any, _Spot]]:
        """Yield each of *values* with its spot."""
        for index, value in enumerate(values):
            yield value, _Spot(f"{self.place}[{index}]", self.level, self.budget)

    def inside(self) -> _Spot:
        """Return the spot one level deeper."""
        if self.level == _MOST_LEVELS:
            raise self.refusal(f"is nested more than {_MOST_LEVELS} levels deep, or holds itself.")
        return self._replace(level=self.level + 1)

    def counted(self, condition: str) -> str:
        """Return *condition*, counted."""
        self.budget.conditions -= 1
        if self.budget.conditions < 0:
            raise self.refusal(f"exceeds {_MOST_CONDITIONS:,} conditions; each value that is compared is one.")
        return condition

    def quoted(self, text: str) -> str:
        """Return *text* as jsonpath spells it, checked and its characters counted."""
        self.budget.characters -= len(text)
        if self.budget.characters < 0:
            raise self.refusal(f"exceeds {_MOST_CHARACTERS:,} characters of keys and values.")
        try:
            # Its escapes are JSON's and more; the quote and the backslash are all that could end a text early.
            return json.dumps(check_characters(text), ensure_ascii=False)
        except UnstorableError as error:
            raise self.refusal(error.reason) from None

    def refusal(self, reason: str) -> InvalidInputError:
        place = self.place.encode(errors="replace").decode()
        if len(place) > _LONGEST_PLACE:
            place = f"{place[: _LONGEST_PLACE // 2]}…{place[-_LONGEST_PLACE // 2 :]}"
        return InvalidInputError(place, reason)


def _mapping(where: object, spot: _Spot) -> str:
    if not isinstance(where, Mapping):
        raise spot.refusal(f"expected a mapping, got {type(where).__name__}.")
    return _all([_condition(key, value, spot) for key, value in where.items()], spot)


def _condition(key: Any, value: Any, spot: _Spot) -> str:
    at = spot.key(key)
    match key:
        case "AND":
            return _all(_mappings(value, at), at)
        case "OR":
            return f"({_any(_mappings(value, at), at)})"
        case "NOT":
            return _not(_any(_mappings(value, at), at), "$")
    path = f"$.{at.quoted(key)}"
    return _operators(path, value, at) if isinstance(value, Mapping) else _equal(path, value, at)


def _mappings(value: object, spot: _Spot) -> list[str]:
    if isinstance(value, Mapping):
        return [_mapping(value, spot.inside())]
    if not isinstance(value, list | tuple):
        raise spot.refusal(f"expected a mapping or a list of mappings, got {type(value).__name__}.")
    return [_mapping(item, at) for item, at in spot.inside().items(value)]


def _operators(path: str, operands: Mapping[Any, Any], spot: _Spot) -> str:
    unknown = [name for name in operands if name not in _OPERATORS]
    if unknown or not operands:
        hint = "" if len(unknown) < len(operands) else '; to compare with an object, use {"eq": {...}}'
        at = spot.key(unknown[0]) if unknown else spot
        raise at.refusal(f"expected an operator: {', '.join(_OPERATORS)}{hint}.")
    return _all([_OPERATORS[name](path, operand, spot.key(name)) for name, operand in operands.items()], spot)


def _all(conditions: list[str], spot: _Spot) -> str:
    return " && ".join(conditions) or spot.counted(_TRUE)


def _any(conditions: list[str], spot: _Spot) -> str:
    return " || ".join(conditions) or spot.counted(_FALSE)


def _not(condition: str, item: str) -> str:
    """Return what holds of *item* when *condition* is false or unknown: a filter keeps only what it is true of."""
    return f"!exists({item} ? ({condition}))"


def _equal(path: str, value: Any, spot: _Spot) -> str:
    if isinstance(value, list | tuple):
        return f"exists({path} ? ({_equal_array(value, spot.inside())}))"
    if isinstance(value, Mapping):
        return f"exists({path} ? ({_equal_object(value, spot.inside())}))"
    return f"{path} == {_scalar(value, spot)}"


def _equal_array(values: Collection[Any], spot: _Spot) -> str:
    size = spot.counted(f"@.size() == {len(values)}")
    items = (_equal(f"@[{index}]", value, at) for index, (value, at) in enumerate(spot.items(values)))
    return " && ".join([size, *items])


def _equal_object(values: Mapping[Any, Any], spot: _Spot) -> str:
    keys = [(spot.key(key).quoted(key), value, spot.key(key)) for key, value in values.items()]
    members = (_equal(f"@.{key}", value, at) for key, value, at in keys)
    other = " && ".join(f"@.key != {key}" for key, _, _ in keys) or _TRUE
    return " && ".join([*members, spot.counted(f"!exists(@.keyvalue() ? ({other}))")])


def _not_equal(path: str, value: Any, spot: _Spot) -> str:
    other = _not(_equal("@", value, spot), "@")
    return f"exists({path} ? (@.type() == {_type(value)} && {other}))"


def _ordered(comparison: str) -> Callable[[str, Any, _Spot], str]:
    def compare(path: str, value: Any, spot: _Spot) -> str:
        if not isinstance(value, str | int | float):
            raise spot.refusal(f"expected a number, a text or a bool, got {type(value).__name__}.")
        return f"{path} {comparison} {_scalar(value, spot)}"

    return compare


def _in(path: str, values: Any, spot: _Spot) -> str:
    # Not one comparison of the path each: that would repeat a long key a thousand times.
    return f"exists({path} ? ({_any_equal(values, spot)}))"


def _not_in(path: str, values: Any, spot: _Spot) -> str:
    other = _not(_any_equal(values, spot), "@")
    types = " || ".join(f"@.type() == {name}" for name in sorted(set(map(_type, values)))) or _TRUE
    return f"exists({path} ? (({types}) && {other}))"


def _any_equal(values: Any, spot: _Spot) -> str:
    if not isinstance(values, list | tuple | set | frozenset):
        raise spot.refusal(f"expected a list, got {type(values).__name__}.")
    return _any([_equal("@", value, at) for value, at in spot.items(values)], spot)


def _exists(path: str, value: Any, spot: _Spot) -> str:
    if not isinstance(value, bool):
        raise spot.refusal(f"expected True or False, got {type(value).__name__}.")
    has = spot.counted(f"exists({path})")
    return has if value else _not(has, "$")


def _contains(path: str, value: Any, spot: _Spot) -> str:
    if not isinstance(value, str):
        return f"exists({path}[*] ? ({_equal('@', value, spot)}))"
    if len(value) > _LONGEST_SUBSTRING:
        raise spot.refusal(f"expected at most {_LONGEST_SUBSTRING:,} characters, got {len(value):,}.")
    text = _scalar(value, spot)
    return f'exists({path} ? (@ like_regex {text} flag "q" || exists(@[*] ? (@ == {text}))))'


_OPERATORS: Final[Mapping[str, Callable[[str, Any, _Spot], str]]] = {
    "eq": _equal,
    "ne": _not_equal,
    "gt": _ordered(">"),
    "gte": _ordered(">="),
    "lt": _ordered("<"),
    "lte": _ordered("<="),
    "in": _in,
    "nin": _not_in,
    "exists": _exists,
    "contains": _contains,
}


def _scalar(value: Any, spot: _Spot) -> str:
    if isinstance(value, str):
        return spot.counted(spot.quoted(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return spot.counted(_number(value, spot))
    if value is None or isinstance(value, bool):
        return spot.counted(json.dumps(value))
    raise spot.refusal(f"is {type(value).__name__}, which is not JSON.")


def _number(value: float, spot: _Spot) -> str:
    if isinstance(value, int):
        if abs(value) >= 10**_MOST_DIGITS:
            raise spot.refusal(f"expected a number of at most {_MOST_DIGITS:,} digits.")
        return int.__repr__(value)  # not that of an enum
    if not math.isfinite(value):
        raise spot.refusal("is NaN or infinite, which JSON cannot express.")
    return float.__repr__(value)


def _type(value: Any) -> str:
    """Return jsonpath's name for the type of *value*, which is known to be JSON."""
    return next(name for kind, name in _TYPES if isinstance(value, kind))


# In this order: a bool is an int to Python, and no number to JSON.
_TYPES: Final = (
    (NoneType, '"null"'),
    (bool, '"boolean"'),
    (int | float, '"number"'),
    (str, '"string"'),
    (Mapping, '"object"'),
    (list | tuple, '"array"'),
)
