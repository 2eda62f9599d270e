"""
How the parameters of tools stand in their tables when they are encrypted: plain functions, the only place that knows.

A sealed tool has empty parameters. In their place its row has::

    sealed   the parameters as JSON, encrypted for this tool
    lookup   the keyed hash of name and parameters, by which registering tells whether they have changed

A version has a seal of its own and no hash. Names, descriptions and totals stay readable: search and ranking need them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.validation import json_text, parse_json

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals
    from agentdb.postgres.driver import Record

__all__ = [
    "SealedTool",
    "known_lookups",
    "offer_values",
    "open_tool",
    "open_version",
    "resealed_tool",
    "resealed_version",
    "sealed_tool",
    "sealed_version",
]

_TOOLS: Final = "agent_tools"
_VERSIONS: Final = "agent_tool_versions"
_SEALED: Final = "sealed"
_PURPOSE: Final = "agent_tools.lookup"


class SealedTool(NamedTuple):
    """What stands in place of a tool's parameters."""

    sealed: bytes
    lookup: bytes


def sealed_tool(name: str, parameters: str, seals: Seals) -> SealedTool:
    """Return the *parameters* of a tool, canonical JSON, sealed."""
    assert seals.ring is not None  # who has no key seals nothing
    lookup = seals.ring.lookup(_entry(name, parameters), seals.organization_id, _PURPOSE)
    return SealedTool(seals.seal(parameters, _TOOLS, _SEALED, name), lookup)


def sealed_version(name: str, parameters: str, seals: Seals) -> bytes:
    """Return the *parameters* of a version of a tool, sealed."""
    return seals.seal(parameters, _VERSIONS, _SEALED, name)


def known_lookups(name: str, parameters: str, seals: Seals) -> list[bytes]:
    """Return the hashes that a tool of this name with these *parameters* may have, one for each key."""
    if seals.ring is None:
        return []
    return seals.ring.lookups(_entry(name, parameters), seals.organization_id, _PURPOSE)


def offer_values(name: str, parameters: str, seals: Seals | None) -> dict[str, Any]:
    """Return those columns of a tool as its JSON object in the fragment `offered`; sealed, unless *seals* is None."""
    if seals is None:
        return {"parameters": parameters}
    sealed, lookup = sealed_tool(name, parameters, seals)
    values = {"sealed": sealed, "lookup": lookup, "sealed_version": sealed_version(name, parameters, seals)}
    return {"parameters": "{}"} | {column: b64encode(value).decode() for column, value in values.items()}


def open_tool(values: dict[str, Any], seals: Seals) -> None:
    """
    Read the parameters of a tool from where they are, and take the sealed column out.

    Raises:
        EncryptionError: They do not open; the tool is named.
    """
    _open(values, _TOOLS, seals)


def open_version(values: dict[str, Any], seals: Seals) -> None:
    """Do the same for a version of a tool."""
    _open(values, _VERSIONS, seals)


def resealed_tool(record: Record, seals: Seals) -> SealedTool:
    """
    Return what a row of the block `tools_next` has under the newest key.

    Raises:
        EncryptionError: Its parameters do not open; the tool is named.
    """
    return sealed_tool(record["name"], _parameters(record, _TOOLS, seals), seals)


def resealed_version(record: Record, seals: Seals) -> bytes:
    """Do the same for a row of the block `versions_next`."""
    return sealed_version(record["name"], _parameters(record, _VERSIONS, seals), seals)


def _open(values: dict[str, Any], table: str, seals: Seals) -> None:
    values["parameters"] = parse_json(_parameters(values, table, seals))
    del values["sealed"]


def _parameters(row: Record | dict[str, Any], table: str, seals: Seals) -> str:
    """Return the parameters of a row as JSON."""
    sealed = row["sealed"]
    text: str = row["parameters"] if sealed is None else seals.open(sealed, table, _SEALED, row["name"])
    return text


def _entry(name: str, parameters: str) -> bytes:
    # With the name: tools of equal parameters look unlike each other to those who have no key. 1 and 1.0 are one
    # number, as they are where the database compares.
    return json_text([name, json.loads(parameters, parse_float=_number)]).encode()


def _number(text: str) -> float:
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else float(text)
