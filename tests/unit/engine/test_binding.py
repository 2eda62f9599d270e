from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from agentdb.engine import plan
from agentdb.engine.binding import bind_fields, bind_rows
from tests.unit.engine.support import FakeRecord, FakeStatement

MOMENT = datetime(2024, 1, 1, 0, 0, 0, 123_456, UTC)
ENUMS = {"Role": {"administrator": "ADMIN", "GUEST": "GUEST"}}


def field(column: str, type_: str, *, is_list: bool = False, enum: str | None = None) -> plan.FieldShape:
    return plan.FieldShape(column, type_, is_list, enum)


def shape(**fields: plan.FieldShape) -> plan.ObjectShape:
    return plan.ObjectShape(fields, None, skip_nulls=False)


def record(*values: Any) -> Any:
    return FakeRecord(values)


class TestArguments:
    def test_by_the_server_s_types(self) -> None:
        """An argument takes the form of its parameter's type; None and what fits already stay."""
        binding = bind_rows(FakeStatement(["timestamp", "uuid", "int4", "numeric", "text"]))
        arguments = [MOMENT.replace(tzinfo=None), "x", 5, None, UUID(int=1)]
        assert binding.encode(arguments) == [MOMENT, "x", 5, None, str(UUID(int=1))]

    def test_are_left_alone(self) -> None:
        """The caller's list is not changed, for it may be sent a second time."""
        arguments = ["eA=="]
        binding = bind_rows(FakeStatement(["bytea"]))
        assert binding.encode(arguments) == binding.encode(arguments) == [b"x"]


class TestRows:
    def test_keep_their_columns(self) -> None:
        """Rows that the plan goes on working with keep the columns' own values, only what is imprecise is mended."""
        decode = bind_rows(FakeStatement(columns={"a": "timestamptz", "b": "float4", "c": "money"})).decode
        assert decode([record(MOMENT, 1.100000023841858, "-$1,234.50"), record(None, None, None)]) == [
            {"a": MOMENT, "b": 1.1, "c": Decimal("-1234.5")},
            {"a": None, "b": None, "c": None},
        ]


class TestFields:
    def test_take_their_shape(self) -> None:
        """Columns become fields by name, in whatever order they come."""
        bind = bind_fields(
            shape(
                name=field("the_name", "string"),
                at=field("at", "datetime"),
                role=field("role", "enum", enum="Role"),
                roles=field("roles", "enum", is_list=True, enum="Role"),
                tags=field("tags", "string", is_list=True),
            ),
            ENUMS,
            is_unique=False,
        )
        columns = {"at": "timestamptz", "role": "text", "roles": "text[]", "the_name": "text", "tags": "text[]"}
        decode = bind(FakeStatement(columns=columns)).decode
        rows = [record(MOMENT, "administrator", ["GUEST", "administrator"], "n", ["a"]), record(*[None] * 5)]
        assert decode(rows) == [
            {
                "name": "n",
                "at": MOMENT.replace(microsecond=123_000),
                "role": "ADMIN",
                "roles": ["GUEST", "ADMIN"],
                "tags": ["a"],
            },
            {"name": None, "at": None, "role": None, "roles": [], "tags": []},
        ]

    def test_one_column(self) -> None:
        """A record may consist of a single field, taken out of several columns."""
        decode = bind_fields(shape(b=field("b", "int")), {}, is_unique=False)(
            FakeStatement(columns={"a": "int4", "b": "int4"})
        ).decode
        assert decode([record(1, 2)]) == [{"b": 2}]

    def test_unique(self) -> None:
        """Of a query for one record the answer is that record, or None."""
        decode = bind_fields(shape(a=field("a", "int")), {}, is_unique=True)(
            FakeStatement(columns={"a": "int4"})
        ).decode
        assert decode([record(1)]) == {"a": 1}
        assert decode([]) is None

    def test_equal_shapes_share_a_bind(self) -> None:
        """A statement keeps its bindings by their bind: many plans of one shape must not pile up there."""
        first = bind_fields(shape(shared=field("a", "int")), ENUMS, is_unique=True)
        assert bind_fields(shape(shared=field("a", "int")), ENUMS, is_unique=True) is first
        assert bind_fields(shape(shared=field("a", "int")), ENUMS, is_unique=False) is not first
        assert bind_fields(shape(shared=field("a", "int")), {}, is_unique=True) is not first
