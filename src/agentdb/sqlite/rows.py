"""From the rows of an old agent's table to rows of the database. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from agentdb.errors import InvalidInputError
from agentdb.ids import keyed_uuid
from agentdb.postgres.vector import pack_vector
from agentdb.sqlite.cells import Cells, Setting, joined
from agentdb.sqlite.embeddings import is_pickle, read_embedding
from agentdb.sqlite.kinds import IGNORE, KEY, KINDS
from agentdb.sqlite.made import Made, PassedOver, call_of, execution_of, memory_of, pattern_of, point_of, tool_of
from agentdb.sqlite.opening import LARGEST_BYTES
from agentdb.sqlite.recognition import TablePlan
from agentdb.sqlite.tables import SourceRow
from agentdb.sqlite.values import Refused, as_json, as_number, is_missing, json_in
from agentdb.validation import UnstorableError

__all__ = ["RowReader"]


class RowReader:
    """
    Makes the rows of one table.

    Args:
        plan: What becomes of its columns.
        setting: What the rows become a part of.
        scale: What importance, or confidence, is divided by.

    Attributes:
        notes: What was left out of rows that were taken, and how often.
    """

    def __init__(self, plan: TablePlan, setting: Setting, scale: float = 1.0) -> None:
        self.notes: Counter[str] = Counter()
        self._plan = plan
        self._kind = KINDS[plan.kind]
        self._setting = setting
        self._scale = scale
        columns = [column.name for column in plan.table.columns]
        self._columns = [
            (place, name, *plan.targets[name].partition(".")[::2])
            for place, name in enumerate(columns)
            if plan.targets.get(name, IGNORE) not in (KEY, IGNORE)
        ]
        self._constants = [(name, *name.partition(".")[::2], value) for name, value in plan.constants.items()]
        self._only = [(place, plan.only[name]) for place, name in enumerate(columns) if name in plan.only]
        key = plan.columns_of(KEY) or plan.table.key
        self._is_unique = bool(key) and {*key} == {*plan.table.key}
        self._key = [place for place, name in enumerate(columns) if name in key]
        self._naming = [
            place
            for place, _, target, _ in self._columns
            if target in self._kind.fields and self._kind.fields[target].names
        ]
        self._seen: Counter[bytes] = Counter()  # rows that nothing tells apart: the first, the second, …

    def read(self, row: SourceRow) -> list[Made]:
        """
        Return what a row becomes: one row of the database, or one for each of the columns that are a metric.

        Raises:
            Refused: It cannot be taken.
            PassedOver: It should not.
        """
        if not row.cells:
            raise Refused(f"it holds a value of more than {LARGEST_BYTES:,} bytes")
        if any(row.cells[place] != wanted for place, wanted in self._only):
            raise PassedOver("not among those that the mapping takes")
        identity = self.identity(row)
        try:
            if self._plan.kind == "metrics":
                made = self._points(row, identity)
            else:
                made = [_MAKERS[self._plan.kind](identity, self._cells(row))]
        except InvalidInputError as error:
            raise Refused(f"{error.field} {error.reason.rstrip('.')}") from None
        except UnstorableError as error:
            raise Refused(f"{error.path.lstrip('.') or 'a value'} {error.reason.rstrip('.')}") from None
        return [each._replace(label=row.label) for each in made]

    def identity(self, row: SourceRow) -> str:
        """
        Return the id of what a row becomes: of the agent, the table, the key, and what of a row stays as it is.

        Another file may have another row under the same key; and the same row may come from a copy of the file, from a
        file that has grown, or with another status than last time.
        """
        said = repr(([row.cells[place] for place in self._key], [row.cells[place] for place in self._naming]))
        parts = ("sqlite", self._setting.agent_id, self._plan.table.name.encode("utf-8", "replace").decode(), said)
        first = keyed_uuid(*parts)
        if self._is_unique and all(row.cells[place] is not None for place in self._key):  # SQLite lets keys be NULL
            return str(first)
        self._seen[first.bytes] += 1
        number = self._seen[first.bytes]
        return str(first if number == 1 else keyed_uuid(str(first), str(number)))

    def _cells(self, row: SourceRow) -> Cells:
        cells = Cells(self._setting, self._scale, self.notes)
        objects: list[tuple[str, dict[str, Any]]] = []
        columns = [(name, target, key, row.cells[place]) for place, name, target, key in self._columns]
        for name, target, key, value in [*columns, *self._constants]:
            if is_missing(value):
                continue
            if target == self._kind.rest and (key or target != "content"):
                said = self._kept(name, value)
                if isinstance(said, dict) and not key:
                    objects.append((name, said))
                elif said is not None:
                    cells.rest[key or name] = said
            elif target == "embedding":
                self._embed(cells, value)
            else:
                cells.fields.setdefault(target, value)
                if target == "content":
                    cells.texts.append((name, value))
        for name, said in objects:  # taken apart, when it is known which names are columns
            cells.rest = joined(cells.rest, name, said)
        return cells

    def _kept(self, name: str, value: object) -> Any:
        """Return a value as it goes where all goes that is no field; None for a blob that is no JSON, which cannot."""
        if not isinstance(value, bytes):
            return as_json(value, name)
        if (said := json_in(value)) is not None:
            return said
        what = "a pickle, which is never unpickled" if is_pickle(value) else "a blob, which JSON cannot hold"
        self.notes[f"{name} left out: it is {what}"] += 1
        return None

    def _embed(self, cells: Cells, value: object) -> None:
        try:
            cells.fields["embedding"] = pack_vector(read_embedding(value))
        except Refused as reason:
            self.notes[f"embedding left out: it {reason}"] += 1

    def _points(self, row: SourceRow, identity: str) -> list[Made]:
        """Return a point for each column that is a value; those with nothing in it are none."""
        cells = self._cells(row)
        cells.needed("value")
        values = [(name, row.cells[place]) for place, name, target, _ in self._columns if target == "value"]
        values += [(name, value) for name, target, _, value in self._constants if target == "value"]
        return [
            point_of(
                identity if len(values) == 1 else str(keyed_uuid(identity, name)), cells, as_number(value, name), name
            )
            for name, value in values
            if not is_missing(value)
        ]


_MAKERS: Final[dict[str, Callable[[str, Cells], Made]]] = {
    "memories": memory_of,
    "executions": execution_of,
    "tools": tool_of,
    "calls": call_of,
    "patterns": pattern_of,
}
