"""Files that are made whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agentdb.errors import InvalidInputError
from agentdb.project.files import WantedFile, replace_file, write_new


def fail(*_: object) -> None:
    """Stand in for a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_gets_its_text_and_its_mode(tmp_path: Path) -> None:
    """With the folders that it lies in, and nothing beside it."""
    WantedFile(tmp_path / "a" / "b", "ä\n", 0o600).write()

    assert (tmp_path / "a" / "b").read_bytes() == "ä\n".encode()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "a") == ["b"]


def test_one_that_came_meanwhile_stays(tmp_path: Path) -> None:
    """Another process was faster."""
    (tmp_path / "b").write_text("theirs")

    with pytest.raises(FileExistsError):
        write_new(tmp_path / "b", "ours")

    assert (tmp_path / "b").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["b"]


def test_two_at_once_make_one(tmp_path: Path) -> None:
    """One that came meanwhile and says the same will do; one that says something else does not."""
    ours = WantedFile(tmp_path / "b", "ours")
    for _ in range(2):
        ours.write()

    with pytest.raises(FileExistsError):
        WantedFile(tmp_path / "b", "theirs").write()

    assert ours.found() == "ours"
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_one_that_came_meanwhile_stays_where_there_are_no_links(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without hard links writes all the same, and does not replace."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)

    write_new(tmp_path / "b", "ours")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "b", "others")

    assert (tmp_path / "b").read_text() == "ours"
    assert os.listdir(tmp_path) == ["b"]


def test_on_a_full_disk_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor its draft; one that was to be replaced stays."""
    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "new", "new")
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "old", "new")

    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_interrupted_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "new", "new")

    assert os.listdir(tmp_path) == []


def test_an_error_names_the_file_that_was_wanted(tmp_path: Path) -> None:
    """A user knows nothing of its draft."""
    with pytest.raises(FileNotFoundError) as caught:
        write_new(tmp_path / "nowhere" / "b", "text")

    assert caught.value.filename == str(tmp_path / "nowhere" / "b")


def test_a_mark_of_the_encoding_is_no_text(tmp_path: Path) -> None:
    """Editors on Windows begin with it."""
    (tmp_path / "b").write_bytes("\ufeffä\r\n".encode())

    assert WantedFile(tmp_path / "b", "").found() == "ä\n"


def test_of_a_link_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    """The link stays."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")

    replace_file(tmp_path / "link", "new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("path", ["file/new", "file/folder/new", "folder"])
def test_what_is_in_the_way_is_named(path: str, tmp_path: Path) -> None:
    """A file where a folder should be, and the other way round."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(InvalidInputError, match=r"is no folder|is no file"):
        WantedFile(tmp_path / path, "").found()


def test_a_dangling_link_is_no_free_place(tmp_path: Path) -> None:
    """Whoever made it means another file."""
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InvalidInputError, match="is no file"):
        WantedFile(tmp_path / ".env", "").found()


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    """They are its owner's choice."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)

    replace_file(tmp_path / "file", "new")

    assert ((tmp_path / "file").read_text(), (tmp_path / "file").stat().st_mode & 0o777) == ("new", 0o640)
