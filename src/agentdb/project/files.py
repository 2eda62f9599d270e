"""Files that are made for a user: whole or not at all, and never in the place of one that is there."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from agentdb.errors import InvalidInputError

__all__ = ["WantedFile", "check_folder", "difference", "replace_file", "write_new"]


@dataclass(frozen=True, slots=True)
class WantedFile:
    """
    A file as it should be.

    Attributes:
        path: Where.
        text: What it should say.
        mode: Its permissions, if it is made.
    """

    path: Path
    text: str
    mode: int = 0o644

    def found(self) -> str | None:
        """
        Return what the file says that is there; None if there is none.

        Raises:
            InvalidInputError: There is something else in its place, or something in place of one of its folders.
        """
        check_folder(self.path.parent)
        if not os.path.lexists(self.path):
            return None
        if not self.path.is_file():
            raise InvalidInputError(str(self.path), "is there, and is no file.")
        # Not as UTF-8 in every case: of a file that is not ours all that matters is that it is another. And without the
        # mark that editors on Windows begin with.
        return self.path.read_text(encoding="utf-8-sig", errors="replace")

    def write(self) -> None:
        """
        Make the file, with the folders that it lies in; one that has come just now and says the same will do.

        Raises:
            FileExistsError: One has come just now that says something else.
            OSError: It cannot be made; nothing of it is left.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_new(self.path, self.text, self.mode)
        except FileExistsError:
            if self.found() != self.text:
                raise


def check_folder(folder: Path) -> None:
    """
    Refuse a *folder* that cannot be one, because a file is where it or a folder above it would be.

    Raises:
        InvalidInputError: It cannot be one.
    """
    above = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not above.is_dir():
        raise InvalidInputError(str(above), "is no folder.")


def write_new(path: Path, text: str, mode: int = 0o644) -> None:
    """
    Make the file *path*, whole or not at all.

    Raises:
        FileExistsError: There is one, also if it has come just now.
        OSError: It cannot be made; nothing of it is left.
    """
    part = _written_beside(path, text, mode)
    try:
        try:
            os.link(part, path)  # unlike a rename, it never replaces
        except OSError:  # there is one; or a file system without links, which each system calls otherwise
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, text: str) -> None:
    """Put *text* in the place of what the file *path* says, whole or not at all; its permissions stay."""
    path = path.resolve()  # of a link, what it leads to
    part = _written_beside(path, text, path.stat().st_mode & 0o777)
    try:
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def difference(path: Path, found: str, wanted: str) -> str:
    """Return how *found* would have to change, as `diff -u` shows it."""
    lines = unified_diff(
        found.splitlines(), wanted.splitlines(), f"{path} (as it is)", f"{path} (agentdb's)", lineterm=""
    )
    return "\n".join(lines)


def _written_beside(path: Path, text: str, mode: int) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name.lstrip('.')}-", suffix=".part", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.chmod(mode)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        error.filename = str(path)  # a user knows nothing of the draft
        raise
    return part
