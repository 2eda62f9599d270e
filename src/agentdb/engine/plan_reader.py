"""Reads the compiler's answer, plain dictionaries, into the types of `plan`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentdb.engine import plan


def read_plan(node: Mapping[str, Any]) -> plan.Node:
    """
    Read the compiler's answer.

    Raises:
        UnknownPlanError: A node, fragment or shape of another compiler release.
    """
    read = _NODES.get(node["type"])
    if read is None:
        raise plan.UnknownPlanError(f"The query compiler answered an unknown plan node {node['type']!r}.")
    return read(node.get("args"))


def read_value(value: Any) -> plan.PlanValue:
    """Read a value: a constant, a placeholder or a generator call."""
    if isinstance(value, list):
        return [read_value(item) for item in value]
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    inner: Any = value.get("prisma__value")
    match value.get("prisma__type"):
        case "param":
            return plan.Placeholder(inner["name"], inner["type"])
        case "generatorCall":
            return plan.Generated(inner["name"], tuple(map(read_value, inner["args"])))
        case None if "$type" in value:
            return plan.Tagged(value["$type"], value["value"])
        case kind:
            return plan.Tagged(str(kind), inner)


def _nodes(items: list[Mapping[str, Any]]) -> tuple[plan.Node, ...]:
    return tuple(map(read_plan, items))


def _template(args: Mapping[str, Any]) -> plan.Template:
    if args["type"] != "templateSql":
        raise plan.UnknownPlanError(f"The query compiler answered an unknown statement {args['type']!r}.")
    return plan.Template(
        tuple(map(_fragment, args["fragments"])),
        tuple(map(read_value, args["args"])),
        tuple(map(_argument_type, args["argTypes"])),
    )


def _fragment(fragment: Mapping[str, Any]) -> plan.Fragment:
    match fragment["type"]:
        case "stringChunk":
            return plan.Chunk(fragment["chunk"])
        case "parameter":
            return plan.Parameter()
        case "parameterTuple":
            return plan.ParameterTuple(fragment["itemPrefix"], fragment["itemSeparator"], fragment["itemSuffix"])
        case "parameterTupleList":
            return plan.ParameterTupleList(
                fragment["itemPrefix"],
                fragment["itemSeparator"],
                fragment["itemSuffix"],
                fragment["groupSeparator"],
            )
        case kind:
            raise plan.UnknownPlanError(f"The query compiler answered an unknown SQL fragment {kind!r}.")


def _argument_type(argument: Mapping[str, Any]) -> plan.ArgumentType | None:
    if argument["arity"] == "tuple":
        return None
    return plan.ArgumentType(argument["scalarType"], argument["dbType"], argument["arity"] == "list")


def _shape(shape: Mapping[str, Any]) -> plan.Shape:
    match shape["type"]:
        case "object":
            fields = {name: _shape(field) for name, field in shape["fields"].items()}
            return plan.ObjectShape(fields, shape["serializedName"], shape["skipNulls"])
        case "field":
            field = shape["fieldType"]
            return plan.FieldShape(shape["dbName"], field["type"], field["arity"] == "list", field.get("name"))
        case "affectedRows":
            return plan.AffectedRowsShape()
        case kind:
            raise plan.UnknownPlanError(f"The query compiler answered an unknown result shape {kind!r}.")


def _rule(rule: Mapping[str, Any]) -> plan.Rule:
    return plan.Rule(rule["type"], rule.get("args", 0))


def _operations(operations: Mapping[str, Any]) -> plan.Operations:
    page = operations["pagination"]
    cursor = page and page["cursor"]
    return plan.Operations(
        pagination=page
        and plan.Pagination(
            cursor and {column: read_value(value) for column, value in cursor.items()}, page["take"], page["skip"]
        ),
        distinct=None if operations["distinct"] is None else tuple(operations["distinct"]),
        linking_fields=None if operations["linkingFields"] is None else tuple(operations["linkingFields"]),
        is_reversed=operations["reverse"],
        nested={key: _operations(nested) for key, nested in operations["nested"].items()},
    )


def _join_child(child: Mapping[str, Any]) -> plan.JoinChild:
    on = tuple((parent, own) for parent, own in child["on"])
    return plan.JoinChild(read_plan(child["child"]), on, child["parentField"], child["isRelationUnique"])


_NODES: Mapping[str, Callable[[Any], plan.Node]] = {
    "value": lambda args: plan.Value(read_value(args)),
    "get": lambda args: plan.Get(args["name"]),
    "getFirstNonEmpty": lambda args: plan.FirstNonEmpty(tuple(args["names"])),
    "unit": lambda _: plan.Unit(),
    "query": lambda args: plan.Query(_template(args)),
    "execute": lambda args: plan.Execute(_template(args)),
    "transaction": lambda args: plan.Transaction(read_plan(args)),
    "seq": lambda args: plan.Sequence(_nodes(args)),
    "let": lambda args: plan.Let(
        tuple((binding["name"], read_plan(binding["expr"])) for binding in args["bindings"]), read_plan(args["expr"])
    ),
    "sum": lambda args: plan.Sum(_nodes(args)),
    "concat": lambda args: plan.Concat(_nodes(args)),
    "unique": lambda args: plan.Unique(read_plan(args)),
    "required": lambda args: plan.Required(read_plan(args)),
    "reverse": lambda args: plan.Reverse(read_plan(args)),
    "mapField": lambda args: plan.MapField(read_plan(args["records"]), args["field"]),
    "join": lambda args: plan.Join(
        read_plan(args["parent"]), tuple(map(_join_child, args["children"])), args["canAssumeStrictEquality"]
    ),
    "diff": lambda args: plan.Diff(read_plan(args["from"]), read_plan(args["to"]), tuple(args["fields"])),
    "validate": lambda args: plan.Validate(
        read_plan(args["expr"]), tuple(map(_rule, args["rules"])), args["errorIdentifier"], args["context"]
    ),
    "if": lambda args: plan.If(
        read_plan(args["value"]), _rule(args["rule"]), read_plan(args["then"]), read_plan(args["else"])
    ),
    "process": lambda args: plan.Process(read_plan(args["expr"]), _operations(args["operations"])),
    "dataMap": lambda args: plan.DataMap(read_plan(args["expr"]), _shape(args["structure"]), args["enums"]),
}
