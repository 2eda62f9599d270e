"""
From a request to a plan that can run: the plan cache before Prisma's compiler.

One `Planner` serves every client of one schema in this process, on any event loop: a compiled plan holds no state, the
compiler has a lock of its own, and looking a plan up is one dictionary access.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any, Final

from agentdb.engine.executor import compile_plan
from agentdb.engine.plan import Node
from agentdb.engine.plan_reader import read_plan
from agentdb.engine.pushdown import push_down
from agentdb.engine.request import MAX_KEPT_CHARACTERS
from agentdb.engine.row_plan import RowPlan, read_row_plan
from agentdb.engine.schema import Datamodel, parse_schema
from agentdb.engine.shapes import Shapes
from agentdb.engine.steps import Run, Scope
from agentdb.engine.wasm import CompileError, CompilerTrapError, QueryCompiler

RunPlan = Callable[[Run, Scope], Awaitable[Any]]

MAX_PLANS = 2000
"""How many plans are kept; the one unused for longest goes first."""

_PLACEHOLDER = '"$type":"Param"'
_GROUPS = '"action":"groupBy"'
_REFUSED: Any = object()
_ABSENT: Any = object()


# Nothing parses the groups that the generated client hands on.
compile_groups: Final = partial(compile_plan, as_json=True)


class PlaceholderRefusedError(Exception):
    """The compiler takes no placeholder at some place of this request, or no such request: send it with its values."""


class Planner:
    """The compiler of one schema and the plans it has made."""

    def __init__(self, schema: str, schema_name: str, *, max_plans: int = MAX_PLANS) -> None:
        self.datamodel: Datamodel = parse_schema(schema)
        self.shapes: Shapes = Shapes(self.datamodel)
        self._schema = schema
        self._schema_name = schema_name
        self._max_plans = max_plans
        self._plans: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._compiler: QueryCompiler | None = None

    def start(self) -> None:
        """Load the compiler, so that the first query need not wait for it. Blocks for some ten milliseconds."""
        with self._lock:
            if self._compiler is None:
                self._compiler = QueryCompiler(self._schema, schema_name=self._schema_name)

    @property
    def is_started(self) -> bool:
        """Whether the compiler is loaded."""
        return self._compiler is not None

    def plan(self, text: str) -> RunPlan:
        """
        Return the plan of a request.

        Raises:
            PlaceholderRefusedError: The request has placeholders and has to be sent without.
            CompileError: Prisma refuses the request, which has none.
            CompilerTrapError: The compiler crashed on the request, which has none.
        """
        plan: RunPlan | None = self._plans.get(text)
        if plan is None:
            plan = self._compile(text, compile_groups if _GROUPS in text else compile_plan)
        else:
            try:  # noqa: SIM105 - suppress() would cost half a microsecond
                self._plans.move_to_end(text)
            except KeyError:
                pass  # another thread just evicted it
        if plan is _REFUSED:
            raise PlaceholderRefusedError
        return plan

    def row_plan(self, text: str) -> RowPlan | None:
        """
        Return what the one row of this ``createMany`` puts into its columns; None if that is not to be read.

        Raises:
            PlaceholderRefusedError: As of `plan`, or the row is refused.
        """
        key = " " + text  # the same request to the compiler, but another plan here
        row_plan: RowPlan | None = self._plans.get(key, _ABSENT)
        if row_plan is _ABSENT:
            row_plan = self._compile(key, read_row_plan)
        if row_plan is _REFUSED:
            raise PlaceholderRefusedError
        return row_plan

    def __len__(self) -> int:
        """Return how many plans are kept."""
        return len(self._plans)

    def _compile(self, text: str, make: Callable[[Node], Any]) -> Any:
        self.start()
        assert self._compiler is not None
        try:
            plan = make(push_down(read_plan(self._compiler.compile(text)), self.datamodel))
        except (CompileError, CompilerTrapError):
            if _PLACEHOLDER not in text:
                raise
            # If it is the request that is wrong and not the placeholder, the error will name the value itself.
            plan = _REFUSED
        if len(text) <= MAX_KEPT_CHARACTERS:
            with self._lock:
                self._plans[text] = plan
                while len(self._plans) > self._max_plans:
                    self._plans.popitem(last=False)
        return plan


@lru_cache(maxsize=16)
def planner_for(schema: str, schema_name: str) -> Planner:
    """Return the planner of a schema; equal schemas share one."""
    return Planner(schema, schema_name)
