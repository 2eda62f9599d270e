"""What every model shares: one base for what goes in, one for what comes out."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Input", "Row", "from_row"]

M = TypeVar("M", bound=BaseModel)


class Input(BaseModel):
    """What a caller builds: checked then, and when it is changed."""

    # Input is hidden in errors: it may be a megabyte, or confidential.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)


# from_row needs no validator, so none is built on import.
class Row(BaseModel, frozen=True, defer_build=True):
    """What comes back from the database. Type checkers want each subclass to say again that it is frozen."""


@cache
def _field_names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)  # shared by all rows: they are frozen, and a copy copies it


def from_row(model: type[M], values: dict[str, Any]) -> M:
    """
    Build *model* from a value for each of its fields, unchecked; *values* becomes the model's own.

    1.0 µs for a Memory, where validation takes 2.6 µs and model_construct 4.6 µs.
    """
    instance = model.__new__(model)
    set_slot = object.__setattr__
    set_slot(instance, "__dict__", values)
    set_slot(instance, "__pydantic_fields_set__", _field_names(model))
    set_slot(instance, "__pydantic_extra__", None)
    set_slot(instance, "__pydantic_private__", None)
    return instance
