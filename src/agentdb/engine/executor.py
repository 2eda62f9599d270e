"""
Runs a plan over a driver: compiles its nodes into steps, ordinary functions where nothing is awaited.

The nodes that send SQL are in `queries`, the functions on records in `records` and `mapping`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agentdb.engine import plan, records
from agentdb.engine.binding import bind_fields, bind_rows
from agentdb.engine.mapping import json_shape, map_shape
from agentdb.engine.queries import compile_execute, compile_query
from agentdb.engine.readers import is_in_row
from agentdb.engine.steps import PlanFailedError, Run, Scope, Step, is_empty, value_reader


def compile_plan(node: plan.Node, *, as_json: bool = False) -> Callable[[Run, Scope], Awaitable[Any]]:
    """
    Compile a plan into the function that runs it.

    Args:
        as_json: Nothing parses the result, so that its values take the form of JSON.
    """
    if as_json and isinstance(node, plan.DataMap):
        node = dataclasses.replace(node, shape=json_shape(node.shape))
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


# -- leaves -----------------------------------------------------------------------------------------------------------


def _value(node: plan.Value) -> Step:
    return Step(awaits=False, run=value_reader(node.value))


def _get(node: plan.Get) -> Step:
    return Step(awaits=False, run=lambda _run, scope: scope[node.name])


def _first_non_empty(node: plan.FirstNonEmpty) -> Step:
    def first(_run: Run, scope: Scope) -> Any:
        return next((scope[name] for name in node.names if not is_empty(scope[name])), [])

    return Step(awaits=False, run=first)


def _unit(_node: plan.Unit) -> Step:
    return Step(awaits=False, run=lambda _run, _scope: None)


def _query(node: plan.Query) -> Step:
    return compile_query(node.template, bind_rows)


def _execute(node: plan.Execute) -> Step:
    return compile_execute(node.template)


# -- control ----------------------------------------------------------------------------------------------------------


def _sequence(node: plan.Sequence) -> Step:
    return _fold([_compile(step) for step in node.steps], lambda values: values[-1] if values else None)


def _transaction(node: plan.Transaction) -> Step:
    body = _compile(node.body)

    async def transact(run: Run, scope: Scope) -> Any:
        if run.is_in_transaction:
            return await body(run, scope)
        async with run.driver.transaction() as transaction:
            return await body(run.inside(transaction), scope)

    return Step(awaits=True, run=transact)


def _let(node: plan.Let) -> Step:
    bindings = [(name, _compile(expression)) for name, expression in node.bindings]
    body = _compile(node.body)

    if not any(step.awaits for _, step in bindings):
        # no coroutine for what does not await: the body's own is handed on
        def bound(run: Run, scope: Scope) -> Any:
            inner = dict(scope)
            for name, step in bindings:
                inner[name] = step.run(run, inner)
            return body.run(run, inner)

        return Step(awaits=body.awaits, run=bound)

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
                await step(run, scope) if records.have_keys(parents, child.on) else [],
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
    known = _operations_reader(node.operations)
    return _after_in_scope(_compile(node.source), lambda value, run, scope: records.process(value, known(run, scope)))


def _operations_reader(operations: plan.Operations) -> Callable[[Run, Scope], records.Ops]:
    """Return the function that tells *operations* with the cursor's values looked up."""
    page = operations.pagination
    cursor = None if page is None or page.cursor is None else {k: value_reader(v) for k, v in page.cursor.items()}
    nested = {field: _operations_reader(inner) for field, inner in operations.nested.items()}

    def read(run: Run, scope: Scope) -> records.Ops:
        start = None if cursor is None else {column: value(run, scope) for column, value in cursor.items()}
        return records.Ops(
            page=None if page is None else records.Page(start, page.take, page.skip),
            distinct=operations.distinct,
            linking_fields=operations.linking_fields,
            is_reversed=operations.is_reversed,
            nested={field: inner(run, scope) for field, inner in nested.items()},
        )

    return read


def _data_map(node: plan.DataMap) -> Step:
    """Map rows to fields: right as they are read where the source is a plain query, else in a pass of its own."""
    shape, enums = node.shape, node.enums
    match _without_detour(node.source):
        case plan.Unique(plan.Query(template)) if isinstance(shape, plan.ObjectShape) and is_in_row(shape):
            return compile_query(template, bind_fields(shape, enums, is_unique=True))
        case plan.Query(template) if isinstance(shape, plan.ObjectShape) and is_in_row(shape):
            return compile_query(template, bind_fields(shape, enums, is_unique=False))
        case plan.Unique(source):
            return _unique(plan.Unique(plan.DataMap(source, shape, enums)))
        case plan.Let(bindings, body):
            return _let(plan.Let(bindings, plan.DataMap(body, shape, enums)))
        case plan.Validate(source, rules, error, context):
            return _validate(plan.Validate(plan.DataMap(source, shape, enums), rules, error, context))
        case plan.Transaction(body):
            return _transaction(plan.Transaction(plan.DataMap(body, shape, enums)))
        case source:
            return _after(_compile(source), map_shape(shape, enums))


def _without_detour(node: plan.Node) -> plan.Node:
    """Return *node*, or the equal of the detour by a name that the compiler takes to validate a record."""
    match node:
        case plan.Let(
            ((name, source),),
            plan.Sequence((plan.Let(((_, plan.Validate(plan.Get(checked)) as check),), plan.Unit()), plan.Get(result))),
        ) if name == checked == result:
            return dataclasses.replace(check, source=source)
        case _:
            return node


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
