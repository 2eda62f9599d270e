"""What the embedders share that run a library's model: finding the library, naming the model, plain lists."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from agentdb.errors import ConfigurationError, quotable

__all__ = ["import_extra", "load_model", "model_name", "plain_lists"]

T = TypeVar("T")


def import_extra(module: str, extra: str) -> Any:
    """
    Import *module*, which comes with agentdb's *extra*.

    Raises:
        ConfigurationError: It is not installed, or does not work; the reason says what to run.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            "embedder", f"needs the library {module} ({quotable(str(error))}); run: pip install 'agentdb[{extra}]'"
        ) from error


def load_model(load: Callable[[str], T], name: str | os.PathLike[str]) -> T:
    """Load the model *name*, with what goes wrong in our words."""
    try:
        return load(os.fspath(name))
    except Exception as error:
        raise ConfigurationError(
            "embedder",
            f"the model {quotable(os.fspath(name))!r} cannot be loaded: {type(error).__name__}: {quotable(str(error))}",
        ) from error


def model_name(model: str | os.PathLike[str]) -> str:
    """Return what to call a model that was loaded from *model*; of a folder its name: the path differs by machine."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else os.fspath(model)


def plain_lists(vectors: Any) -> list[list[float]]:
    """Return *vectors* as lists of floats: an array of two dimensions, a tensor, or a sequence of arrays or lists."""
    rows = vectors.tolist() if hasattr(vectors, "tolist") else vectors
    return [row.tolist() if hasattr(row, "tolist") else list(row) for row in rows]
