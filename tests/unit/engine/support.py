"""A schema, a stand-in for a generated package, and a driver that plays back answers: what the engine's tests share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agentdb.engine.parameters import Dialect
from agentdb.engine.schema import parse_schema
from agentdb.postgres.driver import Bind, Column, PgType

SCHEMA = (Path(__file__).parents[2] / "integration" / "engine" / "schema.prisma").read_text(encoding="utf-8")
DATAMODEL = parse_schema(SCHEMA)


class Json:
    """Stands for a generated package's ``fields.Json``."""

    def __init__(self, data: object) -> None:
        self.data = data


class Base64:
    """Stands for a generated package's ``fields.Base64``."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def model(name: str) -> type:
    """Stands for a generated model class."""
    return type(name, (), {"__prisma_model__": name})


def _scalars(model: Any) -> Mapping[str, Any]:
    fields = DATAMODEL.models[model.__prisma_model__].fields
    return {name: True for name, field in fields.items() if field.kind != "object"}


def _related(owner: Any, field: str) -> type:
    return model(DATAMODEL.models[owner.__prisma_model__].fields[field].type)


def _refuse(value: object) -> object:
    raise TypeError(f"Type {type(value)} not serializable")


def _dumps(value: object, **options: Any) -> str:
    return json.dumps(value, default=_refuse, ensure_ascii=False, **options)


DIALECT = Dialect(
    json=Json,
    base64=Base64,
    dumps=_dumps,
    fields=_scalars,
    fields_text=lambda model: json.dumps(_scalars(model), separators=(",", ":")),
    related=_related,
)


def pg_type(name: str, schema: str = "pg_catalog") -> PgType:
    """A type of the server, an array if its name ends in []."""
    if name.endswith("[]"):
        return PgType(0, name, "array", schema, pg_type(name.removesuffix("[]"), schema))
    return PgType(0, name, "scalar", schema)


class FakeStatement:
    """A statement that the server has told the types of."""

    def __init__(self, parameters: Sequence[str] = (), columns: Mapping[str, str] | None = None, sql: str = "") -> None:
        self.sql = sql
        self.parameter_types = tuple(map(pg_type, parameters))
        self.columns = tuple(Column(name, pg_type(type_)) for name, type_ in (columns or {}).items())


class FakeRecord(tuple[Any, ...]):
    """A row."""

    __slots__ = ()


class FakeDriver:
    """
    Answers statements in turn with what it was given, and remembers what it was sent.

    An answer is a number for `execute`, an exception to raise, or (columns with their types, rows).
    """

    def __init__(self, answers: Iterable[Any] = ()) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, list[Any]]] = []
        self.log: list[str] = []

    async def fetch(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> Any:
        columns, rows = self._answer(sql, arguments)
        assert bind is not None
        statement = FakeStatement(["text"] * len(arguments), columns, sql)
        return bind(statement).decode([FakeRecord(row) for row in rows])  # type: ignore[misc]

    async def execute(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> int:
        return int(self._answer(sql, arguments))

    async def script(self, sql: str) -> str:
        return str(self._answer(sql, ()))

    async def copy(self, *_arguments: Any, **_options: Any) -> int:
        raise NotImplementedError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self.log.append("begin")
        try:
            yield self
        except BaseException:
            self.log.append("rollback")
            raise
        self.log.append("commit")

    async def begin(self, *, timeout_seconds: float | None = None) -> Any:
        raise NotImplementedError

    def _answer(self, sql: str, arguments: Sequence[object]) -> Any:
        self.sent.append((sql, list(arguments)))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer
