"""
Runs a plan over a driver.

A plan is compiled once into closures, so that running it decides nothing anew: each node becomes a `Step`, an ordinary
function where nothing is awaited, a coroutine function on the way to a statement. Closures keep no state between runs;
one compiled plan serves any number of concurrent calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentdb.engine import plan, records
from agentdb.engine.generators import GENERATORS, Instant
from agentdb.engine.mapping import map_shape
from agentdb.engine.statement import (
    PreparedText,
    ReadRows,
    StatementBinding,
    constant,
    is_dynamic,
    read_fields,
    read_rows,
    render,
    settle,
)
from agentdb.postgres.driver import Driver, Statement

Scope = Mapping[str, Any]


class Run:
    """One execution of a plan: its driver, and the instant that every ``now()`` in it is."""

    __slots__ = ("driver", "is_in_transaction", "now")

    def __init__(self, driver: Driver, *, is_in_transaction: bool) -> None:
        self.driver = driver
        self.is_in_transaction = is_in_transaction
        self.now = Instant()


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
    """A compiled node: *run* is awaited iff *awaits*."""

    awaits: bool
    run: Callable[[Run, Scope], Any]

    async def __call__(self, run: Run, scope: Scope) -> Any:
        return await self.run(run, scope) if self.awaits else self.run(run, scope)


def compile_plan(node: plan.Node) -> Callable[[Run, Scope], Awaitable[Any]]:
    """Compile a plan into the coroutine function that runs it."""
    step = _compile(node)
    return step.run if step.awaits else step.__call__


def _compile(node: plan.Node) -> Step:
    return _COMPILERS[type(node)](node)


# -- composing steps --------------------------------------------------------------------------------------------------


def _after(source: Step, then: Callable[[Any], Any]) -> Step:
    """A step that applies *then* to what *source* gives."""
    return _after_in_scope(source, lambda value, _run, _scope: then(value))


def _after_in_scope(source: Step, then: Callable[[Any, Run, Scope], Any]) -> Step:
    inner = source.run
    if source.awaits:

        async def awaiting(run: Run, scope: Scope) -> Any:
            return then(await inner(run, scope), run, scope)

        return Step(awaits=True, run=awaiting)
    return Step(awaits=False, run=lambda run, scope: then(inner(run, scope), run, scope))


def _fold(steps: Sequence[Step], combine: Callable[[list[Any]], Any]) -> Step:
    """A step that runs *steps* in order and combines what they give."""

    async def fold(run: Run, scope: Scope) -> Any:
        return combine([await step(run, scope) for step in steps])

    return Step(awaits=True, run=fold)


# -- values -----------------------------------------------------------------------------------------------------------


def evaluate(value: plan.PlanValue, run: Run, scope: Scope) -> Any:
    """Return what *value* is in this run."""
    match value:
        case plan.Placeholder(name):
            return scope[name]
        case plan.Generated("now"):
            return run.now()
        case plan.Generated(name, arguments):
            return GENERATORS[name](*[evaluate(argument, run, scope) for argument in arguments])
        case list():
            return [evaluate(item, run, scope) for item in value]
        case _:
            return constant(value)


def _value(node: plan.Value) -> Step:
    if is_dynamic(node.value):
        return Step(awaits=False, run=lambda run, scope: evaluate(node.value, run, scope))
    fixed = constant(node.value)
    return Step(awaits=False, run=lambda _run, _scope: fixed)


def _get(node: plan.Get) -> Step:
    return Step(awaits=False, run=lambda _run, scope: scope[node.name])


def _first_non_empty(node: plan.FirstNonEmpty) -> Step:
    def first(_run: Run, scope: Scope) -> Any:
        return next((scope[name] for name in node.names if not is_empty(scope[name])), [])

    return Step(awaits=False, run=first)


def _unit(_node: plan.Unit) -> Step:
    return Step(awaits=False, run=lambda _run, _scope: None)


def is_empty(value: Any) -> bool:
    """Whether *value* stands for no record at all."""
    return value is None or value == []


# -- statements -------------------------------------------------------------------------------------------------------


def _query(node: plan.Query) -> Step:
    return _fetching(node.template, read_rows)


def _fetching(template: plan.Template, read: ReadRows) -> Step:
    text = settle(template)
    if text is None:
        return _fetching_rendered(template, read)
    bind = _binder(text, read)
    arguments = _arguments(text)

    async def fetch(run: Run, scope: Scope) -> Any:
        return await run.driver.fetch(text.sql, arguments(run, scope), bind=bind)

    return Step(awaits=True, run=fetch)


def _fetching_rendered(template: plan.Template, read: ReadRows) -> Step:
    bind = _binder(None, read)

    async def fetch(run: Run, scope: Scope) -> Any:
        statements = render(template, [evaluate(value, run, scope) for value in template.arguments])
        results = await _in_transaction_if_many(
            run, statements, lambda driver, sql, arguments: driver.fetch(sql, arguments, bind=bind)
        )
        return results[0] if len(results) == 1 else [row for rows in results for row in rows]

    return Step(awaits=True, run=fetch)


def _execute(node: plan.Execute) -> Step:
    template = node.template
    text = settle(template)
    bind = _binder(text, read_rows)
    if text is not None:
        arguments = _arguments(text)

        async def execute(run: Run, scope: Scope) -> int:
            return await run.driver.execute(text.sql, arguments(run, scope), bind=bind)

        return Step(awaits=True, run=execute)

    async def execute_rendered(run: Run, scope: Scope) -> int:
        statements = render(template, [evaluate(value, run, scope) for value in template.arguments])
        counts = await _in_transaction_if_many(
            run, statements, lambda driver, sql, arguments: driver.execute(sql, arguments, bind=bind)
        )
        return sum(counts)

    return Step(awaits=True, run=execute_rendered)


async def _in_transaction_if_many(
    run: Run,
    statements: Sequence[tuple[str, list[Any]]],
    send: Callable[[Driver, str, list[Any]], Awaitable[Any]],
) -> list[Any]:
    """Send each statement; more than one all together or not at all."""
    if len(statements) == 1 or run.is_in_transaction:
        return [await send(run.driver, sql, arguments) for sql, arguments in statements]
    async with run.driver.transaction() as transaction:
        return [await send(transaction, sql, arguments) for sql, arguments in statements]


def _binder(text: PreparedText | None, read: ReadRows) -> Callable[[Statement], StatementBinding]:
    def bind(statement: Statement) -> StatementBinding:
        return StatementBinding(statement, text, read)

    return bind


def _arguments(text: PreparedText) -> Callable[[Run, Scope], list[Any]]:
    """Return the function that looks up the arguments that differ from run to run."""
    if all(isinstance(value, plan.Placeholder) and place not in text.lists for place, value in text.sources):
        names = [value.name for _, value in text.sources if isinstance(value, plan.Placeholder)]
        return lambda _run, scope: [scope[name] for name in names]

    def arguments(run: Run, scope: Scope) -> list[Any]:
        values = []
        for place, source in text.sources:
            value = evaluate(source, run, scope)
            values.append(_distinct(value) if place in text.lists else value)
        return values

    return arguments


def _distinct(values: Any) -> list[Any]:
    """Drop repeated items: many parents may share one key."""
    items = records.as_list(values)
    try:
        return list(dict.fromkeys(items))
    except TypeError:
        return items


def _transaction(node: plan.Transaction) -> Step:
    body = _compile(node.body)

    async def transact(run: Run, scope: Scope) -> Any:
        if run.is_in_transaction:
            return await body(run, scope)
        async with run.driver.transaction() as transaction:
            inner = Run(transaction, is_in_transaction=True)
            inner.now = run.now
            return await body(inner, scope)

    return Step(awaits=True, run=transact)


# -- control ----------------------------------------------------------------------------------------------------------


def _sequence(node: plan.Sequence) -> Step:
    return _fold([_compile(step) for step in node.steps], lambda values: values[-1] if values else None)


def _let(node: plan.Let) -> Step:
    bindings = [(name, _compile(expression)) for name, expression in node.bindings]
    body = _compile(node.body)

    if not body.awaits and not any(step.awaits for _, step in bindings):

        def bound(run: Run, scope: Scope) -> Any:
            inner = dict(scope)
            for name, step in bindings:
                inner[name] = step.run(run, inner)
            return body.run(run, inner)

        return Step(awaits=False, run=bound)

    async def bound_awaiting(run: Run, scope: Scope) -> Any:
        inner = dict(scope)
        for name, step in bindings:
            inner[name] = await step.run(run, inner) if step.awaits else step.run(run, inner)
        return await body(run, inner)

    return Step(awaits=True, run=bound_awaiting)


def _if(node: plan.If) -> Step:
    condition, then, otherwise = _compile(node.condition), _compile(node.then), _compile(node.otherwise)

    async def choose(run: Run, scope: Scope) -> Any:
        holds = satisfies(await condition(run, scope), node.rule)
        return await (then if holds else otherwise)(run, scope)

    return Step(awaits=True, run=choose)


def satisfies(value: Any, rule: plan.Rule) -> bool:
    """Whether *value* (records, one record, None or a row count) keeps *rule*."""
    if rule.type == "never":
        return False
    if rule.type == "affectedRowCountEq":
        return bool(value == rule.count)
    count = len(value) if isinstance(value, list) else 0 if value is None else 1
    return (count == rule.count) == (rule.type == "rowCountEq")


def _validate(node: plan.Validate) -> Step:
    def check(value: Any) -> Any:
        if all(satisfies(value, rule) for rule in node.rules):
            return value
        raise PlanFailedError(node.error, node.context, value)

    return _after(_compile(node.source), check)


def _required(node: plan.Required) -> Step:
    def check(value: Any) -> Any:
        if is_empty(value):
            raise PlanFailedError("MISSING_RECORD", {"operation": "a required value"}, value)
        return value

    return _after(_compile(node.source), check)


# -- records ----------------------------------------------------------------------------------------------------------


def _sum(node: plan.Sum) -> Step:
    return _fold([_compile(term) for term in node.terms], sum)


def _concat(node: plan.Concat) -> Step:
    return _fold(
        [_compile(part) for part in node.parts],
        lambda parts: [item for part in parts for item in records.as_list(part)],
    )


def _unique(node: plan.Unique) -> Step:
    def one(value: Any) -> Any:
        if isinstance(value, list):
            return value[0] if value else None
        return value

    return _after(_compile(node.source), one)


def _reverse(node: plan.Reverse) -> Step:
    return _after(_compile(node.source), lambda value: value[::-1] if isinstance(value, list) else value)


def _map_field(node: plan.MapField) -> Step:
    return _after(_compile(node.source), lambda value: records.map_field(value, node.field))


def _join(node: plan.Join) -> Step:
    parent = _compile(node.parent)
    children = [(child, _compile(child.node)) for child in node.children]

    async def join(run: Run, scope: Scope) -> Any:
        parents = await parent(run, scope)
        if is_empty(parents):
            return parents
        for child, step in children:
            records.attach(
                parents,
                await step(run, scope),
                on=child.on,
                field=child.parent_field,
                is_unique=child.is_unique,
                has_strict_keys=node.has_strict_keys,
            )
        return parents

    return Step(awaits=True, run=join)


def _diff(node: plan.Diff) -> Step:
    both = [_compile(node.source), _compile(node.other)]
    return _fold(both, lambda values: records.difference(values[0], values[1], node.fields))


def _process(node: plan.Process) -> Step:
    operations = node.operations
    return _after_in_scope(
        _compile(node.source),
        lambda value, run, scope: records.process(value, _known(operations, run, scope)),
    )


def _known(operations: plan.Operations, run: Run, scope: Scope) -> records.Ops:
    """Return *operations* with the cursor's values looked up."""
    page = operations.pagination
    cursor = page and page.cursor
    return records.Ops(
        page=page
        and records.Page(
            cursor and {column: evaluate(value, run, scope) for column, value in cursor.items()}, page.take, page.skip
        ),
        distinct=operations.distinct,
        linking_fields=operations.linking_fields,
        is_reversed=operations.is_reversed,
        nested={field: _known(nested, run, scope) for field, nested in operations.nested.items()},
    )


def _data_map(node: plan.DataMap) -> Step:
    """Map rows to fields: right as they are read where the source is a plain query, else in a pass of its own."""
    match node.source:
        case plan.Unique(source):
            return _unique(plan.Unique(plan.DataMap(source, node.shape, node.enums)))
        case plan.Let(bindings, body):
            return _let(plan.Let(bindings, plan.DataMap(body, node.shape, node.enums)))
        case plan.Validate(source, rules, error, context):
            return _validate(plan.Validate(plan.DataMap(source, node.shape, node.enums), rules, error, context))
        case plan.Transaction(body):
            return _transaction(plan.Transaction(plan.DataMap(body, node.shape, node.enums)))
        case plan.Query(template) if _is_flat(node.shape):
            assert isinstance(node.shape, plan.ObjectShape)
            return _fetching(template, read_fields(node.shape, node.enums))
        case source:
            return _after(_compile(source), map_shape(node.shape, node.enums))


def _is_flat(shape: plan.Shape) -> bool:
    return isinstance(shape, plan.ObjectShape) and all(
        isinstance(field, plan.FieldShape) for field in shape.fields.values()
    )


_COMPILERS: Mapping[type, Callable[[Any], Step]] = {
    plan.Value: _value,
    plan.Get: _get,
    plan.FirstNonEmpty: _first_non_empty,
    plan.Unit: _unit,
    plan.Query: _query,
    plan.Execute: _execute,
    plan.Transaction: _transaction,
    plan.Sequence: _sequence,
    plan.Let: _let,
    plan.Sum: _sum,
    plan.Concat: _concat,
    plan.Unique: _unique,
    plan.Required: _required,
    plan.Reverse: _reverse,
    plan.MapField: _map_field,
    plan.Join: _join,
    plan.Diff: _diff,
    plan.Validate: _validate,
    plan.If: _if,
    plan.Process: _process,
    plan.DataMap: _data_map,
}
