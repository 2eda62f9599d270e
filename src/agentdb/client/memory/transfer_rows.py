"""From rows to what the lines of an export hold, and back. Pure."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from agentdb.client.memory.lines import MEMORIES
from agentdb.client.memory.rows import Key, memory_key, memory_row
from agentdb.errors import InvalidInputError
from agentdb.models import AgentConfig, MemoryEntry
from agentdb.postgres.vector import pack_vector, unpack_vector
from agentdb.validation import Name, UtcDatetime, UuidText, checked, parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["OpenSealed", "TransferRow", "agents_in", "header_values", "memory_values", "opened_values", "transfer_row"]

M = TypeVar("M", bound=BaseModel)
OpenSealed = Callable[[str, bytes], tuple[str, dict[str, Any]]]
"""Returns content and metadata of the memory of an id from what is sealed."""

_MOST_DIMENSIONS: Final = 16_000
_HEADER_FIELDS: Final = {"format", "version", "organization_id", "agent_id", "exported_at", "agents"}
_ENTRY_FIELDS: Final = MemoryEntry.model_fields.keys() - {"embedding", "embedding_model", "idempotency_key"}
_REGISTERED: Final = {name for name, field in AgentConfig.model_fields.items() if not field.exclude}

_Counted = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Provenance(BaseModel):
    """What of a memory's line is in no `MemoryEntry`, or must be there."""

    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    id: UuidText
    embedding_model: Name | None
    embedding_error: Name | None
    execution_id: UuidText | None
    superseded_by: UuidText | None
    superseded_at: UtcDatetime | None
    store_count: Annotated[_Counted, Field(ge=1)]
    access_count: _Counted
    last_accessed_at: UtcDatetime | None
    occurred_at: UtcDatetime
    created_at: UtcDatetime
    updated_at: UtcDatetime


_MEMORY_FIELDS: Final = {*_ENTRY_FIELDS, *_Provenance.model_fields, "embedding"}
_SEALED_FIELDS: Final = _MEMORY_FIELDS - {"content", "metadata"} | {"sealed"}


class TransferRow(NamedTuple):
    """
    One memory on its way in, in the order of the parameters of the block `arrive`.

    Attributes:
        line: Where it stands in the file; the database does not get it.
    """

    id: str
    agent_id: str
    content: str
    content_hash: bytes
    metadata: str
    importance: float
    memory_type: str
    visibility: str
    sensitive: bool
    pinned: bool
    embedding: bytes | None
    embedding_model: str | None
    embedding_error: str | None
    execution_id: str | None
    superseded_by: str | None
    superseded_at: datetime | None
    store_count: int
    access_count: int
    last_accessed_at: datetime | None
    occurred_at: datetime
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    sealed: bytes | None
    lookups: str
    line: int

    @property
    def key(self) -> Key:
        """What equal memories have in common."""
        return memory_key(self.agent_id, self.content_hash)

    @property
    def size(self) -> int:
        """About how many bytes it travels as."""
        return len(self.content) + len(self.metadata) + len(self.sealed or b"") + len(self.embedding or b"")


# Out.


def header_values(
    organization_id: str, agent_id: str | None, exported_at: datetime, agents: Iterable[Record]
) -> dict[str, Any]:
    """Return what the first line holds; *agents* are rows of the block `export_agents`."""
    return {
        "format": MEMORIES.format,
        "version": MEMORIES.version,
        "organization_id": organization_id,
        "agent_id": agent_id,
        "exported_at": exported_at.isoformat(),
        "agents": [{**dict(agent.items()), "metadata": parse_json(agent["metadata"])} for agent in agents],
    }


def memory_values(row: Record, open_sealed: OpenSealed | None = None) -> dict[str, Any]:
    """
    Return what the line of a memory holds; *row* is one of the block `export_page`.

    Times become ISO 8601 in UTC, an embedding the base64 of its 32-bit floats, little-endian. A sealed memory becomes
    a line like any other if there is something to open it with; else it keeps *sealed*, in base64, in place of content
    and metadata.
    """
    values: dict[str, Any] = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()
    }
    sealed = values.pop("sealed")
    if sealed is None:
        values["metadata"] = _metadata(row)
    elif open_sealed is None:
        del values["content"], values["metadata"]
        values["sealed"] = b64encode(sealed).decode()
    else:
        values["content"], values["metadata"] = open_sealed(row["id"], sealed)
    if values["embedding"] is not None:
        values["embedding"] = b64encode(_little_endian(unpack_vector(values["embedding"])).tobytes()).decode()
    return values


def _metadata(row: Record) -> Any:
    try:
        return parse_json(row["metadata"])
    except (ValueError, RecursionError):
        raise InvalidInputError(f"memory {row['id']}.metadata", "is too deep, or holds too long a number.") from None


# In.


def agents_in(header: dict[str, Any], place: str) -> list[AgentConfig]:
    """
    Return the agents that a first line names, each with its id.

    Raises:
        InvalidInputError: A field is missing, unknown or out of range; *place* is the line's.
    """
    _check_fields(header, _HEADER_FIELDS, place)
    agents = header["agents"]
    if not isinstance(agents, list):
        raise InvalidInputError(f"{place}.agents", "is no list.")
    configs = [_agent(agent, f"{place}.agents[{index}]") for index, agent in enumerate(agents)]
    if _has_twins(config.id for config in configs) or _has_twins(config.name for config in configs):
        raise InvalidInputError(f"{place}.agents", "names an agent twice.")
    return configs


def opened_values(values: dict[str, Any], line: int, open_sealed: OpenSealed) -> dict[str, Any]:
    """
    Return what a line would hold if its memory had not been kept sealed; the line itself if it was not.

    Raises:
        InvalidInputError: A field is missing or unknown, or is not what such a line has.
        EncryptionError: It does not open: there is no key for it, or it is not this memory's, of this organization.
    """
    if "sealed" not in values:
        return values
    place = f"line {line}"
    _check_fields(values, _SEALED_FIELDS, place)
    memory_id = _placed(_Provenance, place, values).id
    if values["sensitive"] is not True:
        raise InvalidInputError(f"{place}.sensitive", "is not true, though the memory is sealed.")
    try:
        sealed = b64decode(values["sealed"], validate=True)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{place}.sealed", "is not base64.") from None
    content, metadata = open_sealed(memory_id, sealed)
    rest = {name: value for name, value in values.items() if name != "sealed"}
    return {**rest, "content": content, "metadata": metadata}


def transfer_row(values: dict[str, Any], line: int) -> TransferRow:
    """
    Return the memory that a line holds; what it equals is worked out anew.

    Raises:
        InvalidInputError: A field is missing, unknown or out of range; the text names it, as in "line 17.importance".
    """
    place = f"line {line}"
    _check_fields(values, _MEMORY_FIELDS, place)
    entry = _placed(MemoryEntry, place, {name: values[name] for name in _ENTRY_FIELDS})
    more = _placed(_Provenance, place, values)
    embedding = None if values["embedding"] is None else _packed(values["embedding"], f"{place}.embedding")
    _check_together(more, place, has_embedding=embedding is not None)
    return TransferRow(
        *memory_row(entry, None, None)[:10],
        embedding,
        more.embedding_model,
        more.embedding_error,
        more.execution_id,
        more.superseded_by,
        more.superseded_at,
        more.store_count,
        more.access_count,
        more.last_accessed_at,
        more.occurred_at,
        entry.expires_at,
        more.created_at,
        more.updated_at,
        None,
        "{}",
        line,
    )


def _agent(values: object, place: str) -> AgentConfig:
    if not isinstance(values, dict):
        raise InvalidInputError(place, "is no JSON object.")
    _check_fields(values, _REGISTERED, place)
    config = _placed(AgentConfig, place, values)
    if config.id is None:
        raise InvalidInputError(f"{place}.id", "is missing.")
    return config


def _check_fields(values: dict[str, Any], wanted: Iterable[str], place: str) -> None:
    missing, unknown = set(wanted) - values.keys(), values.keys() - set(wanted)
    if missing:
        raise InvalidInputError(f"{place}.{min(missing)}", "is missing.")
    if unknown:
        raise InvalidInputError(f"{place}.{min(unknown)[:40]}", "is not a field that this agentdb knows.")


def _placed(model: type[M], place: str, values: dict[str, Any]) -> M:
    try:
        return checked(model, **values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}.{error.field}", error.reason) from error


def _packed(text: object, place: str) -> bytes:
    try:
        floats: array[float] = array("f")
        floats.frombytes(b64decode(text, validate=True))  # type: ignore[arg-type]  # what is no text is a TypeError
        if not 1 <= len(floats) <= _MOST_DIMENSIONS:
            raise ValueError(f"has {len(floats):,} numbers")  # noqa: TRY301 - refused in the same words
        packed = pack_vector(_little_endian(floats))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            place, f"is not the base64 of 1 to {_MOST_DIMENSIONS:,} finite 32-bit floats, little-endian."
        ) from error
    if not any(floats):
        raise InvalidInputError(place, "is all zero, so it has no direction to compare.")
    return packed


def _check_together(more: _Provenance, place: str, *, has_embedding: bool) -> None:
    if has_embedding and more.embedding_model is None:
        raise InvalidInputError(f"{place}.embedding_model", "is missing, though there is an embedding.")
    if has_embedding and more.embedding_error is not None:
        raise InvalidInputError(f"{place}.embedding_error", "is there, though there is an embedding.")
    if (more.superseded_by is None) != (more.superseded_at is None):
        raise InvalidInputError(f"{place}.superseded_at", "and superseded_by are only there together.")
    if more.superseded_by == more.id:
        raise InvalidInputError(f"{place}.superseded_by", "names the memory itself.")


def _little_endian(floats: array[float]) -> array[float]:
    """Swap the bytes of *floats* on a machine that keeps them the other way round; both ways are the same."""
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def _has_twins(values: Iterable[object]) -> bool:
    every: Sequence[object] = list(values)
    return len(set(every)) < len(every)
