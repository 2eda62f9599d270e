"""Files that are no code: the wheel has them in the package, a checkout has them at its root."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

__all__ = ["env_template", "migrations", "prisma_schema"]

_PACKAGE: Final = importlib.resources.files("agentdb")
_CHECKOUT: Final = Path(__file__).parents[2]


def migrations() -> Traversable:
    """Return the directory of the migrations."""
    return _found("_prisma/migrations", "prisma/migrations")


def prisma_schema() -> Traversable:
    """Return schema.prisma."""
    return _found("_prisma/schema.prisma", "prisma/schema.prisma")


def env_template() -> Traversable:
    """Return .env.example."""
    return _found("_project/env.example", ".env.example")


def _found(in_package: str, in_checkout: str) -> Traversable:
    # Installed from a checkout as editable, the package has no copies: a new migration is there at once.
    shipped = _PACKAGE.joinpath(*in_package.split("/"))
    return shipped if shipped.is_dir() or shipped.is_file() else _CHECKOUT / in_checkout
