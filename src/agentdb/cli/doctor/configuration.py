"""The settings, and where each of them comes from. No value of one is shown that may be a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.cli.output import shorten_path
from agentdb.config import Settings, check_encryption, find_sources
from agentdb.shipped import env_template

__all__ = ["checks", "read_settings"]

_SETTING: Final = re.compile(r"^# (\w+)=", re.MULTILINE)


def read_settings() -> Settings:
    """
    Return the settings as each client reads them.

    Raises:
        ConfigurationError: One is missing, or cannot be read.
    """
    settings = Settings.load()
    check_encryption(settings)
    return settings


def checks(settings: Settings) -> Iterator[Check]:
    """Look at what needs no server."""
    sources = find_sources()
    yield _settings(settings, sources)
    yield _unknown(sources)
    yield _encryption(settings)
    yield _access_log(settings)
    yield _embedder(settings)


def _settings(settings: Settings, sources: dict[str, str]) -> Check:
    from agentdb.postgres.embedded import default_data_dir
    from agentdb.postgres.url import parse_url

    if settings.is_embedded:
        where = f"embedded server, data in {shorten_path(settings.data_dir or default_data_dir())}"
    else:
        where = parse_url(settings.database_url or "", require_tls=settings.require_tls).masked()
    return ok("settings", f"organization {settings.organization_id!r}, {where}; {_came_from(sources)}")


def _came_from(sources: dict[str, str]) -> str:
    parts = []
    for source in ("environment", ".env"):
        names = sorted(name for name, found in sources.items() if found == source)
        if names:
            where = source if source == "environment" else shorten_path(Path.cwd() / source)
            parts.append(f"from {where}: {', '.join(names)}")
    return "; ".join(parts) or "all of it default"


def _unknown(sources: dict[str, str]) -> Check:
    """Find names that are mistyped: what nobody reads has no effect, and nobody says so."""
    known = _known()
    unknown = sorted(sources.keys() - known)
    if not unknown:
        return ok("variables", f"{len(sources)} set, each a setting of agentdb" if sources else "none is set")
    guesses = (difflib.get_close_matches(name, known, n=1) for name in unknown)
    named = (f"{name} (is {guess[0]} meant?)" if guess else name for name, guess in zip(unknown, guesses, strict=True))
    return warning(
        "variables", f"no setting of agentdb: {', '.join(named)}", "Correct or remove it: agentdb does not read it."
    )


def _known() -> set[str]:
    """Return the names of all settings, as the template of `.env` has them."""
    return set(_SETTING.findall(env_template().read_text(encoding="utf-8")))


def _encryption(settings: Settings) -> Check:
    keys = list(settings.encryption_keys)
    if not keys:
        remedy = "Set AGENTDB_ENCRYPTION_KEYS=k1:$(openssl rand -base64 32)"
        if settings.require_encryption:
            return failed("encryption", "no key: no sensitive memory can be stored", f"{remedy}.")
        remedy += "; AGENTDB_REQUIRE_ENCRYPTION=1 insists on it."
        return warning("encryption", "no key: sensitive memories are stored as plain text", remedy)
    what = ", ".join(["sensitive memories", *sorted(settings.encrypt)])
    older = f"; {', '.join(keys[1:])} can still be read" if keys[1:] else ""
    return ok("encryption", f"{what} with key {keys[0]}{older}")


def _access_log(settings: Settings) -> Check:
    if settings.access_log:
        return ok("access log", "in the database, and as the logger agentdb.access")
    return ok("access log", "as the logger agentdb.access; AGENTDB_ACCESS_LOG=1 keeps it in the database too")


def _embedder(settings: Settings) -> Check:
    return ok(
        "embedder",
        f"the application's, if it gives a client one: {settings.embed_batch_size:,} texts a call, "
        f"{settings.embed_timeout_seconds:g} s, tried {settings.embed_attempts} times",
    )
