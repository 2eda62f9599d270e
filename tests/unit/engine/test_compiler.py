from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from agentdb.engine.compiler import PlaceholderRefusedError, Planner, planner_for
from agentdb.engine.request import MAX_KEPT_CHARACTERS, Call, build_request
from agentdb.engine.wasm import CompileError, CompilerTrapError
from tests.unit.engine.support import DATAMODEL, DIALECT, SCHEMA, model


@pytest.fixture(scope="module")
def shared() -> Planner:
    return Planner(SCHEMA, "public")


def text(method: str = "find_many", literal: bool = False, **arguments: Any) -> str:
    return build_request(Call(method, arguments, model("User")), DATAMODEL, DIALECT, literal=literal).text


class TestPlans:
    def test_are_made_once(self, shared: Planner) -> None:
        """Requests of one text have one plan, whatever their values."""
        first = shared.plan(text(where={"name": "a"}))
        assert shared.plan(text(where={"name": "b"})) is first
        assert shared.plan(text(where={"email": "b"})) is not first

    def test_are_bounded(self) -> None:
        """Of more plans than fit, the one that was not used for longest goes."""
        planner = Planner(SCHEMA, "public", max_plans=3)
        plans = [planner.plan(text(take=number)) for number in range(3)]
        assert planner.plan(text(take=0)) is plans[0]
        planner.plan(text(take=3))
        assert len(planner) == 3
        assert planner.plan(text(take=0)) is plans[0]
        assert planner.plan(text(take=1)) is not plans[1]

    def test_of_long_requests_are_not_kept(self, shared: Planner) -> None:
        """A long request is hardly made twice, and its plan is large."""
        long = text(take=1, where={"role": {"in": ["ADMIN"] * (MAX_KEPT_CHARACTERS // 8)}})
        before = len(shared)
        shared.plan(long)
        assert len(shared) == before

    def test_know_the_database_s_schema(self) -> None:
        """The schema that tables are looked for in is part of the plan."""
        assert planner_for(SCHEMA, "public") is planner_for(SCHEMA, "public")
        assert planner_for(SCHEMA, "public") is not planner_for(SCHEMA, "other")


class TestRefusals:
    @pytest.mark.parametrize("arguments", [{"where": {"foo": 1}}, {"take": "x"}, {"where": {"name": 5}}])
    def test_of_requests_without_placeholders(self, shared: Planner, arguments: dict[str, Any]) -> None:
        """What Prisma refuses is refused, and not remembered."""
        before = len(shared)
        with pytest.raises(CompileError):
            shared.plan(text(literal=True, **arguments))
        assert len(shared) == before

    def test_of_requests_with_placeholders(self, shared: Planner) -> None:
        """A request with placeholders is first asked for without, so that the error names the value; that is kept."""
        refused = text(where={"name": "a", "foo": 1})
        for _ in range(2):
            with pytest.raises(PlaceholderRefusedError):
                shared.plan(refused)

    def test_crashes(self, shared: Planner) -> None:
        """A crash fails that request alone."""
        request = text(literal=True).replace("findMany", "conjure")
        for _ in range(2):
            with pytest.raises(CompilerTrapError):
                shared.plan(request)
        shared.plan(text(where={"name": "after"}))


def test_threads(shared: Planner) -> None:
    """Any number of threads may ask at once, also for more plans than are kept."""
    planner = Planner(SCHEMA, "public", max_plans=5)
    failures: list[BaseException] = []

    def ask(first: int) -> None:
        try:
            for number in range(60):
                planner.plan(text(take=(first + number) % 12))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(planner) == 5


def test_plans_that_are_gone_leave_nothing() -> None:
    """A plan that was evicted is freed."""
    planner = Planner(SCHEMA, "public", max_plans=1)

    def census() -> int:
        gc.collect()
        return len(gc.get_objects())

    for number in range(20):
        planner.plan(text(take=number))
    before = census()
    for number in range(20, 120):
        planner.plan(text(take=number))
    assert census() - before < 500
