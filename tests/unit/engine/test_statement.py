from __future__ import annotations

from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.statement import MAX_PARAMETERS, SettledText, TooManyParametersError, padded, render, settle

PARAMETER = plan.Parameter()
TUPLE = plan.ParameterTuple("", ",", "")
ROWS = plan.ParameterTupleList("(", ",", ")", ",")
NAME = plan.Placeholder("%0", "String")


def template(*parts: str | plan.Fragment, arguments: tuple[Any, ...] = ()) -> plan.Template:
    fragments = tuple(plan.Chunk(part) if isinstance(part, str) else part for part in parts)
    return plan.Template(fragments, arguments, ())


class TestSettle:
    def test_numbers_its_parameters(self) -> None:
        """Parameters are $1, $2 … in the order of the text, constants among them."""
        statement = template("a = ", PARAMETER, " AND b = ", PARAMETER, arguments=(NAME, "x"))
        assert settle(statement) == SettledText("a = $1 AND b = $2", (NAME, "x"), frozenset())

    @pytest.mark.parametrize(("before", "settled"), [("a IN ", "a = ANY($1)"), ("a NOT IN ", "a <> ALL($1)")])
    def test_lists_become_arrays(self, before: str, settled: str) -> None:
        """One text serves lists of every length."""
        text = settle(template(before, TUPLE, " AND b", arguments=(NAME,)))
        assert text == SettledText(f"{settled} AND b", (NAME,), frozenset({0}))

    def test_pages(self) -> None:
        """Every page of a list is one text."""
        statement = template("x LIMIT ", PARAMETER, " OFFSET ", PARAMETER, arguments=("10", "40"))
        assert settle(statement) == SettledText("x LIMIT 10 OFFSET $1", ("40",), frozenset())

    def test_limit_and_offset(self) -> None:
        """They stand in the text, where the server's planner sees them; other numbers do not."""
        statement = template("x = ", PARAMETER, " LIMIT ", PARAMETER, " OFFSET ", PARAMETER, arguments=("5", "1", "0"))
        assert settle(statement) == SettledText("x = $1 LIMIT 1 OFFSET 0", ("5",), frozenset())

    @pytest.mark.parametrize(
        "fragments", [("VALUES ", ROWS), ("a IN ", plan.ParameterTuple("CAST(", ",", " AS x)")), ("f", TUPLE)]
    )
    def test_others_depend_on_their_arguments(self, fragments: tuple[str, plan.Fragment]) -> None:
        """Rows, and lists that are no comparison or whose items are wrapped, cannot be settled."""
        assert settle(template(*fragments, arguments=(NAME,))) is None


class TestRender:
    def test_lists(self) -> None:
        """A list has a parameter per item, repeated up to a power of two; an empty one is NULL."""
        statement = template("x IN ", plan.ParameterTuple("CAST(", ",", ")"), " OR y = ", PARAMETER)
        assert render(statement, [[1, 2, 3], "z"]) == [
            ("x IN (CAST($1),CAST($2),CAST($3),CAST($4)) OR y = $5", [1, 2, 3, 3, "z"])
        ]
        assert render(statement, [[], "z"]) == [("x IN (NULL) OR y = $1", ["z"])]
        assert render(statement, [7, "z"]) == [("x IN (CAST($1)) OR y = $2", [7, "z"])]

    def test_rows(self) -> None:
        """Rows stand side by side."""
        assert render(template("VALUES ", ROWS), [[[1, 2], [3, 4]]]) == [("VALUES ($1,$2),($3,$4)", [1, 2, 3, 4])]

    def test_too_many_rows(self) -> None:
        """Rows that one statement cannot take become several statements, each with the other arguments."""
        rows = [[number, number] for number in range(20_000)]
        statements = render(template(PARAMETER, " VALUES ", ROWS), ["x", rows])
        assert len(statements) == 2
        assert all(len(arguments) <= MAX_PARAMETERS for _, arguments in statements)
        assert [argument for _, arguments in statements for argument in arguments if argument != "x"] == [
            number for row in rows for number in row
        ]

    def test_too_many_items(self) -> None:
        """A list that cannot be split is refused."""
        with pytest.raises(TooManyParametersError):
            render(template("f", TUPLE), [list(range(MAX_PARAMETERS + 1))])


@pytest.mark.parametrize(
    ("items", "result"),
    [([], 0), ([1], 1), ([1, 2], 2), (range(3), 4), (range(4), 4), (range(5), 8), (range(1000), 1024)],
)
def test_padding(items: Any, result: int) -> None:
    """Lists of many lengths have few."""
    assert len(padded(list(items))) == result
