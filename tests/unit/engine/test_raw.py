from __future__ import annotations

from typing import Any

import pytest

from agentdb.engine.raw import METHODS, RawBinding, bind, row_count, run
from agentdb.engine.request import Call
from agentdb.engine.values import UnfitValueError
from tests.unit.engine.support import Base64, FakeDriver, FakeRecord, FakeStatement, Json


class TestBinding:
    def test_arguments(self) -> None:
        """Arguments are unwrapped and converted; None stays."""
        binding = RawBinding(FakeStatement(["jsonb", "bytea", "int4", "text", "uuid"]))
        assert list(binding.encode([Json({"a": 1}), Base64("eA=="), "5", None, "x"])) == [
            '{"a": 1}',
            b"x",
            5,
            None,
            "x",
        ]

    def test_a_wrong_count(self) -> None:
        """Too many or too few are left for the server to refuse."""
        assert list(RawBinding(FakeStatement(["int4"])).encode([1, 2])) == [1, 2]

    @pytest.mark.parametrize(
        ("type_", "value"), [("int4", "x"), ("int4", [1]), ("bytea", 5), ("numeric", "x"), ("date", 5)]
    )
    def test_what_does_not_fit(self, type_: str, value: Any) -> None:
        """An argument that cannot be converted is named by its number."""
        with pytest.raises(UnfitValueError, match=r"Argument \$2 does not fit"):
            RawBinding(FakeStatement(["int4", type_])).encode([1, value])

    def test_rows(self) -> None:
        """Rows come with the names and types of their columns, JSON parsed."""
        binding = bind(FakeStatement(columns={"a": "int8", "b": "jsonb", "c": "jsonb[]", "d": "char"}))
        assert binding.decode([FakeRecord((1, '{"x": 1}', ["[]", None], b"c"))]) == {  # type: ignore[list-item]
            "columns": ["a", "b", "c", "d"],
            "types": ["bigint", "json", "json-array", "string"],
            "rows": [[1, {"x": 1}, [[], None], "c"]],
        }


class TestRun:
    async def test_queries(self) -> None:
        """A query is fetched."""
        driver = FakeDriver([({"a": "int4"}, [(1,)])])
        call = Call("query_raw", {"query": "SELECT 1", "parameters": ()}, None)
        assert await run(call, driver) == {"columns": ["a"], "types": ["int"], "rows": [[1]]}

    @pytest.mark.parametrize(("parameters", "answer", "count"), [((5,), 2, 2), ((), "UPDATE 3", 3), (None, "BEGIN", 0)])
    async def test_execution(self, parameters: Any, answer: Any, count: int) -> None:
        """With arguments it is one statement, without it is a script; either answers how many rows it touched."""
        driver = FakeDriver([answer])
        call = Call("execute_raw", {"query": "UPDATE", "parameters": parameters}, None)
        assert await run(call, driver) == count

    def test_methods(self) -> None:
        """These methods take SQL."""
        assert {"query_raw", "query_first", "execute_raw"} == METHODS


@pytest.mark.parametrize(("tag", "count"), [("UPDATE 3", 3), ("INSERT 0 5", 5), ("CREATE TABLE", 0), ("", 0)])
def test_row_count(tag: str, count: int) -> None:
    """The count stands at the end of a command tag, if there is one."""
    assert row_count(tag) == count
