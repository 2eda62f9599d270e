"""The leaves of a plan: compiles its statements into the steps that send them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agentdb.engine import plan
from agentdb.engine.binding import bind_rows
from agentdb.engine.records import as_list
from agentdb.engine.statement import SettledText, render, settle
from agentdb.engine.steps import Run, Scope, Step, value_reader
from agentdb.postgres.driver import Bind, Driver

ReadArguments = Callable[[Run, Scope], list[Any]]


def compile_query(template: plan.Template, bind: Bind) -> Step:
    """Compile a statement that answers rows, which *bind* reads."""
    text = settle(template)
    if text is None:
        return _rendered_query(template, bind)
    sql, arguments = text.sql, _arguments(text)
    return Step(awaits=True, run=lambda run, scope: run.driver.fetch(sql, arguments(run, scope), bind=bind))


def compile_execute(template: plan.Template) -> Step:
    """Compile a statement that answers how many rows it touched."""
    text = settle(template)
    if text is None:
        return _rendered_execute(template)
    sql, arguments = text.sql, _arguments(text)
    return Step(awaits=True, run=lambda run, scope: run.driver.execute(sql, arguments(run, scope), bind=bind_rows))


def _arguments(text: SettledText) -> ReadArguments:
    """Return the function that tells the arguments in a run."""
    if not text.lists and all(isinstance(value, plan.Placeholder) for value in text.arguments):
        # nearly every statement: no function to call per argument
        names = [value.name for value in text.arguments if isinstance(value, plan.Placeholder)]
        return lambda _run, scope: [scope[name] for name in names]
    readers = [value_reader(value) for value in text.arguments]
    lists = text.lists

    def read(run: Run, scope: Scope) -> list[Any]:
        values = [reader(run, scope) for reader in readers]
        for place in lists:
            values[place] = _distinct(values[place])
        return values

    return read


def _distinct(values: Any) -> list[Any]:
    """Drop repeated items: many parents may share one key."""
    items = as_list(values)
    try:
        return list(dict.fromkeys(items))
    except TypeError:
        return items


def _rendered_query(template: plan.Template, bind: Bind) -> Step:
    readers = [value_reader(value) for value in template.arguments]

    async def fetch(run: Run, scope: Scope) -> Any:
        statements = render(template, [read(run, scope) for read in readers])
        results = await _send_all(run, statements, lambda driver, sql, given: driver.fetch(sql, given, bind=bind))
        return results[0] if len(results) == 1 else [row for rows in results for row in rows]

    return Step(awaits=True, run=fetch)


def _rendered_execute(template: plan.Template) -> Step:
    readers = [value_reader(value) for value in template.arguments]

    async def execute(run: Run, scope: Scope) -> int:
        statements = render(template, [read(run, scope) for read in readers])
        return sum(
            await _send_all(run, statements, lambda driver, sql, given: driver.execute(sql, given, bind=bind_rows))
        )

    return Step(awaits=True, run=execute)


async def _send_all(
    run: Run, statements: Sequence[tuple[str, list[Any]]], send: Callable[[Driver, str, list[Any]], Awaitable[Any]]
) -> list[Any]:
    """Send each statement; more than one all together or not at all."""
    if len(statements) == 1 or run.is_in_transaction:
        return [await send(run.driver, sql, arguments) for sql, arguments in statements]
    async with run.driver.transaction() as transaction:
        return [await send(transaction, sql, arguments) for sql, arguments in statements]
