"""The database's refusals in our words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentdb.client import resource
from agentdb.client.resource import known_uuid, refusal
from agentdb.errors import ConflictError, DatabaseError, InvalidInputError, NotFoundError

MIGRATIONS = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[3] / "prisma" / "migrations").glob("*/migration.sql"))
)


def error(
    sqlstate: str, constraint: str | None = None, table: str | None = None, text: str = "refused"
) -> DatabaseError:
    return DatabaseError(text, sqlstate=sqlstate, constraint=constraint, table=table)


def test_every_constraint_we_name_exists() -> None:
    """A migration that renames one fails here."""
    named = {*resource._FOREIGN_KEYS, *resource._UNIQUE_KEYS, *resource._BROKEN_ON_PURPOSE}
    assert [name for name in named if not re.search(rf"\b{name}\b", MIGRATIONS)] == []


def test_every_foreign_key_to_an_agent_is_named() -> None:
    """A foreign key added later must not surface as a bare DatabaseError."""
    keys = re.findall(r"CONSTRAINT (\w+_fkey) FOREIGN KEY", MIGRATIONS)
    assert set(keys) - {"agent_memories_organization_id_superseded_by_id_fkey"} == set(resource._FOREIGN_KEYS)


def test_an_unknown_agent_is_not_found_and_told_how_to_register() -> None:
    """The text is the remedy."""
    ours = refusal(error("23503", "agent_memories_organization_id_agent_id_fkey"), {"agent": "nobody"})

    assert isinstance(ours, NotFoundError)
    assert (ours.entity, ours.id) == ("agent", "nobody")
    assert "await client.agents.register(AgentConfig(" in str(ours)


def test_an_unknown_parent_is_not_found() -> None:
    """It is named by what it was called with."""
    ours = refusal(error("23503", "agent_executions_organization_id_parent_id_fkey"), {"agent": "a", "execution": "x"})

    assert isinstance(ours, NotFoundError)
    assert (ours.entity, ours.id) == ("execution", "x")


@pytest.mark.parametrize(
    "constraint", ["agents_pkey", "agents_organization_id_name_key", "agent_memories_pkey", "other"]
)
def test_a_taken_key_is_a_conflict(constraint: str) -> None:
    """The constraint is named."""
    ours = refusal(error("23505", constraint), {})

    assert isinstance(ours, ConflictError)
    assert ours.constraint == constraint


def test_only_an_index_refuses_a_name_for_its_length() -> None:
    """Other limits of the server have the same code and name no constraint."""
    assert isinstance(refusal(error("54000", "agent_metrics_organization_id_idx"), {}), InvalidInputError)
    assert refusal(error("54000"), {}) is None


def test_a_broken_check_names_its_field() -> None:
    """For a value that passed by the models' checks all the same."""
    ours = refusal(error("23514", "agent_memories_importance_check", "agent_memories"), {})

    assert isinstance(ours, InvalidInputError)
    assert ours.field == "importance"


@pytest.mark.parametrize("sqlstate", ["57014", "40P01", "XX000", "42501", "22012"])
def test_what_is_no_refusal_passes(sqlstate: str) -> None:
    """Those are the database's own business."""
    assert refusal(error(sqlstate), {}) is None


@pytest.mark.parametrize("text", ["", "x", "1" * 10_000, None, 7])
def test_what_is_no_uuid_is_not_found(text: object) -> None:
    """In the same short words as an unknown id."""
    with pytest.raises(NotFoundError) as caught:
        known_uuid("memory", text)
    assert len(str(caught.value)) < 300
