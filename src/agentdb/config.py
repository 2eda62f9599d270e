"""Settings: argument, then environment, then `.env` in the working directory, then default."""

from __future__ import annotations

import base64
import binascii
import os
import re
import unicodedata
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from agentdb.errors import ConfigurationError, InvalidInputError

__all__ = ["EMBEDDED_ORGANIZATION", "Settings", "check_encryption", "check_organization_id", "find_sources"]

EMBEDDED_ORGANIZATION = "local"
"""The organization of the embedded server when none is named."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

_EMBED_BATCH_SIZE: Final = 64
_EMBED_TIMEOUT_SECONDS: Final = 30.0
_EMBED_ATTEMPTS: Final = 3
_FLUSH_SECONDS: Final = 0.5
_HEARTBEAT_SECONDS: Final = 10.0
_ABANDONED_AFTER_SECONDS: Final = 60.0
_MAX_PAYLOAD_BYTES: Final = 262_144
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_KEY_BYTES: Final = 32
_ENCRYPTABLE: Final = frozenset({"executions", "tools"})

T = TypeVar("T", int, float)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client needs to know before it connects."""

    organization_id: str
    """The organization that the client is bound to."""
    # A URL holds a password, so repr leaves it out.
    database_url: str | None = field(default=None, repr=False)
    """Where the database is, in Prisma's dialect; None: the embedded server."""
    migration_url: str | None = field(default=None, repr=False)
    """Where `agentdb migrate` and `agentdb index` connect, as the tables' owner; None: *database_url*."""
    data_dir: Path | None = None
    """Where the embedded server keeps its data; None: the user's data directory."""
    require_rls: bool = False
    """
    Refuse to connect where row-level security does not keep organizations apart: it does not bind the role, or is off
    on a table.
    """
    require_tls: bool = False
    """Refuse a connection that is not encrypted, except by a Unix socket."""
    encryption_keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """32 bytes by key id, the newest first; it encrypts sensitive memories."""
    encrypt: frozenset[str] = frozenset()
    """What else it encrypts: "executions" (tasks, results, errors, steps), "tools" (parameters)."""
    embed_sensitive: bool = False
    """Give encrypted memories an embedding, which tells of what they say, and show the embedder what they say."""
    require_encryption: bool = False
    """Refuse to store a sensitive memory where there is no key."""
    access_log: bool = False
    """Keep the access log in the database too."""
    pool_size: int | None = None
    """Most connections of a pool; None: the URL's `connection_limit`, else the pool's default."""
    pool_timeout_seconds: float | None = None
    """Longest wait for a free connection; None: the URL's `pool_timeout`, else the default."""
    embed_batch_size: int = _EMBED_BATCH_SIZE
    """Most texts of one call to the embedder."""
    embed_timeout_seconds: float = _EMBED_TIMEOUT_SECONDS
    """Longest wait for one such call."""
    embed_attempts: int = _EMBED_ATTEMPTS
    """How often a call to the embedder is tried."""
    flush_seconds: float = _FLUSH_SECONDS
    """
    How long recalls, steps of executions and buffered metrics gather before they are written: what a process that is
    killed may lose.
    """
    heartbeat_seconds: float = _HEARTBEAT_SECONDS
    """How often a process says which executions it is running."""
    abandoned_after_seconds: float = _ABANDONED_AFTER_SECONDS
    """How long an execution may go without a heartbeat before it counts as abandoned."""
    max_payload_bytes: int = _MAX_PAYLOAD_BYTES
    """The largest task, result or step that an execution keeps whole, as JSON; more is cut, and marked."""
    strict_recording: bool = False
    """Raise when a task's end cannot be recorded; else that is logged and counted."""

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the embedded server."""
        return self.database_url is None

    @classmethod
    def load(
        cls,
        *,
        database_url: str | None = None,
        organization_id: str | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Settings:
        """
        Read the settings. The environment is never changed.

        Args:
            database_url: Overrides DATABASE_URL. Empty counts as not given, there and here.
            organization_id: Overrides ORGANIZATION_ID.
            environment: The variables; None: those of the process.
            directory: Where `.env` is looked for; None: the working directory.

        Raises:
            ConfigurationError: There is a DATABASE_URL but no ORGANIZATION_ID, or a variable cannot be read.
            InvalidInputError: The organization's id is none; see `check_organization_id`.
        """
        variables = _Variables(os.environ if environment is None else environment, directory or Path())
        url = database_url or variables.text("DATABASE_URL")
        data_dir = variables.text("AGENTDB_DATA_DIR")
        heartbeat = variables.number("AGENTDB_HEARTBEAT_SECONDS", float, at_least=0.001) or _HEARTBEAT_SECONDS
        abandoned_after = (
            variables.number("AGENTDB_ABANDONED_AFTER_SECONDS", float, at_least=0.001) or _ABANDONED_AFTER_SECONDS
        )
        if abandoned_after < 2 * heartbeat:
            raise ConfigurationError(
                "AGENTDB_ABANDONED_AFTER_SECONDS", "expected at least twice AGENTDB_HEARTBEAT_SECONDS: one may be late."
            )
        return cls(
            organization_id=_organization_id(organization_id, variables, is_embedded=url is None),
            database_url=url,
            migration_url=variables.text("AGENTDB_MIGRATION_URL"),
            data_dir=Path(data_dir).expanduser() if data_dir else None,
            require_rls=variables.flag("AGENTDB_REQUIRE_RLS"),
            require_tls=variables.flag("AGENTDB_REQUIRE_TLS"),
            encryption_keys=variables.keys("AGENTDB_ENCRYPTION_KEYS"),
            encrypt=variables.words("AGENTDB_ENCRYPT", _ENCRYPTABLE),
            embed_sensitive=variables.flag("AGENTDB_EMBED_SENSITIVE"),
            require_encryption=variables.flag("AGENTDB_REQUIRE_ENCRYPTION"),
            access_log=variables.flag("AGENTDB_ACCESS_LOG"),
            pool_size=variables.number("AGENTDB_POOL_SIZE", int, at_least=1),
            pool_timeout_seconds=variables.number("AGENTDB_POOL_TIMEOUT_SECONDS", float, at_least=0.0),
            embed_batch_size=variables.number("AGENTDB_EMBED_BATCH_SIZE", int, at_least=1) or _EMBED_BATCH_SIZE,
            embed_timeout_seconds=variables.number("AGENTDB_EMBED_TIMEOUT_SECONDS", float, at_least=0.001)
            or _EMBED_TIMEOUT_SECONDS,
            embed_attempts=variables.number("AGENTDB_EMBED_ATTEMPTS", int, at_least=1) or _EMBED_ATTEMPTS,
            flush_seconds=variables.number("AGENTDB_FLUSH_SECONDS", float, at_least=0.001) or _FLUSH_SECONDS,
            heartbeat_seconds=heartbeat,
            abandoned_after_seconds=abandoned_after,
            max_payload_bytes=variables.number("AGENTDB_MAX_PAYLOAD_BYTES", int, at_least=1024) or _MAX_PAYLOAD_BYTES,
            strict_recording=variables.flag("AGENTDB_STRICT_RECORDING"),
        )


def find_sources(*, environment: Mapping[str, str] | None = None, directory: Path | None = None) -> dict[str, str]:
    """
    Return where each variable that concerns agentdb is set, "environment" or ".env", by its name; none of their values.

    Args:
        environment: The variables; None: those of the process.
        directory: Where `.env` is looked for; None: the working directory.

    Raises:
        ConfigurationError: There is a `.env` that cannot be read.
    """
    read = {
        ".env": _read_dotenv((directory or Path()) / ".env"),
        "environment": os.environ if environment is None else environment,
    }
    return {
        name: source
        for source, variables in read.items()
        for name, value in variables.items()
        if value and (name in ("DATABASE_URL", "ORGANIZATION_ID") or name.startswith("AGENTDB_"))
    }


def check_encryption(settings: Settings) -> None:
    """
    Refuse settings that ask for more encryption than there can be: what was meant to be sealed would stay plain, or
    would never open again.

    Raises:
        ConfigurationError: A key is none; *encrypt* names what nobody encrypts, or there is no key.
    """
    if not isinstance(settings.encryption_keys, Mapping):
        raise ConfigurationError("AGENTDB_ENCRYPTION_KEYS", "expected a mapping from key ids to keys.")
    for number, (key_id, key) in enumerate(settings.encryption_keys.items(), 1):
        _check_key("AGENTDB_ENCRYPTION_KEYS", number, key_id, key)
    encrypt: object = settings.encrypt
    if not (isinstance(encrypt, Set) and encrypt <= _ENCRYPTABLE):
        raise ConfigurationError("AGENTDB_ENCRYPT", f"expected any of {', '.join(sorted(_ENCRYPTABLE))}.")
    if encrypt and not settings.encryption_keys:
        raise ConfigurationError(
            "AGENTDB_ENCRYPT", "asks for encryption, and there is no key: set AGENTDB_ENCRYPTION_KEYS."
        )


def check_organization_id(value: str, field: str = "organization_id") -> str:
    """
    Return *value* when it can be an organization's id.

    Any text of 1 to 255 characters in Unicode's NFC form, without control characters or surrounding white space. It is
    compared byte for byte; an organization needs no creation.

    Raises:
        InvalidInputError: It is anything else; the reason says what.
    """
    reason = _why_no_organization_id(value)
    if reason:
        raise InvalidInputError(field, reason)
    return value


def _why_no_organization_id(value: object) -> str | None:
    if not isinstance(value, str):
        return f"expected text, got {type(value).__name__}."
    if not 1 <= len(value) <= 255:
        return f"expected 1 to 255 characters, got {len(value)}."
    if value != value.strip():
        return "has white space at its start or end; remove it."
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        return "holds a control character or a lone surrogate; remove it."
    if not unicodedata.is_normalized("NFC", value):
        return "is not in Unicode's NFC form; use unicodedata.normalize('NFC', …)."
    return None


def _organization_id(argument: str | None, variables: _Variables, *, is_embedded: bool) -> str:
    if argument is not None:
        return check_organization_id(argument)
    from_variable = variables.text("ORGANIZATION_ID")
    if from_variable is not None:
        return check_organization_id(from_variable, "ORGANIZATION_ID")
    if is_embedded:
        return EMBEDDED_ORGANIZATION
    raise ConfigurationError(
        "ORGANIZATION_ID",
        "not set, though DATABASE_URL is: every row belongs to an organization. "
        "Set it (any text, it needs no creation) or pass organization_id=….",
    )


class _Variables:
    """Reads variables from the environment, then from `.env`; an empty one counts as unset."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._environment = environment
        self._file = _read_dotenv(directory / ".env")

    def text(self, name: str) -> str | None:
        return self._environment.get(name) or self._file.get(name) or None

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "0").strip().lower()
        if value not in _TRUE | _FALSE:
            raise ConfigurationError(name, "expected 1 or 0.")
        return value in _TRUE

    def number(self, name: str, kind: type[T], *, at_least: T) -> T | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is None or not number >= at_least:
            raise ConfigurationError(name, f"expected a number, {at_least} or more.")
        return number

    def words(self, name: str, known: frozenset[str]) -> frozenset[str]:
        """Return some of *known*, written with commas between them."""
        words = frozenset(word for part in (self.text(name) or "").split(",") if (word := part.strip().lower()))
        if not words <= known:
            raise ConfigurationError(name, f"expected any of {', '.join(sorted(known))}, with commas between them.")
        return words

    def keys(self, name: str) -> dict[str, bytes]:
        """Return keys written as `id:BASE64,id:BASE64`; no error shows a part of one."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(filter(None, map(str.strip, (self.text(name) or "").split(","))), 1):
            key_id, _, encoded = entry.partition(":")
            if key_id in keys:
                raise ConfigurationError(name, f"has two keys called {key_id!r}.")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                key = b""
            _check_key(name, number, key_id, key)
            keys[key_id] = key
        return keys


def _check_key(variable: str, number: int, key_id: object, key: object) -> None:
    """Refuse what is no key, or none that a sealed value can name; no error shows a part of one."""
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ConfigurationError(
            variable, f"key {number} has no id: expected id:BASE64, the id 1 to 32 of A-Z a-z 0-9 . _ -"
        )
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise ConfigurationError(
            variable, f"the key {key_id!r} is not 32 bytes in Base64; make one with `openssl rand -base64 32`."
        )


def _read_dotenv(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # only those who have a file pay for the import

    try:
        return dict(dotenv_values(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"cannot be read: {error}") from error
