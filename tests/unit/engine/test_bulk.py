from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.bulk import Shape, UnfitRowError, array_text, read_shapes, write_insert
from agentdb.engine.row_plan import Cell, RowPlan, read_row_plan
from agentdb.engine.schema import parse_schema
from agentdb.engine.steps import Run
from tests.unit.engine.support import DATAMODEL, DIALECT, Base64, FakeDriver

PARAMETER = plan.Parameter()
TEXT = plan.ArgumentType("string", "TEXT", False)
RUN = Run(FakeDriver(), is_in_transaction=False)

ODD = parse_schema('model Odd {\n  id Int @id @map("a,(\\"b\\")")\n  n Int @default(autoincrement())\n}')


def execute(*parts: str | plan.Fragment, arguments: Sequence[Any], types: Sequence[Any] | None = None) -> plan.DataMap:
    fragments = tuple(plan.Chunk(part) if isinstance(part, str) else part for part in parts)
    template = plan.Template(fragments, tuple(arguments), tuple(types or [TEXT] * len(arguments)))
    return plan.DataMap(plan.Execute(template), plan.AffectedRowsShape(), {})


class TestRowPlans:
    def test_cells(self) -> None:
        """Each column has what stands around its value, and the value."""
        name = plan.Placeholder("%0", "String")
        node = execute(
            'INSERT INTO "s"."t" ("a,(b","c") VALUES (',
            PARAMETER,
            ",CAST(",
            PARAMETER,
            '::text AS "s"."x,y)")) ON CONFLICT DO NOTHING',
            arguments=[name, "x"],
            types=[TEXT, plan.ArgumentType("string", None, False)],
        )
        assert read_row_plan(node) == RowPlan(
            '"s"."t"',
            {'"a,(b"': Cell("", "", name, "TEXT"), '"c"': Cell("CAST(", '::text AS "s"."x,y)")', "x", None)},
            " ON CONFLICT DO NOTHING",
        )

    @pytest.mark.parametrize(
        "node",
        [
            execute('INSERT INTO "t" ("a") VALUES (DEFAULT)', arguments=[]),
            execute('INSERT INTO "t" DEFAULT VALUES', arguments=[]),
            execute('INSERT INTO "t" ("a") VALUES (', PARAMETER, "), (", PARAMETER, ")", arguments=["x", "y"]),
            execute('INSERT INTO "t" ("a","b") VALUES (', PARAMETER, ")", arguments=["x"]),
            execute('UPDATE "t" SET "a" = ', PARAMETER, arguments=["x"]),
            plan.Unit(),
        ],
    )
    def test_of_anything_else(self, node: plan.Node) -> None:
        """What is not one row of plain values is left to be planned as it is."""
        assert read_row_plan(node) is None


def shapes(*rows: Any, model: str = "User") -> list[Shape]:
    return read_shapes(rows, DATAMODEL.models[model], DATAMODEL, DIALECT, skips_duplicates=False)


class TestShapes:
    def test_are_sets_of_keys(self) -> None:
        """Rows are sorted by their keys, and keep their places."""
        found = shapes({"email": "a"}, {"email": "b", "visits": 1}, {"email": "c"})
        assert [(list(shape.places), shape.values) for shape in found] == [
            ([0, 2], {"%0": ["a", "c"]}),
            ([1], {"%0": ["b"], "%1": [1]}),
        ]
        assert json.loads(found[0].text)["action"] == "createMany"

    def test_values_do_not_matter(self) -> None:
        """Neither an enum's value nor null makes another shape."""
        one, two = shapes({"role": "ADMIN", "name": "a"}), shapes({"role": "GUEST", "name": None})
        assert one[0].text == two[0].text
        assert (one[0].values, two[0].values) == (
            {'"role"': ["administrator"], "%1": ["a"]},
            {'"role"': ["GUEST"], "%1": [None]},
        )

    @pytest.mark.parametrize(
        "row",
        [
            {"email": 5},
            {"email": None},
            {"role": "administrator"},
            {"tags": "a"},
            {"tags": [None]},
            {"tags": None},
            {"foo": 1},
            {"posts": {}},
            {"avatar": Base64("***")},
            [],
        ],
    )
    def test_a_row_that_does_not_fit(self, row: Any) -> None:
        """It is named, whichever it is."""
        with pytest.raises(UnfitRowError) as caught:
            shapes({"email": "a"}, row)
        assert caught.value.row == row


class TestStatements:
    def test_arrays_and_common_values(self) -> None:
        """What differs from row to row travels in an array, what all have in common once."""
        cells = {'"email"': Cell("", "", plan.Placeholder("%0", ""), "TEXT"), '"visits"': Cell("", "", "0", "INTEGER")}
        insert = write_insert(
            [(shapes({"email": "a"}, {"email": "b"})[0], RowPlan('"users"', cells, " ON CONFLICT DO NOTHING"))],
            2,
            DATAMODEL.models["User"],
            RUN,
        )
        assert insert is not None
        assert insert.sql == (
            'INSERT INTO "users" ("email","visits") SELECT "r"."c0",$2::"pg_catalog"."int4" '
            'FROM unnest($1::"pg_catalog"."text"[]) AS "r"("c0") ON CONFLICT DO NOTHING'
        )
        assert (insert.arguments, insert.arrays) == ([["a", "b"], "0"], frozenset({0}))

    def test_an_unknown_type(self) -> None:
        """A column of a type that cannot be named leaves the call to be planned as it is."""
        assert self.written({'"email"': Cell("", "", plan.Placeholder("%0", ""), "LTREE")}) is None

    def written(self, cells: Mapping[str, Cell]) -> Any:
        return write_insert(
            [(shapes({"email": "a"})[0], RowPlan('"users"', cells, ""))], 1, DATAMODEL.models["User"], RUN
        )

    def test_odd_names(self) -> None:
        """A column may be called anything."""
        model = ODD.models["Odd"]
        found = read_shapes([{"id": 1}, {"id": 2}], model, ODD, DIALECT, skips_duplicates=False)
        node = execute('INSERT INTO "t" ("a,(""b"")") VALUES (', PARAMETER, ")", arguments=[plan.Placeholder("%0", "")])
        row_plan = read_row_plan(node)
        assert row_plan is not None
        insert = write_insert([(found[0], row_plan)], 2, model, RUN)
        assert insert is not None
        assert insert.sql.startswith('INSERT INTO "t" ("a,(""b"")") SELECT "r"."c0" FROM unnest(')


@pytest.mark.parametrize(
    ("type_", "items", "text"),
    [
        ("TEXT", ['a"\\', "NULL", ""], '{"a\\"\\\\","NULL",""}'),
        ("INTEGER", [1, -2], '{"1","-2"}'),
        ("BOOLEAN", [True, False], '{"True","False"}'),
        ("BYTEA", ["AP8="], '{"\\\\x00ff"}'),
        ("TIME", [datetime(1970, 1, 1, 12, 30, tzinfo=UTC)], '{"12:30:00+00:00"}'),
        ("DATE", [datetime(2024, 2, 29, tzinfo=UTC)], '{"2024-02-29T00:00:00+00:00"}'),
        ("TEXT", [], "{}"),
    ],
)
def test_arrays_as_text(type_: str, items: list[Any], text: str) -> None:
    """Arrays do not nest, so that a row's own array is text, every item quoted."""
    assert array_text(type_, items) == text
