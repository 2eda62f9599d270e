"""What the migrations have made, and whether it is still there and in use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.cli.stats.texts import size
from agentdb.postgres.migrate import find_migrations

if TYPE_CHECKING:
    from agentdb.cli.doctor.facts import Database, Server

__all__ = ["expected_parts", "extension", "parts", "vector_indexes"]

_COMMENT: Final = re.compile(r"--[^\n]*")
_STATEMENT: Final = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?(INDEX)\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?\"?(\w+)"
    r"|CREATE\s+(TRIGGER)\s+\"?(\w+)"
    r"|DROP\s+(INDEX|TRIGGER|CONSTRAINT)\s+(?:CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?\"?(\w+)"
    r"|(CONSTRAINT)\s+\"?(\w+)"
)
_REMEDIES: Final = {
    "missing": "As the owner: make it again as prisma/migrations has it, an index with CREATE INDEX CONCURRENTLY.",
    "invalid": "As the owner: REINDEX INDEX CONCURRENTLY {name};",
    "not validated": "As the owner: ALTER TABLE {table} VALIDATE CONSTRAINT {name};",
    "disabled": "As the owner: ALTER TABLE {table} ENABLE TRIGGER {name};",
}
_MOST_NAMED: Final = 5
_OLDEST_PGVECTOR: Final = (0, 8)


def extension(server: Server) -> Check:
    """Find pgvector."""
    row = server.row
    if row["vector"] is None:
        if row["vector_available"] is None:
            remedy = "Install pgvector on the server, then as a superuser: CREATE EXTENSION vector;"
            return failed("extension", "the server has no pgvector", remedy)
        return failed("extension", "pgvector is not in this database", "As a superuser: CREATE EXTENSION vector;")
    finding, remedy = f"pgvector {row['vector']}", "As a superuser: ALTER EXTENSION vector UPDATE;"
    if row["vector_available"] not in (None, row["vector"]):
        finding += f"; the server has {row['vector_available']}"
    if _numbers(row["vector"]) < _OLDEST_PGVECTOR:
        return failed("extension", f"{finding}; agentdb needs 0.8 or later", remedy)
    if row["vector_available"] not in (None, row["vector"]):
        return warning("extension", finding, remedy)
    return ok("extension", finding)


def parts(database: Database) -> Check:
    """Compare indexes, constraints and triggers with those of the migrations."""
    here = {(part.kind, part.name): part for part in database.parts}
    expected = expected_parts()
    wrong = [("missing", kind, name, "") for kind, name in sorted(expected - here.keys())]
    wrong += [
        (part.state, part.kind, part.name, part.table)
        for place, part in sorted(here.items())
        if part.state not in ("ok", "building") and (place in expected or part.state == "not validated")
    ]
    if not wrong:
        return ok("tables", f"all {len(expected)} indexes, constraints and triggers of the migrations are in place")
    named = [f"{kind} {name} is {state}" for state, kind, name, _ in wrong[:_MOST_NAMED]]
    if len(wrong) > _MOST_NAMED:
        named.append(f"and {len(wrong) - _MOST_NAMED} more")
    remedies = dict.fromkeys(
        _REMEDIES[state].format(name=name, table=table) for state, _, name, table in wrong[:_MOST_NAMED]
    )
    return failed("tables", "; ".join(named), " ".join(remedies))


def vector_indexes(database: Database) -> Check:
    """Find indexes of embeddings whose build broke off."""
    # Whether one is missing cannot be said here: row-level security hides how many memories the others have.
    broken, valid = database.broken_vector_indexes, database.vector_indexes
    if broken:
        finding = f"{', '.join(broken)} is not used: its build broke off"
        return warning("vector indexes", finding, "As the owner of the tables: agentdb index create")
    if valid:
        unused = sum(not index.scans for index in valid)
        never = f"; {unused} of them served no search yet" if unused else ""
        return ok("vector indexes", f"{len(valid)}, {size(sum(index.size_bytes for index in valid))}{never}")
    return ok("vector indexes", "none: searches by meaning look at all that is in scope")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@cache
def expected_parts() -> frozenset[tuple[str, str]]:
    """Return the kind and the name of all indexes, constraints and triggers that the migrations leave."""
    return frozenset(parts_of(migration.script().decode() for migration in find_migrations()))


def parts_of(scripts: Iterable[str]) -> set[tuple[str, str]]:
    """Return what *scripts* make and do not drop again; a key's index is a part of its own."""
    found: set[tuple[str, str]] = set()
    for script in scripts:
        for match in _STATEMENT.finditer(_COMMENT.sub("", script)):
            made = match[1] or match[3] or match[7]
            if made:
                found.add((made.lower(), match[2] or match[4] or match[8]))
            else:
                found.discard((match[5].lower(), match[6]))
    return found
