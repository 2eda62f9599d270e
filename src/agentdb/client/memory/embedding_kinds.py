"""What embeddings there are, by model and length, and which of these have an index; as their owner sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agentdb.client.memory.retrieval import MAX_INDEXED_DIMENSIONS, index_name
from agentdb.errors import ConfigurationError, InvalidInputError, MigrationError
from agentdb.postgres.driver import Driver, Transaction

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["EmbeddingKind", "IndexState", "check_owner", "find_index", "list_embedding_kinds", "sort_indexes"]

IndexState = Literal["none", "valid", "invalid", "building"]

_OWNER: Final = """
SELECT current_user::text AS role, pg_has_role(relowner, 'USAGE') AS is_owner
FROM pg_class WHERE oid = to_regclass('agent_memories')
"""
_KINDS: Final = """
SELECT embedding_model AS model, embedding_dimensions AS dimensions, count(*) AS memories
FROM agent_memories WHERE embedding IS NOT NULL GROUP BY 1, 2
"""
# An index that is not valid is being built, or was left behind. Who builds one holds this lock on the table and is in
# the view; which one it is, the view hides from a role that is not the builder's: then it may be any.
_INDEXES: Final = """
SELECT c.relname::text AS name, i.indexrelid::regclass::text AS sql_name, i.indisvalid AS is_valid,
    coalesce(pg_relation_size(i.indexrelid), 0) AS size_bytes, pg_get_expr(i.indpred, i.indrelid) AS predicate,
    EXISTS (
        SELECT FROM pg_stat_progress_create_index AS p JOIN pg_locks AS l ON l.pid = p.pid
        WHERE p.datname = current_database() AND coalesce(p.index_relid, i.indexrelid) = i.indexrelid
            AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    ) AS is_building
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass('agent_memories') AND starts_with(c.relname::text, 'agent_memories_near_')
"""
_PREDICATE: Final = re.compile(r"embedding_model = '((?:[^']|'')*)'::text\) AND \(embedding_dimensions = (\d+)\)")


@dataclass(frozen=True, slots=True)
class EmbeddingKind:
    """
    The embeddings of one model and length.

    Attributes:
        model: What made them.
        dimensions: How long they are.
        memories: How many there are, of all organizations; 0 when only their index is left.
        index: "valid" is one that searches use; "invalid" is what a build that broke off left behind, which no search
            uses and every write may have to keep up.
        size_bytes: What the index takes on disk.
    """

    model: str
    dimensions: int
    memories: int
    index: IndexState
    size_bytes: int

    @property
    def is_indexable(self) -> bool:
        """Whether pgvector can index embeddings of this length."""
        return self.dimensions <= MAX_INDEXED_DIMENSIONS


async def list_embedding_kinds(driver: Driver) -> list[EmbeddingKind]:
    """
    Return what embeddings there are, most memories first, and which have an index. Reads the whole table once.

    Args:
        driver: The way to the database as the owner of the tables.

    Raises:
        ConfigurationError: The role does not own the tables.
        MigrationError: There are no tables.
    """
    await check_owner(driver)
    indexes = {row["name"]: row for row in await driver.fetch(_INDEXES)}
    kinds = []
    for row in await driver.fetch(_KINDS):
        index = indexes.pop(index_name(row["model"], row["dimensions"]), None)
        kinds.append(_kind(row["model"], row["dimensions"], row["memories"], index))
    kinds += [_kind(*about, 0, index) for index in indexes.values() if (about := _about(index))]
    return sorted(kinds, key=lambda kind: (-kind.memories, kind.model, kind.dimensions))


async def sort_indexes(driver: Driver) -> tuple[list[str], list[str]]:
    """Return the names of the indexes that searches use, and of those that a broken build left; any role may ask."""
    rows = await driver.fetch(_INDEXES)
    broken = [row["name"] for row in rows if not (row["is_valid"] or row["is_building"])]
    return [row["name"] for row in rows if row["is_valid"]], broken


async def find_index(driver: Driver, name: str) -> Record | None:
    """Return what there is to know of one index; None when there is none of that name."""
    rows: list[Record] = await driver.fetch(_INDEXES)
    return next((row for row in rows if row["name"] == name), None)


async def check_owner(driver: Driver) -> None:
    """
    Refuse what cannot make an index.

    Raises:
        ConfigurationError: The role does not own the tables.
        MigrationError: There are no tables.
        InvalidInputError: It is a transaction, in which no index is built while others write.
    """
    if isinstance(driver, Transaction):
        raise InvalidInputError("driver", "is a transaction, and an index is built outside of one; give a pool's.")
    rows = await driver.fetch(_OWNER)
    if not rows:
        raise MigrationError("The database has no agentdb tables yet. Run `agentdb migrate deploy`.")
    if not rows[0]["is_owner"]:
        raise ConfigurationError(
            "AGENTDB_MIGRATION_URL",
            f"role {rows[0]['role']!r} does not own the table agent_memories, and only its owner sees all embeddings "
            "and can make an index. Set it to the URL of the role that migrates.",
        )


def _kind(model: str, dimensions: int, memories: int, index: Record | None) -> EmbeddingKind:
    if index is None:
        return EmbeddingKind(model, dimensions, memories, "none", 0)
    state: IndexState = "valid" if index["is_valid"] else "building" if index["is_building"] else "invalid"
    return EmbeddingKind(model, dimensions, memories, state, index["size_bytes"])


def _about(index: Record) -> tuple[str, int] | None:
    """Return the model and length that an index is about; None when it is not one of ours."""
    match = _PREDICATE.search(index["predicate"] or "")
    if match is None:
        return None
    model, dimensions = match[1].replace("''", "'"), int(match[2])
    return (model, dimensions) if index_name(model, dimensions) == index["name"] else None
