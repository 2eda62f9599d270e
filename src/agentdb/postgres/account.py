"""
Runs the embedded server's programs when we are root, which PostgreSQL refuses to run as.

They then run as the system account "agentdb". It gets to enter the directories that lead to the data and to the
programs, by an access-control entry for this account alone: opening a home directory to everybody, as a chmod would, is
no price for a database.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentdb.errors import ConfigurationError

__all__ = ["Account", "server_account"]

logger: Final = logging.getLogger("agentdb.postgres")

_NAME: Final = "agentdb"
_FALLBACK_NAME: Final = "postgres"

# struct posix_acl_xattr_entry of the Linux kernel: a version, then (tag, permissions, id) for each entry.
_ACL_ATTRIBUTE: Final = "system.posix_acl_access"
_ACL_VERSION: Final = 2
_ACL_ENTRY: Final = struct.Struct("<HHI")
_ACL_USER_OBJECT, _ACL_USER, _ACL_GROUP_OBJECT, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 1, 2, 4, 8, 16, 32
_ACL_NO_ID: Final = 0xFFFFFFFF
_EXECUTE: Final = 1

AclEntry = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Account:
    """
    The system account that the server runs as, when it is not our own.

    Attributes:
        uid: Its user id.
        gid: Its group.
        name: Its name.
    """

    uid: int
    gid: int
    name: str

    def run_arguments(self) -> dict[str, Any]:
        """Return what makes `subprocess` run a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give *path* to the account."""
        os.chown(path, self.uid, self.gid)

    def let_in(self, path: Path) -> None:
        """
        Let the account reach *path*, whose own permissions suit it already.

        Raises:
            ConfigurationError: A directory on the way is closed to it and cannot be opened for it alone.
        """
        for directory in reversed(path.resolve().parents):
            if not self._may_enter(directory):
                self._open(directory)

    def _may_enter(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        return bool(status.st_mode & stat.S_IXOTH) or any(
            entry[0] == _ACL_USER and entry[2] == self.uid and entry[1] & _EXECUTE
            for entry in _effective_acl(directory)
        )

    def _open(self, directory: Path) -> None:
        entries = [entry for entry in _read_acl(directory) if not (entry[0] == _ACL_USER and entry[2] == self.uid)]
        entries = [entry for entry in entries if entry[0] != _ACL_MASK] + [(_ACL_USER, _EXECUTE, self.uid)]
        mask = 0
        for tag, permissions, _ in entries:
            mask |= permissions if tag in (_ACL_USER, _ACL_GROUP_OBJECT, _ACL_GROUP) else 0
        entries.append((_ACL_MASK, mask, _ACL_NO_ID))
        try:
            _write_acl(directory, sorted(entries, key=lambda entry: (entry[0], entry[2])))
        except (OSError, AttributeError) as error:
            raise ConfigurationError(
                "AGENTDB_DATA_DIR",
                f"as root, the embedded server runs as the account {self.name!r}, which may not enter {directory}. "
                f"Choose a data directory that it can reach, such as /var/lib/agentdb, or run as another user.",
            ) from error
        logger.info("let the embedded server's account enter a directory", extra={"directory": str(directory)})


def server_account(existing: Path | None) -> Account | None:
    """
    Return the account that the server has to run as; None when it is our own.

    Args:
        existing: A directory that a server has used before; its owner is kept.
    """
    if os.geteuid() != 0:
        return None
    import pwd  # Unix only

    if existing is not None and existing.exists() and existing.stat().st_uid != 0:
        entry = pwd.getpwuid(existing.stat().st_uid)
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in (_NAME, _create_account(), _FALLBACK_NAME):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise ConfigurationError(
        "AGENTDB_DATA_DIR",
        "PostgreSQL does not run as root, and the system account 'agentdb' cannot be made. "
        "Make it (useradd --system agentdb), run as another user, or set DATABASE_URL.",
    )


def _create_account() -> str:
    import pwd

    try:
        pwd.getpwnam(_NAME)
    except KeyError:
        if shutil.which("useradd"):
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME]
        else:
            command = ["adduser", "-S", "-D", "-H", _NAME]  # BusyBox
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
            logger.info("made the system account that the embedded server runs as", extra={"account": _NAME})
        except (OSError, subprocess.SubprocessError):
            logger.debug("could not make a system account", exc_info=True)
    return _NAME


def _read_acl(path: Path) -> list[AclEntry]:
    try:
        data = os.getxattr(path, _ACL_ATTRIBUTE)
    except (OSError, AttributeError):
        mode = path.stat().st_mode
        return [
            (_ACL_USER_OBJECT, mode >> 6 & 7, _ACL_NO_ID),
            (_ACL_GROUP_OBJECT, mode >> 3 & 7, _ACL_NO_ID),
            (_ACL_OTHER, mode & 7, _ACL_NO_ID),
        ]
    return list(_ACL_ENTRY.iter_unpack(data[4:]))


def _effective_acl(path: Path) -> list[AclEntry]:
    entries = _read_acl(path)
    mask = next((permissions for tag, permissions, _ in entries if tag == _ACL_MASK), 7)
    return [(tag, permissions & mask, id_) for tag, permissions, id_ in entries]


def _write_acl(path: Path, entries: list[AclEntry]) -> None:
    data = struct.pack("<I", _ACL_VERSION) + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)
    os.setxattr(path, _ACL_ATTRIBUTE, data)
