"""Where settings come from, and which are refused."""

from __future__ import annotations

import base64
import contextlib
import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import config
from agentdb.config import Settings, check_encryption, check_organization_id
from agentdb.errors import ConfigurationError, InvalidInputError

URL = "postgresql://agent:secret@db:5432/agents"


def load(directory: Path, **environment: str) -> Settings:
    return Settings.load(environment=environment, directory=directory)


def test_the_argument_goes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    """Argument, then environment, then `.env`, then default."""
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\nORGANIZATION_ID=from_file\nAGENTDB_POOL_SIZE=3\n")

    assert load(tmp_path).organization_id == "from_file"
    assert load(tmp_path, ORGANIZATION_ID="from_environment").organization_id == "from_environment"
    settings = Settings.load(
        organization_id="from_argument", environment={"ORGANIZATION_ID": "from_environment"}, directory=tmp_path
    )
    assert (settings.organization_id, settings.database_url, settings.pool_size) == ("from_argument", URL, 3)


def test_reading_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `.env` says does not reach the environment of the process."""
    (tmp_path / ".env").write_text("ORGANIZATION_ID=from_file\n")
    monkeypatch.chdir(tmp_path)

    assert Settings.load().organization_id == "from_file"
    assert "ORGANIZATION_ID" not in os.environ


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_database_url_it_is_the_embedded_server(tmp_path: Path, url: str | None) -> None:
    """An empty DATABASE_URL counts as unset; the organization is then "local"."""
    settings = Settings.load(database_url=url, environment={"DATABASE_URL": ""}, directory=tmp_path)

    assert settings.is_embedded
    assert settings.organization_id == "local"


def test_a_database_needs_an_organization(tmp_path: Path) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="ORGANIZATION_ID") as caught:
        load(tmp_path, DATABASE_URL=URL)
    assert caught.value.variable == "ORGANIZATION_ID"
    assert "secret" not in str(caught.value)


def test_the_password_is_not_shown(tmp_path: Path) -> None:
    """A settings object may be logged."""
    settings = load(tmp_path, DATABASE_URL=URL, AGENTDB_MIGRATION_URL=URL, ORGANIZATION_ID="acme")

    assert settings.migration_url == URL
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENTDB_POOL_SIZE", "many"),
        ("AGENTDB_POOL_SIZE", "0"),
        ("AGENTDB_POOL_SIZE", "1.5"),
        ("AGENTDB_POOL_TIMEOUT_SECONDS", "-1"),
        ("AGENTDB_POOL_TIMEOUT_SECONDS", "nan"),
        ("AGENTDB_REQUIRE_RLS", "perhaps"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(tmp_path: Path, name: str, value: str) -> None:
    """A typing error is an error, not a default."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, **{name: value})
    assert caught.value.variable == name


def test_every_variable_is_read(tmp_path: Path) -> None:
    """Each variable reaches its setting."""
    settings = load(
        tmp_path,
        AGENTDB_DATA_DIR="~/data",
        AGENTDB_REQUIRE_RLS="1",
        AGENTDB_POOL_SIZE="7",
        AGENTDB_POOL_TIMEOUT_SECONDS="2.5",
        AGENTDB_EMBED_BATCH_SIZE="8",
        AGENTDB_EMBED_TIMEOUT_SECONDS="3",
        AGENTDB_EMBED_ATTEMPTS="9",
        AGENTDB_FLUSH_SECONDS="0.25",
        AGENTDB_HEARTBEAT_SECONDS="4",
        AGENTDB_ABANDONED_AFTER_SECONDS="8",
        AGENTDB_MAX_PAYLOAD_BYTES="2048",
        AGENTDB_STRICT_RECORDING="1",
    )

    assert settings.data_dir == Path.home() / "data"
    assert settings.require_rls
    assert (settings.pool_size, settings.pool_timeout_seconds) == (7, 2.5)
    assert (settings.embed_batch_size, settings.embed_timeout_seconds, settings.embed_attempts) == (8, 3, 9)
    assert (settings.flush_seconds, settings.heartbeat_seconds, settings.abandoned_after_seconds) == (0.25, 4, 8)
    assert (settings.max_payload_bytes, settings.strict_recording) == (2048, True)


def test_heartbeats_come_in_time(tmp_path: Path) -> None:
    """One that is late must not make an execution an abandoned one."""
    with pytest.raises(ConfigurationError, match="twice") as caught:
        load(tmp_path, AGENTDB_HEARTBEAT_SECONDS="40")
    assert caught.value.variable == "AGENTDB_ABANDONED_AFTER_SECONDS"


def test_every_variable_stands_in_the_example() -> None:
    """`.env.example` names what is read, each as a comment: copied as it is, it sets nothing."""
    read = set(re.findall(r'"((?:AGENTDB_|DATABASE_|ORGANIZATION_)[A-Z_]+)"', inspect.getsource(config)))
    example = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8")

    assert len(read) == 21
    assert [name for name in sorted(read) if f"\n# {name}=" not in example] == []
    assert all(line.startswith("#") for line in example.splitlines() if line)


KEY = b"canary-canary-canary-canary-3210"
BASE64 = base64.b64encode(KEY).decode()


def test_keys_come_newest_first(tmp_path: Path) -> None:
    """As they are written, whatever white space is around them; none by default."""
    keys = load(tmp_path, AGENTDB_ENCRYPTION_KEYS=f" b:{BASE64} , a.1_x-Y:{BASE64},").encryption_keys

    assert list(keys.items()) == [("b", KEY), ("a.1_x-Y", KEY)]
    assert load(tmp_path).encryption_keys == {}


@pytest.mark.parametrize(
    "text",
    [BASE64, f":{BASE64}", f"ä:{BASE64}", f"{'x' * 33}:{BASE64}", f"a:{BASE64[:-4]}", "a:", f"a:{BASE64},a:{BASE64}"],
)
def test_keys_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    """Without an id, too short, or with an id that is there twice; the error shows no part of a key."""
    with pytest.raises(ConfigurationError, match="AGENTDB_ENCRYPTION_KEYS") as raised:
        load(tmp_path, AGENTDB_ENCRYPTION_KEYS=text)
    assert BASE64[:8] not in str(raised.value)


@pytest.mark.parametrize(
    "keys",
    [{"ä": KEY}, {"": KEY}, {"x" * 33: KEY}, {"a:b": KEY}, {5: KEY}, {"a": KEY[1:]}, {"a": KEY.decode()}, ["a"], None],
)
def test_keys_of_a_program_are_checked_alike(keys: Any) -> None:
    """What such a key has sealed might never open again."""
    with pytest.raises(ConfigurationError, match="AGENTDB_ENCRYPTION_KEYS") as raised:
        check_encryption(Settings(organization_id="acme", encryption_keys=keys))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("encrypt", [["executions"], "executions", None, frozenset({"memories"})])
def test_what_else_can_be_encrypted(encrypt: Any) -> None:
    """Executions and tools; anything else is refused."""
    with pytest.raises(ConfigurationError, match="AGENTDB_ENCRYPT: "):
        check_encryption(Settings(organization_id="acme", encryption_keys={"a": KEY}, encrypt=encrypt))


@pytest.mark.parametrize("value", ["a", "acme", "Größe & Söhne", "组织", "x" * 255, "a b", "' OR 1=1 --", "😀"])
def test_any_text_is_an_organization(value: str) -> None:
    """It needs no creation and no particular form."""
    assert check_organization_id(value) == value


@pytest.mark.parametrize(
    "value", ["", " ", " acme", "acme\n", "a\x00b", "a\tb", "x" * 256, "e\u0301", "\ud800", "\u00a0acme", 7, b"acme"]
)
def test_what_no_organization_is(value: str) -> None:
    """Empty, too long, not NFC, control characters, outer white space, or no text."""
    with pytest.raises(InvalidInputError) as caught:
        check_organization_id(value)
    assert caught.value.field == "organization_id"


@given(st.text(max_size=300))
def test_an_accepted_organization_is_kept_to_the_byte(value: str) -> None:
    """The check accepts or refuses; it never changes."""
    with contextlib.suppress(InvalidInputError):
        assert check_organization_id(value) == value
