"""
agentdb's models and migrations in the folder of a Node application's Prisma schema.

The models are a file of their own, ``agentdb.prisma``, which Prisma reads together with the application's when its
configuration names the folder. The migrations lie among the application's and are applied by whoever deploys first:
both keep one history, see `agentdb.postgres.migrate`.

Copying is repeated after an upgrade. A migration is never changed: its checksum is on record in databases. The models
are written anew where nobody has changed them here, which their first lines tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from agentdb import shipped
from agentdb.errors import InvalidInputError, MigrationError
from agentdb.postgres.migrate import Migration, find_migrations, is_ours
from agentdb.project.files import WantedFile, difference, replace_file

__all__ = ["MODELS", "Copied", "copy_into"]

MODELS: Final = "agentdb.prisma"
_LOCK: Final = "migration_lock.toml"
_MOST_NAMED: Final = 3

_DIGEST: Final = re.compile(r"^// Made of: (?P<digest>[0-9a-f]{64})$", re.MULTILINE)
_HEADING: Final = """\
// agentdb's tables, beside your own models: prisma.config.ts has to name the folder that this file is in.
// Written by `agentdb migrate copy`, which brings it up to date after an upgrade, unless it was changed here.
// Made of: {digest}

"""
# Tables without ?schema=… in the URL; what the application keeps in other schemas does not meet them.
_SCHEMA: Final = "public"
# A text, which may hold what looks like a comment; or a comment.
_TEXT_OR_COMMENT: Final = re.compile(r'(?P<text>"(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
# What is allowed around it is Prisma's: "{" ends a line and "}" stands on one of its own.
_BLOCK: Final = re.compile(
    r"^\s*(?P<kind>model|enum|view|type)\s+(?P<name>\w+)\s*\{(?P<body>.*?)^\s*\}", re.MULTILINE | re.DOTALL
)
_TABLE: Final = re.compile(r'^\s*@@map\(\s*(?:name\s*:\s*)?"(?P<table>[^"]+)"', re.MULTILINE)
_IN_SCHEMA: Final = re.compile(r'^\s*@@schema\(\s*(?:map\s*:\s*)?"(?P<schema>[^"]+)"', re.MULTILINE)
_SCHEMAS: Final = re.compile(r"^\s*schemas\s*=\s*\[(?P<listed>[^\]]*)\]", re.MULTILINE)
_OTHER_DATABASE: Final = re.compile(r'^\s*provider\s*=\s*"(mysql|sqlite|sqlserver|mongodb|cockroachdb)"', re.MULTILINE)
_LOCK_OF_POSTGRESQL: Final = re.compile(r'^\s*provider\s*=\s*"postgres(ql)?"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Copied:
    """
    What became of one file.

    Attributes:
        path: The file.
        state: added, updated, unchanged; or differs: it was changed here, and agentdb has something new for it.
        difference: What agentdb's has that this one has not, as `diff -u`; empty unless it differs.
    """

    path: Path
    state: Literal["added", "updated", "unchanged", "differs"]
    difference: str = ""


def copy_into(folder: Path, migrations: Path | None = None) -> list[Copied]:
    """
    Put the models and migrations into a Prisma folder, or what is new of them; return what became of each file.

    Args:
        folder: Where the application's own ``*.prisma`` files are.
        migrations: Where its migrations are; None: the folder ``migrations`` in *folder*.

    Raises:
        InvalidInputError: *folder* has no schema, one of another database, or one with models or tables of these names.
        MigrationError: A newer agentdb was here.
        OSError: A file cannot be written; those that were are whole, and the next call goes on.
    """
    migrations = migrations or folder / "migrations"
    wanted = models(schema=_check_schema(folder))
    ours = find_migrations()
    _check_history(migrations, ours)
    # Migrations first: models whose tables nobody makes would be worse than the other way round.
    copied = [_copy_migration(migration, migrations) for migration in ours]
    copied += [_copy_lock(migrations)]
    return [*copied, _copy_models(folder, wanted)]


def models(*, schema: str | None = None) -> str:
    """
    Return the models and enums of schema.prisma, without what says for which client and database they are.

    Args:
        schema: Where they are, for an application that has several schemas; None: it does not say for its own, either.
    """
    text = shipped.prisma_schema().read_text(encoding="utf-8")
    text = text[re.search(r"^enum ", text, re.MULTILINE).start() :]  # type: ignore[union-attr]  # it has enums
    return text if schema is None else re.sub(r"^\}", f'  @@schema("{schema}")\n}}', text, flags=re.MULTILINE)


def _copy_migration(migration: Migration, folder: Path) -> Copied:
    file = WantedFile(folder / migration.name / "migration.sql", migration.script().decode())
    found = file.found()
    if found is None:
        file.write()
        return Copied(file.path, "added")
    if migration.matches(hashlib.sha256(file.path.read_bytes()).hexdigest()):
        return Copied(file.path, "unchanged")
    return Copied(file.path, "differs", difference(file.path, found, file.text))


def _copy_lock(folder: Path) -> Copied:
    file = WantedFile(folder / _LOCK, (shipped.migrations() / _LOCK).read_text(encoding="utf-8"))
    if file.found() is not None:
        return Copied(file.path, "unchanged")
    file.write()
    return Copied(file.path, "added")


def _copy_models(folder: Path, wanted: str) -> Copied:
    file = WantedFile(folder / MODELS, _HEADING.format(digest=_digest(wanted)) + wanted)
    found = file.found()
    if found is None:
        file.write()
        return Copied(file.path, "added")
    base, now = _made_of(found), _digest(_DIGEST.split(found)[-1])
    if _digest(wanted) in (base, now):  # this version's, whether or not it was changed here
        return Copied(file.path, "unchanged")
    if base == now:
        replace_file(file.path, file.text)
        return Copied(file.path, "updated")
    return Copied(file.path, "differs", difference(file.path, found, file.text))


def _made_of(text: str) -> str | None:
    match = _DIGEST.search(text)
    return match["digest"] if match else None


def _digest(text: str) -> str:
    """Return a digest of what *text* says: `prisma format` may change its white space."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def _check_schema(folder: Path) -> str | None:
    """Refuse a schema that agentdb's models do not fit; return what their `@@schema` has to name, None for no such."""
    files = sorted(_schema_files(folder)) if folder.is_dir() else []
    if not files:
        raise InvalidInputError(
            str(folder), "holds no .prisma file; give the folder of the application's schema, most often prisma."
        )
    names, tables = _names_and_tables(_without_comments(models()))
    schema = None
    for file in files:
        text = _without_comments(file.read_text(encoding="utf-8-sig", errors="replace"))
        if _OTHER_DATABASE.search(text):
            raise InvalidInputError(str(file), "is for another database; agentdb is for PostgreSQL.")
        schemas = _SCHEMAS.search(text)
        if schemas is not None:
            if f'"{_SCHEMA}"' not in schemas["listed"]:
                raise InvalidInputError(str(file), f'lists schemas; add "{_SCHEMA}", where agentdb\'s tables will be.')
            schema = _SCHEMA
        other_names, other_tables = _names_and_tables(text)
        taken = sorted(names & other_names) or sorted(tables & other_tables)
        if taken:
            raise InvalidInputError(
                str(file),
                f"has {_listed(taken)} of its own, as agentdb has. If it is a copy of agentdb's, take it out: it comes "
                "with agentdb.prisma. If not, keep agentdb in a schema of its own (?schema=agentdb in DATABASE_URL), "
                "and leave it to `agentdb migrate deploy`.",
            )
    return schema


def _check_history(migrations: Path, ours: list[Migration]) -> None:
    lock = migrations / _LOCK
    if lock.is_file() and not _LOCK_OF_POSTGRESQL.search(lock.read_text(encoding="utf-8-sig", errors="replace")):
        raise InvalidInputError(str(lock), 'names another database; agentdb needs provider = "postgresql".')
    names = {migration.name for migration in ours}
    here = sorted(path.parent.name for path in migrations.glob("*/migration.sql"))
    unknown = [name for name in here if is_ours(name) and name not in names]
    if unknown:
        raise MigrationError(
            f"{migrations} has {unknown[0]}, which this agentdb does not know: a newer one was here. "
            "pip install --upgrade agentdb",
            migration=unknown[0],
        )


def _schema_files(folder: Path) -> Iterator[Path]:
    models_file = folder / MODELS
    return (path for path in folder.rglob("*.prisma") if path != models_file and "node_modules" not in path.parts)


def _without_comments(schema: str) -> str:
    return _TEXT_OR_COMMENT.sub(lambda match: match["text"] or "", schema)


def _names_and_tables(schema: str) -> tuple[set[str], set[str]]:
    """Return the names of the blocks of *schema*, a text without comments, and what they are called in the database."""
    names, tables = set(), set()
    for block in _BLOCK.finditer(schema):
        names.add(block["name"])
        place, table = _IN_SCHEMA.search(block["body"]), _TABLE.search(block["body"])
        if place is None or place["schema"] == _SCHEMA:
            # An enum counts as a table does: in PostgreSQL types and tables share their names.
            tables.add(table["table"] if table else block["name"])
    return names, tables


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
