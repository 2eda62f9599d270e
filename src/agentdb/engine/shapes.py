"""
The requests of calls of a shape that was met before: from arguments to the request's text without writing it. Pure.

Two calls are of one shape when they differ in nothing but values of the same types. What writing the first one's
request has found out, which of its values left the text and how they were checked, serves all that follow; writing it
again would take most of the time that a warm call spends outside the database.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from agentdb.engine.arguments import Trace
from agentdb.engine.parameters import UNFIT, Dialect
from agentdb.engine.request import MAX_KEPT_CHARACTERS, Call, Request, build_request
from agentdb.engine.schema import Datamodel

MAX_TEXTS = 4000
"""How many texts of requests are remembered; all are forgotten when there would be more."""

_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = object(), object(), object(), object()


class Slot(NamedTuple):
    """
    A value that leaves the text.

    Attributes:
        place: Its place among the values of a call.
        check: Gives it the form that it travels in, or `UNFIT`; None where its Python type is all that matters.
        name: The placeholder's.
    """

    place: int
    check: Callable[[Any, Dialect], Any] | None
    name: str


class Shape(NamedTuple):
    """
    What is known of a shape.

    Attributes:
        slots: The values that leave the text.
        literals: The places of those that stay.
        texts: The values that stay -> the text.
    """

    slots: tuple[Slot, ...]
    literals: tuple[int, ...]
    texts: dict[tuple[Any, ...], str]


class Shapes:
    """Builds the requests of one schema's clients. Safe in several threads: it may only happen that one learns anew."""

    def __init__(self, datamodel: Datamodel) -> None:
        self._datamodel = datamodel
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return how many texts are remembered."""
        return self._size

    def request(self, call: Call, dialect: Dialect) -> Request:
        """
        Return the request of one call; equal to what `build_request` returns.

        Raises:
            TypeError: A value that no Prisma field can hold.
        """
        tokens: list[Any] = [call.method, call.model, *(call.root_selection or ())]
        values: list[Any] = []
        _read_arguments(call.arguments, tokens, values)
        key = tuple(tokens)
        try:
            shape = self._shapes.get(key)
        except TypeError:  # an argument that should be a name is none; writing the request says so
            return build_request(call, self._datamodel, dialect)
        if shape is not None:
            scope = {}
            for place, check, name in shape.slots:
                value = values[place]
                if check is not None:
                    value = check(value, dialect)
                    if value is UNFIT:
                        break
                scope[name] = value
            else:
                try:
                    return Request(shape.texts[_literal_key(values, shape.literals)], scope)
                except (KeyError, TypeError):  # never written so far, or nothing to be remembered
                    pass
        return self._learn(key, values, call, dialect)

    def _learn(self, key: tuple[Any, ...], values: Sequence[Any], call: Call, dialect: Dialect) -> Request:
        trace = Trace()
        request = build_request(call, self._datamodel, dialect, trace=trace)
        # Which values of an upsert share a placeholder depends on the values.
        found = None if call.method == "upsert" else _follow(trace, values)
        if found is not None and len(request.text) <= MAX_KEPT_CHARACTERS:
            self._remember(key, Shape(*found, {}), _literal_key(values, found[1]), request.text)
        return request

    def _remember(self, key: tuple[Any, ...], shape: Shape, literal_key: tuple[Any, ...], text: str) -> None:
        if self._size >= MAX_TEXTS:
            self._shapes, self._size = {}, 0
        known = self._shapes.get(key)
        # A value that did not fit has stayed in the text this time, or another time: the better way is remembered.
        if known is None or len(known.slots) < len(shape.slots):
            known = self._shapes[key] = shape
        if known.slots == shape.slots:
            known.texts[literal_key] = text
            self._size += 1


# Both walks below go through the arguments in the order in which the request is written: includes last.


def _read_arguments(arguments: Mapping[str, Any], tokens: list[Any], values: list[Any]) -> None:
    """Append what the shape of *arguments* consists of to *tokens*, and their values to *values*."""
    for key, value in arguments.items():
        if value is not None and key != "include":
            tokens.append(key)
            _read_value(value, tokens, values)
    include = arguments.get("include")
    if type(include) is dict:
        tokens.append(_OPEN)
        for key, value in include.items():
            tokens.append(key)
            if type(value) is dict:
                tokens.append(_OPEN)
                _read_arguments(value, tokens, values)
                tokens.append(_CLOSE)
            elif type(value) is bool:
                tokens.append(value)
            else:
                _read_value(value, tokens, values)  # refused when it is written, so never remembered
        tokens.append(_CLOSE)
    elif include is not None:
        _read_value(include, tokens, values)  # likewise


def _read_value(value: Any, tokens: list[Any], values: list[Any]) -> None:
    type_ = type(value)
    if type_ is dict:
        tokens.append(_OPEN)
        for key, item in value.items():
            tokens.append(key if type(key) is str else (type(key), key))
            _read_value(item, tokens, values)
        tokens.append(_CLOSE)
    elif type_ is list and value and type(value[0]) is dict:
        tokens.append(_OPEN_LIST)
        for item in value:
            _read_value(item, tokens, values)
        tokens.append(_CLOSE_LIST)
    else:
        tokens.append(type_)
        values.append(value)


def _follow(trace: Trace, values: Sequence[Any]) -> tuple[tuple[Slot, ...], tuple[int, ...]] | None:
    """Find what became of each of *values*; None if that cannot be told, or was decided by more than its type."""
    slots, literals, place = [], [], 0
    if trace.depends_on_values:
        return None
    for name, check, value in trace.events:
        if name is not None:
            found: list[Any] = [value]
        else:
            _read_value(value, [], found := [])
        for each in found:
            if place == len(values) or values[place] is not each:
                return None
            if name is not None:
                slots.append(Slot(place, check, name))
            elif not _is_constant(each):
                return None
            else:
                literals.append(place)
            place += 1
    return (tuple(slots), tuple(literals)) if place == len(values) else None


def _is_constant(value: Any) -> bool:
    """Whether *value* can be told from others by what it equals: nothing in it can change."""
    if type(value) is list:
        return all(type(item) is not list and _is_constant(item) for item in value)
    return value is None or isinstance(value, str | int | float | enum.Enum)


def _literal_key(values: Sequence[Any], literals: Sequence[int]) -> tuple[Any, ...]:
    if not literals:
        return ()
    return tuple([tuple(map(_typed, value)) if type(value := values[place]) is list else value for place in literals])


def _typed(value: Any) -> Any:
    return type(value), value
