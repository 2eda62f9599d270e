"""
From a request to a plan that can run: the plan cache before Prisma's compiler.

One `Planner` serves every client of one schema in this process, on any event loop: a compiled plan holds no state, the
compiler has a lock of its own, and looking a plan up is one dictionary access.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from agentdb.engine.executor import Run, Scope, compile_plan
from agentdb.engine.plan import parse_plan
from agentdb.engine.schema import Datamodel, parse_schema
from agentdb.engine.wasm import CompileError, QueryCompiler

RunPlan = Callable[[Run, Scope], Awaitable[Any]]

MAX_PLANS = 2000
"""How many plans are kept; the one unused for longest goes first."""


class PlaceholderRefusedError(Exception):
    """The compiler takes no placeholder at some place of this request: it must be sent with its values in it."""


class Planner:
    """The compiler of one schema and the plans it has made."""

    def __init__(self, schema: str, schema_name: str, *, max_plans: int = MAX_PLANS) -> None:
        self.datamodel: Datamodel = parse_schema(schema)
        self._schema = schema
        self._schema_name = schema_name
        self._max_plans = max_plans
        self._plans: OrderedDict[str, RunPlan | PlaceholderRefusedError] = OrderedDict()
        self._lock = threading.Lock()
        self._compiler: QueryCompiler | None = None

    def start(self) -> None:
        """Load the compiler, so that the first query need not wait for it. Blocks for some ten milliseconds."""
        with self._lock:
            if self._compiler is None:
                self._compiler = QueryCompiler(self._schema, schema_name=self._schema_name)

    def plan(self, text: str) -> RunPlan:
        """
        Return the plan of a request.

        Raises:
            PlaceholderRefusedError: The request has to be sent without placeholders.
            CompileError: Prisma refuses the request.
        """
        found = self._plans.get(text)
        if found is None:
            found = self._compile(text)
        else:
            self._touch(text)
        if isinstance(found, PlaceholderRefusedError):
            raise found.with_traceback(None)
        return found

    def __len__(self) -> int:
        return len(self._plans)

    def _touch(self, text: str) -> None:
        try:
            self._plans.move_to_end(text)
        except KeyError:  # another thread just evicted it
            pass

    def _compile(self, text: str) -> RunPlan | PlaceholderRefusedError:
        self.start()
        assert self._compiler is not None
        made: RunPlan | PlaceholderRefusedError
        try:
            made = compile_plan(parse_plan(self._compiler.compile(text)))
        except CompileError as error:
            if "Placeholder" not in error.message:
                raise
            made = PlaceholderRefusedError()
        with self._lock:
            self._plans[text] = made
            while len(self._plans) > self._max_plans:
                self._plans.popitem(last=False)
        return made


@lru_cache(maxsize=16)
def planner_for(schema: str, schema_name: str) -> Planner:
    """Return the planner of a schema; equal schemas share one."""
    return Planner(schema, schema_name)
