"""
What a compiled plan is made of: steps, the run they belong to, and the values they look up.

A plan is compiled once into closures, so that running it decides nothing anew. Closures keep no state between runs; one
compiled plan serves any number of concurrent calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentdb.engine import plan
from agentdb.engine.generators import GENERATORS
from agentdb.engine.values import milliseconds
from agentdb.moments import utc_now
from agentdb.postgres.driver import Driver

Scope = Mapping[str, Any]
"""The values that a run knows by name: the request's placeholders, and what the plan itself has bound."""


class Run:
    """One execution of a plan."""

    __slots__ = ("_now", "driver", "is_in_transaction")

    def __init__(self, driver: Driver, *, is_in_transaction: bool, now: datetime | None = None) -> None:
        self.driver: Driver = driver
        self.is_in_transaction: bool = is_in_transaction
        self._now = now

    def now(self) -> datetime:
        """Return the moment at which this was first asked, in whole milliseconds: every ``now()`` of a run is one."""
        if self._now is None:
            self._now = milliseconds(utc_now())
        return self._now

    def inside(self, transaction: Driver) -> Run:
        """Return the rest of this run, to be executed in *transaction*."""
        return Run(transaction, is_in_transaction=True, now=self.now())


class PlanFailedError(Exception):
    """
    A plan found that its request cannot be carried out.

    Attributes:
        error: The plan's identifier of what went wrong, for example MISSING_RECORD.
        context: What the identifier's message is made of.
        found: The value that broke the rule.
    """

    def __init__(self, error: str, context: Mapping[str, Any], found: Any) -> None:
        super().__init__(error)
        self.error = error
        self.context = context
        self.found = found


@dataclass(frozen=True, slots=True)
class Step:
    """A compiled node: *run* returns its value, or if *awaits*, an awaitable of it."""

    awaits: bool
    run: Callable[[Run, Scope], Any]

    async def __call__(self, run: Run, scope: Scope) -> Any:
        return await self.run(run, scope) if self.awaits else self.run(run, scope)


# -- values -----------------------------------------------------------------------------------------------------------

ReadValue = Callable[[Run, Scope], Any]


def value_reader(value: plan.PlanValue) -> ReadValue:
    """Return the function that tells what *value* is in a run."""
    match value:
        case plan.Placeholder(name):
            return lambda _run, scope: scope[name]
        case plan.Generated("now"):
            return lambda run, _scope: run.now()
        case plan.Generated(name, arguments):
            return _generator(name, [value_reader(argument) for argument in arguments])
        case list() if any(map(is_dynamic, value)):
            items = [value_reader(item) for item in value]
            return lambda run, scope: [item(run, scope) for item in items]
    fixed = constant(value)
    return lambda _run, _scope: fixed


def _generator(name: str, arguments: list[ReadValue]) -> ReadValue:
    generate = GENERATORS.get(name)
    if generate is None:
        raise plan.UnknownPlanError(f"The query compiler asked for values of an unknown generator {name!r}.")
    return lambda run, scope: generate(*[argument(run, scope) for argument in arguments])


def is_dynamic(value: plan.PlanValue) -> bool:
    """Whether *value* can differ from run to run."""
    if isinstance(value, list):
        return any(map(is_dynamic, value))
    return isinstance(value, plan.Placeholder | plan.Generated)


def constant(value: plan.PlanValue) -> Any:
    """Return a constant as a plain value; anything for what is not one."""
    if isinstance(value, list):
        return [constant(item) for item in value]
    return value.value if isinstance(value, plan.Tagged) else value


def is_empty(value: Any) -> bool:
    """Whether *value* stands for no record at all."""
    return value is None or value == []
