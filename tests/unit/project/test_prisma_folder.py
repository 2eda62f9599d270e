"""Models and migrations in the folder of a Node application."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from agentdb.errors import InvalidInputError, MigrationError
from agentdb.postgres.migrate import find_migrations
from agentdb.project import prisma_folder
from agentdb.project.prisma_folder import MODELS, copy_into, models

OWN = 'generator client {\n  provider = "prisma-client"\n}\n\ndatasource db {\n  provider = "postgresql"\n}\n\n'
OURS = [migration.name for migration in find_migrations()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Prisma folder with a schema of its own."""
    (tmp_path / "schema.prisma").write_text(OWN + "model User {\n  id String @id\n}\n")
    return tmp_path


def states(folder: Path) -> dict[str, str]:
    """Copy, and return what became of each file."""
    return {str(file.path.relative_to(folder)): file.state for file in copy_into(folder)}


def as_if_newer() -> AbstractContextManager[Any]:
    """An agentdb whose models have more."""
    return mock.patch.object(prisma_folder, "models", return_value=models() + "model Later {\n  id String @id\n}\n")


def test_everything_is_added_once(folder: Path) -> None:
    """The migrations byte for byte, the models without generator and datasource; a second time nothing changes."""
    first = states(folder)
    again = states(folder)

    assert set(first) == {f"migrations/{name}/migration.sql" for name in OURS} | {
        "migrations/migration_lock.toml",
        MODELS,
    }
    assert set(first.values()) == {"added"}
    assert set(again.values()) == {"unchanged"}
    for migration in find_migrations():
        assert (folder / "migrations" / migration.name / "migration.sql").read_bytes() == migration.script()
    assert "generator" not in (folder / MODELS).read_text()
    assert "model Agent {" in (folder / MODELS).read_text()


def test_migrations_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    """As prisma.config.ts has it."""
    copy_into(folder, tmp_path / "other")

    assert sorted(path.name for path in (tmp_path / "other").iterdir() if path.is_dir()) == OURS
    assert not (folder / "migrations").exists()


def test_an_upgrade_brings_what_is_new(folder: Path) -> None:
    """A migration that was not there yet, and models that nobody has changed."""
    states(folder)
    (folder / "migrations" / OURS[-1] / "migration.sql").unlink()

    with as_if_newer():
        changed = {path: state for path, state in states(folder).items() if state != "unchanged"}

    assert changed == {f"migrations/{OURS[-1]}/migration.sql": "added", MODELS: "updated"}
    assert "model Later" in (folder / MODELS).read_text()


def test_formatting_is_no_change(folder: Path) -> None:
    """`prisma format`, and Windows' line ends."""
    states(folder)
    (folder / MODELS).write_bytes((folder / MODELS).read_bytes().replace(b"  ", b"    ").replace(b"\n", b"\r\n"))
    script = folder / "migrations" / OURS[0] / "migration.sql"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))

    assert set(states(folder).values()) == {"unchanged"}
    with as_if_newer():
        assert states(folder)[MODELS] == "updated"


def test_models_that_were_changed_stay(folder: Path) -> None:
    """Content as long as agentdb has nothing new; then the difference is shown, until it was taken over."""
    states(folder)
    text = (folder / MODELS).read_text().replace("  memories ", "  owner String?\n  memories ", 1)
    (folder / MODELS).write_text(text)
    assert states(folder)[MODELS] == "unchanged"

    with as_if_newer():
        (file,) = [file for file in copy_into(folder) if file.state == "differs"]

    assert file.path == folder / MODELS
    assert "+model Later {" in file.difference
    assert "-  owner String?" in file.difference
    assert (folder / MODELS).read_text() == text


def test_a_changed_migration_stays(folder: Path) -> None:
    """Its checksum is on record in databases."""
    states(folder)
    script = folder / "migrations" / OURS[0] / "migration.sql"
    script.write_text("SELECT 1;\n")

    assert states(folder)[f"migrations/{OURS[0]}/migration.sql"] == "differs"
    assert script.read_text() == "SELECT 1;\n"


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("model Agent {\n  id String @id\n}\n", "has Agent of its own"),
        ('model Robot {\n  id String @id\n\n  @@map("agents")\n}\n', "has agents of its own"),
        ("enum AgentStatus {\n  on\n}\n", "has AgentStatus of its own"),
        ('datasource other {\n  provider = "mysql"\n}\n', "another database"),
        ('datasource other {\n  schemas = ["auth", "app"]\n}\n', 'add "public"'),
        ("\n  model   Agent{ // }\n    id String @id\n  }", "has Agent of its own"),
        ('model Robot {\r\n  id String @id\r\n  @@map( name : "agents" )\r\n}\r\n', "has agents of its own"),
        ("/* old */ model Old {\n  id Int @id\n}\n/**/\nmodel agents {\n  id Int @id\n}\n", "has agents of its own"),
        ("\ufeffmodel Agent {\n  id String @id\n}\n", "has Agent of its own"),
    ],
)
def test_a_schema_that_it_does_not_fit_is_refused(own: str, reason: str, folder: Path) -> None:
    """Before anything is written."""
    (folder / "more.prisma").write_text(own)

    with pytest.raises(InvalidInputError, match=reason):
        copy_into(folder)

    assert sorted(os.listdir(folder)) == ["more.prisma", "schema.prisma"]


@pytest.mark.parametrize(
    "own",
    [
        "/*\nmodel Agent {\n  id String @id\n}\n*/\n",
        "// model Agent {\n// }\n",
        'model Robot {\n  id String @id @default("/*")\n  // @@map("agents")\n  /*\n  @@map("agents")\n  */\n}\n',
        'model agents {\n  id String @id\n\n  @@map("robots")\n}\n',
        'model Robot {\n  id String @id\n\n  @@map("agents")\n  @@schema("auth")\n}\n',
        '// provider = "mysql"\n',
    ],
)
def test_what_only_looks_taken_is_not(own: str, folder: Path) -> None:
    """Comments, names that are no table's, tables of another schema."""
    (folder / "more.prisma").write_text(own)

    assert set(states(folder).values()) == {"added"}


def test_several_schemas(folder: Path) -> None:
    """Where a datasource lists schemas, Prisma wants each model and enum to name its own; it may come later."""
    states(folder)
    own = OWN.replace('"postgresql"', '"postgresql"\n  schemas  = ["auth", "public"]')
    (folder / "schema.prisma").write_text(own + 'model User {\n  id String @id\n\n  @@schema("auth")\n}\n')

    first, again = states(folder)[MODELS], states(folder)[MODELS]

    assert (first, again) == ("updated", "unchanged")
    text = (folder / MODELS).read_text()
    assert text.count('  @@schema("public")\n}\n') == text.count("\n}\n")


def test_models_elsewhere_in_the_folder_are_found(folder: Path) -> None:
    """Copied into a folder within, and now into the one around it: Prisma would read them twice."""
    (folder / "schema").mkdir()
    (folder / "schema.prisma").rename(folder / "schema" / "schema.prisma")
    copy_into(folder / "schema", folder / "migrations")

    with pytest.raises(InvalidInputError, match=r"schema/agentdb\.prisma: has AccessLog"):
        copy_into(folder)


def test_a_migration_about_agentdb_is_the_applications(folder: Path) -> None:
    """Ours have the name directly behind the number."""
    own = folder / "migrations" / "20990101000000_add_agentdb_relation"
    own.mkdir(parents=True)
    (own / "migration.sql").touch()

    assert set(states(folder).values()) == {"added"}


@pytest.mark.parametrize("text", ['provider="postgresql"', '\ufeff# x\r\nprovider   = "postgres"\r\n'])
def test_a_lock_however_it_is_written(text: str, folder: Path) -> None:
    """As long as it is PostgreSQL's."""
    (folder / "migrations").mkdir()
    (folder / "migrations" / "migration_lock.toml").write_text(text)

    assert states(folder)["migrations/migration_lock.toml"] == "unchanged"


def test_a_lock_of_another_database_is_refused(folder: Path) -> None:
    """Its migrations are no SQL of PostgreSQL."""
    (folder / "migrations").mkdir()
    (folder / "migrations" / "migration_lock.toml").write_text('provider = "sqlite"\n')

    with pytest.raises(InvalidInputError, match="another database"):
        copy_into(folder)


@pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
def test_a_folder_without_a_schema_is_refused(name: str, tmp_path: Path) -> None:
    """Most often another one is meant."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(InvalidInputError, match=r"holds no \.prisma file"):
        copy_into(tmp_path / name)


def test_after_a_newer_agentdb_nothing_is_copied(folder: Path) -> None:
    """Models without the tables of a newer one would take them for drift."""
    newer = folder / "migrations" / "20990101000000_agentdb_future"
    newer.mkdir(parents=True)
    (newer / "migration.sql").touch()

    with pytest.raises(MigrationError, match="agentdb_future"):
        copy_into(folder)

    assert not (folder / MODELS).exists()


def test_what_a_full_disk_broke_off_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that are there are whole; the next call makes the others."""
    real, calls = os.fsync, 0

    def fail_once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(OSError, match="No space"):
        copy_into(folder)

    assert list(states(folder).values()).count("unchanged") == 2
    assert set(states(folder).values()) == {"unchanged"}
