"""
Records into models. The generated client parses each record of a list by itself, through three functions of Python;
pydantic parses the whole list at once in two thirds of the time, and finds and refuses the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

Parse = Callable[[Any, Any], Any]


def parse_all(model: Any, records: Any) -> Any:
    """
    Parse a list of records into *model*.

    Returns:
        The models; the records themselves where parsing each is different, or fails, which the client then finds out.
    """
    parse = _list_parser(model, model.__pydantic_validator__)  # which is another one when the model was rebuilt
    if parse is None or type(records) is not list:
        return records
    try:
        return parse(records)
    except ValidationError:
        return records


def hand_models_on(actions: ModuleType) -> None:
    """Let the *actions* of a generated package hand on what `parse_all` has parsed. Doing it again does nothing."""
    original: Parse = actions.model_parse
    if getattr(original, "hands_models_on", False):
        return

    def model_parse(model: Any, record: Any) -> Any:
        if type(record) is model:
            return record
        if _parses_plainly(model):
            return model.__pydantic_validator__.validate_python(record)
        return original(model, record)

    model_parse.hands_models_on = True  # type: ignore[attr-defined]
    actions.model_parse = model_parse  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def _list_parser(model: Any, _validator: Any) -> Callable[[Any], Any] | None:
    """Return the function that parses lists; None for a model that parses itself in its own way."""
    own = model.__pydantic_decorators__
    if own.field_validators or own.model_validators or own.root_validators or own.validators:
        return None  # which may change the record, or count
    if not _parses_plainly(model) or model.model_config.get("revalidate_instances", "never") != "never":
        return None
    return TypeAdapter(list[model]).validator.validate_python


@lru_cache(maxsize=1024)
def _parses_plainly(model: Any) -> bool:
    return bool(model.model_validate.__func__ is BaseModel.model_validate.__func__)  # type: ignore[attr-defined]
