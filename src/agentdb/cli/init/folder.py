"""What `agentdb init` writes into the folder that it runs in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from agentdb.cli.doctor.check import Check, ok, warning
from agentdb.project.env_file import fill_template, read_template, unmentioned
from agentdb.project.files import WantedFile

__all__ = ["has_env", "look_at_git", "write_env", "write_shims"]

_ENV: Final = Path(".env")
_OTHERS: Final = 0o077
_NOT_IGNORED: Final = 1


def has_env() -> bool:
    """Whether there is a `.env`, or anything else of that name."""
    return os.path.lexists(_ENV)


def write_env(values: Mapping[str, str]) -> Iterator[Check]:
    """
    Make `.env` with *values*, for this user alone; where there is one, say what it lacks.

    Raises:
        InvalidInputError: `.env` is no file, or cannot hold one of the *values*.
        OSError: It cannot be written.
    """
    template = read_template()
    found = WantedFile(_ENV, template).found()
    if found is None:
        WantedFile(_ENV, fill_template(template, values), 0o600).write()
        yield ok(".env", f"written, for you alone; {_set_in(values)}")
        return
    missing = unmentioned(template, found)
    more = f"; it does not mention {', '.join(missing)}" if missing else ""
    yield ok(".env", f"is there and stays as it is{more}")
    set_there = dotenv_values(_ENV)
    different = [name for name, value in values.items() if value != set_there.get(name)]
    if different:
        yield warning(".env", f"has another {' and '.join(different)} than was given", "Change it there by hand.")
    if _ENV.stat().st_mode & _OTHERS:
        yield warning(".env", "may be read by others on this machine", "chmod 600 .env")


def write_shims(files: Sequence[WantedFile]) -> Iterator[Check]:
    """Make the modules that are missing."""
    for file in files:
        file.write()
        yield ok("shim", f"{file.path} written")
    if not files:
        yield ok("shim", "both modules are there")


def look_at_git() -> Iterator[Check]:
    """Say so where git would take `.env` in; without git, or outside of a checkout, there is nothing to say."""
    try:
        is_ignored = _git("check-ignore", "--quiet", "--no-index", str(_ENV)).returncode != _NOT_IGNORED
        is_tracked = _git("ls-files", "--error-unmatch", str(_ENV)).returncode == 0
    except OSError:
        return
    if is_tracked:
        yield warning("git", "keeps versions of .env, which holds a password", "git rm --cached .env")
    if not is_ignored:
        yield warning("git", "does not ignore .env, which holds a password", "echo .env >> .gitignore")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], capture_output=True, check=False)


def _set_in(values: Mapping[str, str]) -> str:
    return f"sets {' and '.join(values)}" if values else "everything in it is a comment"
