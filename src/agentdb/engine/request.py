"""
A call of the generated client -> a request in Prisma's JSON protocol. Pure: nothing here awaits, compiles or connects.

Values leave the request: where the compiler allows a placeholder, ``{"$type": "Param", …}`` stands in the request and
the value goes into its scope. The request's text is then the same for every call of one shape, and serves as the key of
the plan cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from agentdb.engine.arguments import Arguments, Trace, object_text, pair_text
from agentdb.engine.parameters import Dialect, write_json
from agentdb.engine.schema import Datamodel
from agentdb.engine.wasm import CompileError

ACTIONS: Mapping[str, str] = {
    "create": "createOne",
    "create_many": "createMany",
    "update": "updateOne",
    "update_many": "updateMany",
    "upsert": "upsertOne",
    "delete": "deleteOne",
    "delete_many": "deleteMany",
    "count": "aggregate",
    "group_by": "groupBy",
    "find_unique": "findUnique",
    "find_unique_or_raise": "findUniqueOrThrow",
    "find_first": "findFirst",
    "find_first_or_raise": "findFirstOrThrow",
    "find_many": "findMany",
}
"""Method of the generated client -> action of the JSON protocol."""


MAX_KEPT_CHARACTERS = 20_000
"""A request longer than this is hardly ever made twice, and its plan is large: neither is kept."""


class Request(NamedTuple):
    """
    One query, ready for the compiler.

    Attributes:
        text: The request as JSON; equal for calls of one shape.
        scope: Placeholder name -> value.
    """

    text: str
    scope: dict[str, Any]


class Call(NamedTuple):
    """
    A call of the generated client.

    Attributes:
        method: ``find_many`` for one.
        arguments: The method's arguments by name; those that are None count as not given.
        model: The class that the result is parsed into; None for raw SQL.
        root_selection: What is selected instead of the model's fields, as the generated client writes it.
    """

    method: str
    arguments: Mapping[str, Any]
    model: type | None
    root_selection: Sequence[str] | None = None


def build_request(
    call: Call, datamodel: Datamodel, dialect: Dialect, *, literal: bool = False, trace: Trace | None = None
) -> Request:
    """
    Build the request of one call.

    Args:
        literal: Keep every value in the text.
        trace: Is told what became of each value.

    Raises:
        TypeError: A value that no Prisma field can hold.
    """
    assert call.model is not None
    arguments = Arguments(datamodel, dialect, literal=literal, trace=trace)
    model = model_name(call.model)
    given = arguments.write(call.method, model, call.arguments)
    fields = None if call.root_selection is None else read_selection(call.root_selection)
    selection = _select(arguments, dialect, call.model, call.arguments.get("include"), fields)
    text = (
        f'{{"modelName":"{model}","action":"{ACTIONS[call.method]}",'
        f'"query":{{"arguments":{given},"selection":{selection}}}}}'
    )
    return Request(text, arguments.scope)


def model_name(model: type) -> str:
    """Return the name in the schema of a generated model class, or of a partial of it."""
    return cast(str, model.__prisma_model__)  # type: ignore[attr-defined]


# -- selections -------------------------------------------------------------------------------------------------------

_ROOT_SELECTION = re.compile(r"\s*(\w+)\s*(?:\{([^}]*)\})?\s*")


def read_selection(entries: Iterable[str]) -> dict[str, Any]:
    """Read selections as the generated client writes them: ``count`` or ``_count { _all id }``."""
    selection: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, str):
            raise TypeError(f"Expected the name of a field but got {type(entry)} instead.")
        found = _ROOT_SELECTION.fullmatch(entry)
        if found is None:
            raise CompileError(f"Field `{entry}` not found in enclosing type.", "P2009")
        name, inner = found.groups()
        fields = dict.fromkeys((inner or "").split(), True)
        selection[name] = {"arguments": {}, "selection": fields} if inner is not None else True
    return selection


def _select(
    arguments: Arguments,
    dialect: Dialect,
    model: type,
    include: Mapping[str, Any] | None,
    fields: Mapping[str, Any] | None = None,
) -> str:
    """Write what is selected of *model*: *fields*, or else all its scalars; and the relations of *include*."""
    if not include:
        return dialect.fields_text(model) if fields is None else write_json(fields)
    if not isinstance(include, dict):
        raise TypeError(f"Expected `include` to be a dict but got {type(include)} instead.")
    parts = [pair_text(name, write_json(value)) for name, value in (fields or dialect.fields(model)).items()]
    for name, value in include.items():
        if value is False:
            continue
        if value is not True and not isinstance(value, dict):
            raise TypeError(f"Expected `bool` or `dict` include value but got {type(value)} instead.")
        given = {} if value is True else value
        related = dialect.related(model, name)
        text = arguments.write("find_many", model_name(related), given)
        selection = _select(arguments, dialect, related, given.get("include"))
        parts.append(pair_text(name, f'{{"arguments":{text},"selection":{selection}}}'))
    return object_text(parts)
