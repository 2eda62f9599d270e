from __future__ import annotations

from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.executor import compile_plan
from agentdb.engine.steps import PlanFailedError, Run
from tests.unit.engine.support import FakeDriver

ONE = plan.Value("one")
NONE = plan.Value(None)
EMPTY = plan.Value([])


def statement(sql: str, *arguments: plan.PlanValue) -> plan.Template:
    """A statement with a parameter for each argument."""
    fragments: list[plan.Fragment] = [plan.Chunk(sql)]
    for _ in arguments:
        fragments += [plan.Chunk(" "), plan.Parameter()]
    return plan.Template(tuple(fragments), arguments, ())


def query(sql: str, *arguments: plan.PlanValue) -> plan.Query:
    return plan.Query(statement(sql, *arguments))


def execute(sql: str, *arguments: plan.PlanValue) -> plan.Execute:
    return plan.Execute(statement(sql, *arguments))


def insert(rows: plan.PlanValue) -> plan.Template:
    fragments = (plan.Chunk("INSERT VALUES "), plan.ParameterTupleList("(", ",", ")", ","))
    return plan.Template(fragments, (rows,), ())


async def run(node: plan.Node, driver: FakeDriver | None = None, *, is_inside: bool = False, **scope: Any) -> Any:
    """Run a plan on *driver*, with these names in its scope."""
    return await compile_plan(node)(Run(driver or FakeDriver(), is_in_transaction=is_inside), scope)


def rows(*ids: Any) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """An answer of rows with a column id."""
    return {"id": "int4"}, [(id_,) for id_ in ids]


class TestValues:
    @pytest.mark.parametrize(
        ("node", "value"),
        [
            (ONE, "one"),
            (plan.Value(plan.Tagged("Bytes", "eA==")), "eA=="),
            (plan.Value([1, plan.Placeholder("x", "Int")]), [1, 5]),
            (plan.Value(plan.Generated("product", ([1, 2], plan.Placeholder("x", "Int")))), [[1, 5], [2, 5]]),
            (plan.Get("x"), 5),
            (plan.FirstNonEmpty(("none", "empty", "x")), 5),
            (plan.FirstNonEmpty(("none",)), []),
            (plan.Unit(), None),
            (plan.Sequence((ONE, plan.Get("x"))), 5),
            (plan.Sequence(()), None),
            (plan.Sum((plan.Get("x"), plan.Value(2))), 7),
            (plan.Concat((plan.Value([1]), plan.Get("x"), EMPTY)), [1, 5]),
            (plan.Unique(plan.Value(["a"])), "a"),
            (plan.Unique(EMPTY), None),
            (plan.Unique(ONE), "one"),
            (plan.Reverse(plan.Value([1, 2])), [2, 1]),
            (plan.Reverse(NONE), None),
            (plan.Required(ONE), "one"),
            (plan.MapField(plan.Get("record"), "id"), 1),
            (plan.Diff(plan.Get("records"), plan.Get("record"), ("id",)), [{"id": 2}]),
            (plan.If(plan.Get("x"), plan.Rule("rowCountEq", 1), ONE, NONE), "one"),
            (plan.If(NONE, plan.Rule("rowCountEq", 1), ONE, NONE), None),
        ],
    )
    async def test_without_the_database(self, node: plan.Node, value: Any) -> None:
        """Nodes that need no statement run on what the scope holds."""
        scope: dict[str, Any] = {
            "x": 5,
            "none": None,
            "empty": [],
            "record": {"id": 1},
            "records": [{"id": 1}, {"id": 2}],
        }
        assert await run(node, **scope) == value

    async def test_now_is_one_moment(self) -> None:
        """However often a run asks, now() is the same; the next run has its own."""
        now = plan.Generated("now", ())
        node = plan.Sequence((plan.Value([now, now]), plan.Value([now, now])))
        first, second = await run(node)
        assert first is second
        assert first.microsecond % 1000 == 0

    async def test_bindings(self) -> None:
        """A binding sees those before it, hides an outer one of its name, and ends with its let."""
        inner = plan.Let((("a", ONE),), plan.Get("a"))
        node = plan.Let(
            (("b", plan.Get("a")), ("c", plan.Get("b"))),
            plan.Concat((plan.Get("c"), inner, plan.Get("a"))),
        )
        assert await run(node, a="outer") == ["outer", "one", "outer"]

    def test_unknown_generators(self) -> None:
        """A generator of another release is not guessed at."""
        with pytest.raises(plan.UnknownPlanError, match="conjure"):
            compile_plan(plan.Value(plan.Generated("conjure", ())))


class TestRules:
    @pytest.mark.parametrize(
        ("value", "rule", "holds"),
        [
            ([1], plan.Rule("rowCountEq", 1), True),
            ([], plan.Rule("rowCountEq", 0), True),
            (None, plan.Rule("rowCountEq", 0), True),
            ({"id": 1}, plan.Rule("rowCountEq", 1), True),
            ([1, 2], plan.Rule("rowCountEq", 1), False),
            ([], plan.Rule("rowCountNeq", 0), False),
            ({"id": 1}, plan.Rule("rowCountNeq", 0), True),
            (2, plan.Rule("affectedRowCountEq", 2), True),
            (1, plan.Rule("affectedRowCountEq", 2), False),
            (1, plan.Rule("never", 0), False),
        ],
    )
    async def test_validation(self, value: Any, rule: plan.Rule, holds: bool) -> None:
        """What breaks a rule fails with the plan's own reason and what was found."""
        node = plan.Validate(plan.Get("x"), (rule,), "MISSING_RECORD", {"a": 1})
        if holds:
            assert await run(node, x=value) == value
        else:
            with pytest.raises(PlanFailedError) as caught:
                await run(node, x=value)
            assert (caught.value.error, caught.value.context, caught.value.found) == ("MISSING_RECORD", {"a": 1}, value)

    async def test_required(self) -> None:
        """Nothing where something is required is a missing record."""
        with pytest.raises(PlanFailedError):
            await run(plan.Required(EMPTY))


class TestStatements:
    async def test_queries(self) -> None:
        """A query is sent with its arguments and answers records."""
        driver = FakeDriver([rows(1, 2)])
        assert await run(query("SELECT", plan.Placeholder("x", "Int"), "c"), driver, x=5) == [{"id": 1}, {"id": 2}]
        assert driver.sent == [("SELECT $1 $2", [5, "c"])]

    async def test_execution(self) -> None:
        """A statement without rows answers how many it touched."""
        driver = FakeDriver([3])
        assert await run(execute("DELETE"), driver) == 3

    async def test_parents_keys_are_sent_once(self) -> None:
        """Of keys that repeat each is sent once, in order."""
        template = plan.Template(
            (plan.Chunk("x IN "), plan.ParameterTuple("", ",", "")), (plan.Placeholder("keys", "List"),), ()
        )
        driver = FakeDriver([rows(), rows(), rows()])
        for keys in ([2, 1, 2, 1], [[1], [1]], 7):
            await run(plan.Query(template), driver, keys=keys)
        assert driver.sent == [("x = ANY($1)", [[2, 1]]), ("x = ANY($1)", [[[1], [1]]]), ("x = ANY($1)", [[7]])]

    async def test_rows_of_one_statement(self) -> None:
        """Rows are rendered for each run."""
        driver = FakeDriver([2])
        assert await run(plan.Execute(insert(plan.Placeholder("rows", "List"))), driver, rows=[[1, 2], [3, 4]]) == 2
        assert driver.sent == [("INSERT VALUES ($1,$2),($3,$4)", [1, 2, 3, 4])]
        assert driver.log == []

    @pytest.mark.parametrize("is_inside", [False, True])
    async def test_rows_of_several_statements(self, is_inside: bool) -> None:
        """What takes several statements is one transaction, unless it is in one already."""
        many = [[number] for number in range(40_000)]
        driver = FakeDriver([30_000, 10_000])
        node = plan.Execute(insert(plan.Placeholder("rows", "List")))
        assert await run(node, driver, is_inside=is_inside, rows=many) == 40_000
        assert driver.log == ([] if is_inside else ["begin", "commit"])
        driver = FakeDriver([rows(1), rows(2)])
        query_many = plan.Query(insert(plan.Placeholder("rows", "List")))
        assert await run(query_many, driver, is_inside=is_inside, rows=many) == [{"id": 1}, {"id": 2}]


class TestTransactions:
    async def test_commits(self) -> None:
        """A transaction node is one; inside of another it is nothing."""
        node = plan.Transaction(plan.Sequence((execute("A"), plan.Transaction(execute("B")))))
        driver = FakeDriver([1, 2])
        assert await run(node, driver) == 2
        assert driver.log == ["begin", "commit"]

    async def test_rolls_back(self) -> None:
        """A failure inside rolls it back."""
        node = plan.Transaction(plan.Sequence((execute("A"), plan.Required(NONE))))
        driver = FakeDriver([1])
        with pytest.raises(PlanFailedError):
            await run(node, driver)
        assert driver.log == ["begin", "rollback"]

    async def test_keeps_the_moment(self) -> None:
        """now() is the same inside and outside."""
        now = plan.Value(plan.Generated("now", ()))
        first, second = await run(plan.Concat((now, plan.Transaction(now))))
        assert first == second


class TestJoins:
    async def test_children_are_attached(self) -> None:
        """The parents are asked for first, then the children of all of them."""
        child = plan.JoinChild(query("CHILDREN"), (("id", "id"),), "x", is_unique=True)
        driver = FakeDriver([rows(1, 2), rows(2)])
        joined = await run(plan.Join(query("PARENTS"), (child,), has_strict_keys=True), driver)
        assert joined == [{"id": 1, "x": None}, {"id": 2, "x": {"id": 2}}]

    @pytest.mark.parametrize("parent", [NONE, EMPTY])
    async def test_without_parents(self, parent: plan.Node) -> None:
        """Without parents nobody is asked for children."""
        child = plan.JoinChild(query("CHILDREN"), (("id", "id"),), "x", is_unique=True)
        assert not await run(plan.Join(parent, (child,), has_strict_keys=True), FakeDriver())


async def test_process_looks_its_cursor_up() -> None:
    """A page's cursor may be a placeholder, at any depth."""

    def operations(**nested: plan.Operations) -> plan.Operations:
        page = plan.Pagination({"id": plan.Placeholder("c", "Int")}, None, None)
        return plan.Operations(page, None, None, is_reversed=False, nested=nested)

    node = plan.Process(plan.Get("records"), operations(x=operations()))
    records = [{"id": 1, "x": []}, {"id": 2, "x": [{"id": 1}, {"id": 2}, {"id": 3}]}]
    assert await run(node, records=records, c=2) == [{"id": 2, "x": [{"id": 2}, {"id": 3}]}]


class TestDataMaps:
    SHAPE = plan.ObjectShape({"number": plan.FieldShape("id", "int", is_list=False, enum=None)}, None, skip_nulls=False)

    @pytest.mark.parametrize(
        ("source", "result"),
        [
            (query("Q"), [{"number": 1}]),
            (plan.Unique(query("Q")), {"number": 1}),
            (plan.Let((("x", ONE),), plan.Unique(query("Q"))), {"number": 1}),
            (plan.Validate(query("Q"), (plan.Rule("rowCountNeq", 0),), "MISSING_RECORD", {}), [{"number": 1}]),
            (plan.Transaction(query("Q")), [{"number": 1}]),
            (plan.Reverse(query("Q")), [{"number": 1}]),
            (plan.Unique(plan.Reverse(query("Q"))), {"number": 1}),
        ],
    )
    async def test_around_any_source(self, source: plan.Node, result: Any) -> None:
        """Rows take their shape as they are read, or after what the plan does to them: to the same result."""
        assert await run(plan.DataMap(source, self.SHAPE, {}), FakeDriver([rows(1)])) == result
