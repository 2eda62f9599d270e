"""The modules that agents were written for before agentdb, leading to it in a line each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agentdb.errors import InvalidInputError
from agentdb.project.files import WantedFile

__all__ = ["SHIMS", "plan_shims"]

SHIMS: Final = ("shared/database/prisma_client.py", "shared/templates/enhanced_agent_base_postgres.py")
"""Where they lie, below the folder that `shared` is imported from."""

# agentdb lists its public names, so linters, type checkers and editors know what comes. The comments are for ruff and
# for pyright, which by themselves frown on the star.
_LINE: Final = "from agentdb import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]\n"

_SHOWN_LINES: Final = 4
_SHOWN_CHARACTERS: Final = 80


def plan_shims(folder: Path) -> list[WantedFile]:
    """
    Return those of the two modules that are missing below *folder*, and what makes packages of the folders around them.

    A folder that is there already stays what it is: with ``__init__.py`` a package, without it a part of one that may
    have other parts elsewhere. One that has to be made becomes a package, which linters and type checkers want.

    Raises:
        InvalidInputError: One of the modules is there and says something else, or it cannot be there.
    """
    modules = [WantedFile(folder / name, _LINE) for name in SHIMS]
    found = [(file, file.found()) for file in modules]
    for file, text in found:
        if text is not None and not _leads_to_agentdb(text):
            raise InvalidInputError(
                str(file.path),
                "is there and does something else, so it stays as it is. Move it away, or put `from agentdb import *` "
                f"at its end. It begins with:\n{_beginning(text)}",
            )
    missing = [file for file, text in found if text is None]
    folders = dict.fromkeys(above for file in missing for above in (file.path.parent.parent, file.path.parent))
    return [*(WantedFile(made / "__init__.py", "") for made in folders if not made.exists()), *missing]


def _leads_to_agentdb(text: str) -> bool:
    """Whether a module takes all of agentdb's names; comments, and what else it does, are its owner's."""
    return any(line.split("#")[0].split() == ["from", "agentdb", "import", "*"] for line in text.splitlines())


def _beginning(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()][:_SHOWN_LINES]
    return "\n".join(f"    {line[:_SHOWN_CHARACTERS]}" for line in lines)
