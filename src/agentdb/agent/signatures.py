"""What the signature of a method says of its arguments: a JSON schema, and a check."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from types import GenericAlias, SimpleNamespace
from typing import Any, Final, NamedTuple, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

__all__ = ["Signature", "signature_of"]


class _Schema(GenerateJsonSchema):
    # A default that is no JSON is left out of the schema; it is none of the author's mistakes to be warned of.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own attribute


class Signature(NamedTuple):
    """
    The arguments of a method, each by its name: `*words` is an argument `words` that is a list.

    Attributes:
        adapter: Checks them; gives them back by their names, with defaults.
        schema: The JSON schema of them, an object.
        places: Which of them go to the method by their places.
        rest: Which of them is a list that follows these.
    """

    adapter: TypeAdapter[dict[str, Any]]
    schema: dict[str, Any]
    places: tuple[str, ...]
    rest: str | None

    def json_schema(self) -> dict[str, Any]:
        """Return the schema, as a copy."""
        return copy.deepcopy(self.schema)

    def bind(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return what to call the method with; pydantic's ValidationError when *arguments* do not fit."""
        named = self.adapter.validate_python(dict(arguments))
        placed = [named.pop(name) for name in self.places]
        if self.rest is not None:
            placed += named.pop(self.rest)
        return placed, named


# Two different things before Python 3.12.
_UNPACK: Final = {"typing.Unpack", "typing_extensions.Unpack"}
# An argument that is not among `**options: Unpack[Options]` is refused, as any other that is unknown.
_STRICT: Final = ConfigDict(extra="forbid")
_known: WeakKeyDictionary[Callable[..., Any], Signature] = WeakKeyDictionary()


def signature_of(method: Callable[..., Any]) -> Signature:
    """
    Return what the signature of a bound method says, without `self`; made once for each function.

    Raises:
        PydanticUserError: There is no JSON schema for the type of an argument.
        NameError: An annotation names what is neither in the method's module nor in its class.
    """
    function = getattr(method, "__func__", method)
    signature = _known.get(function)
    if signature is None:
        signature = _known[function] = _made(method)
    return signature


def _made(method: Callable[..., Any]) -> Signature:
    parameters = list(inspect.signature(method).parameters.values())
    hints = _hints(method, parameters)
    rest = next((parameter.name for parameter in parameters if parameter.kind is Parameter.VAR_POSITIONAL), None)
    # What comes before `*words` has to be given by its place; else only what has no name to a caller.
    by_place = (Parameter.POSITIONAL_ONLY,) if rest is None else (
        Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD,
    )  # fmt: skip
    is_unpacked = any(repr(get_origin(hint)) in _UNPACK for hint in hints.values())
    adapter = _adapter([_by_name(parameter, hints) for parameter in parameters], _STRICT if is_unpacked else None)
    schema = adapter.json_schema(schema_generator=_Schema)
    if is_unpacked:
        schema = _unpacked(schema)
    return Signature(adapter, schema, tuple(p.name for p in parameters if p.kind in by_place), rest)


def _unpacked(schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema* with what `**options: Unpack[Options]` takes: pydantic says that each argument is an Options."""
    options = schema["$defs"][schema["additionalProperties"]["$ref"].rpartition("/")[2]]
    required = [*schema.get("required", []), *options.get("required", [])]
    return {
        **schema,
        "properties": {**schema["properties"], **options["properties"]},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _adapter(parameters: list[Parameter], config: ConfigDict | None) -> TypeAdapter[dict[str, Any]]:
    """Return what checks arguments by their names, and describes them."""

    def given(**arguments: Any) -> dict[str, Any]:
        return arguments

    # Pydantic reads what these say, and not the function; annotations are resolved already.
    given.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    given.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(given, config=config)  # type: ignore[arg-type]  # it takes functions, too
    return adapter


def _by_name(parameter: Parameter, hints: Mapping[str, Any]) -> Parameter:
    """Return *parameter* as one that is given by its name."""
    annotation = hints.get(parameter.name, Any)
    if parameter.kind is Parameter.VAR_KEYWORD:
        return parameter.replace(annotation=annotation)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        several = GenericAlias(list, (annotation,))
        return Parameter(parameter.name, Parameter.KEYWORD_ONLY, default=[], annotation=several)
    return parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=annotation)


def _hints(method: Callable[..., Any], parameters: list[Parameter]) -> dict[str, Any]:
    """Return the types of *parameters*; names in them are looked up in the method's class, then in its module."""
    written = {p.name: p.annotation for p in parameters if p.annotation is not Parameter.empty}
    function = inspect.unwrap(getattr(method, "__func__", method))
    names = getattr(function, "__globals__", {})
    of = SimpleNamespace(__annotations__=written)
    return get_type_hints(of, names, _class_names(method, function.__name__), include_extras=True)


def _class_names(method: Callable[..., Any], name: str) -> dict[str, Any]:
    kinds = type(getattr(method, "__self__", None)).__mro__
    names: Mapping[str, Any] = next((vars(kind) for kind in kinds if name in vars(kind)), {})
    # A method or property is no type: one that is called `list` must not hide that.
    return {name: value for name, value in names.items() if not hasattr(type(value), "__get__")}
