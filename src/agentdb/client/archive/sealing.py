"""
What becomes of sealed values on their way out and in: opened, kept, left out, sealed again. Pure.

Rows are as `page_sql` has them: every value a text as PostgreSQL writes it, or None. Memories have a way of their own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.execution.sealing import open_execution, open_step, resealed_execution, resealed_step
from agentdb.client.tool.sealing import open_tool, open_version, resealed_tool, resealed_version
from agentdb.validation import json_text, parse_json

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals

__all__ = ["Row", "Sealing", "is_sealed"]

Row = dict[str, str | None]

_SEALED: Final = {
    "agent_executions": ("sealed_task", "sealed_result"),
    "agent_steps": ("sealed",),
    "agent_tools": ("sealed",),
    "agent_tool_versions": ("sealed",),
}
_OUTCOME: Final = ("result", "error", "traceback")
_NULL: Final = "null"
_EMPTY: Final = "{}"


def is_sealed(table: str, row: Row) -> bool:
    """Return whether a row has a sealed value."""
    return any(row.get(column) is not None for column in _SEALED.get(table, ()))


class Sealing:
    """
    Opens and seals the rows of one export or import.

    Args:
        seals: What it opens with.
        executions: What it seals executions and steps with; None: they stay plain.
        tools: The same for tools and their versions.
    """

    def __init__(self, seals: Seals, executions: Seals | None = None, tools: Seals | None = None) -> None:
        self._seals = seals
        self._executions = executions
        self._tools = tools
        self._names: dict[str | None, str] = {}  # of tools, which their versions are sealed by

    def know(self, table: str, row: Row) -> None:
        """Hear of a row that is moved: tools are moved before their versions."""
        if table == "agent_tools":
            self._names[row["id"]] = row["name"] or ""

    def opened(self, table: str, row: Row) -> Row:
        """
        Return a row as it was before it was sealed.

        Raises:
            EncryptionError: A value does not open.
        """
        return _OPEN[table](self, row) if is_sealed(table, row) else row

    def without(self, table: str, row: Row) -> Row:
        """Return a row without what is sealed in it: as if there had been nothing to seal."""
        if not is_sealed(table, row):
            return row
        left = row | dict.fromkeys(_SEALED[table])
        return left | {"lookup": None} if table == "agent_tools" else left

    def arriving(self, table: str, row: Row) -> Row:
        """
        Return a row as it is stored here: sealed with the newest key where that is wanted, else as it came.

        Raises:
            EncryptionError: A value that came sealed does not open here.
        """
        if table in ("agent_executions", "agent_steps") and self._executions is not None:
            return (_seal_execution if table == "agent_executions" else _seal_step)(row, self._executions)
        if table == "agent_tools" and self._tools is not None:
            return _seal_tool(row, self._tools)
        if table == "agent_tool_versions" and self._tools is not None:
            return _seal_version(row, self._names[row["tool_id"]], self._tools)
        self.opened(table, row)
        return row

    def _open_execution(self, row: Row) -> Row:
        values: dict[str, Any] = row | {name: _bytes(row[name]) for name in _SEALED["agent_executions"]}
        open_execution(values, self._seals)
        opened = row | dict.fromkeys(_SEALED["agent_executions"])
        if row["sealed_task"] is not None:
            opened["task"] = json_text(values["task"])
        if row["sealed_result"] is not None:
            result = values["result"]
            opened |= {
                "result": None if result is None else json_text(result),
                "error": values["error"],
                "traceback": values["traceback"],
            }
        return opened

    def _open_step(self, row: Row) -> Row:
        sealed = _bytes(row["sealed"])
        assert sealed is not None  # else there was nothing to open
        values: dict[str, Any] = row | {"sealed": b64encode(sealed).decode()}
        open_step(values, self._seals)
        return row | {"sealed": None, "message": values["message"], "data": json_text(values["data"])}

    def _open_tool(self, row: Row) -> Row:
        values = _of_tool(row, row["name"])
        open_tool(values, self._seals)
        return row | {"sealed": None, "lookup": None, "parameters": json_text(values["parameters"])}

    def _open_version(self, row: Row) -> Row:
        values = _of_tool(row, self._names[row["tool_id"]])
        open_version(values, self._seals)
        return row | {"sealed": None, "parameters": json_text(values["parameters"])}


_OPEN: Final[dict[str, Callable[[Sealing, Row], Row]]] = {
    "agent_executions": Sealing._open_execution,
    "agent_steps": Sealing._open_step,
    "agent_tools": Sealing._open_tool,
    "agent_tool_versions": Sealing._open_version,
}


def _seal_execution(row: Row, seals: Seals) -> Row:
    columns = _SEALED["agent_executions"]
    values: Any = row | {name: _bytes(row[name]) for name in columns}
    values["is_task_plain"] = row["sealed_task"] is None
    values["is_result_plain"] = row["sealed_result"] is None and any(row[name] for name in _OUTCOME)
    task, outcome = resealed_execution(values, seals)
    emptied = {} if outcome is None else dict.fromkeys(_OUTCOME)
    return row | emptied | {"task": _NULL, "sealed_task": _hex(task), "sealed_result": _hex(outcome)}


def _seal_step(row: Row, seals: Seals) -> Row:
    if row["sealed"] is None and row["message"] is None and row["data"] == _EMPTY:
        return row
    values: Any = row | {"sealed": _bytes(row["sealed"])}
    return row | {"message": None, "data": _EMPTY, "sealed": _hex(resealed_step(values, seals))}


def _seal_tool(row: Row, seals: Seals) -> Row:
    made = resealed_tool(_of_tool(row, row["name"]), seals)
    return row | {"parameters": _EMPTY, "sealed": _hex(made.sealed), "lookup": _hex(made.lookup)}


def _seal_version(row: Row, name: str, seals: Seals) -> Row:
    return row | {"parameters": _EMPTY, "sealed": _hex(resealed_version(_of_tool(row, name), seals))}


def _of_tool(row: Row, name: str | None) -> Any:
    """Return what `tool.sealing` reads of a tool, or of a version of the tool of this name; JSON in canonical form."""
    parameters = json_text(parse_json(row["parameters"] or _EMPTY))
    return {"name": name, "parameters": parameters, "sealed": _bytes(row["sealed"])}


def _bytes(text: str | None) -> bytes | None:
    r"""Return what PostgreSQL writes as \x and hexadecimal digits."""
    return None if text is None else bytes.fromhex(text.removeprefix("\\x"))


def _hex(value: bytes | None) -> str | None:
    return None if value is None else f"\\x{value.hex()}"
