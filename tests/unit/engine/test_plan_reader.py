from __future__ import annotations

from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.plan_reader import read_plan, read_value

SQL = {
    "type": "templateSql",
    "fragments": [
        {"type": "stringChunk", "chunk": "SELECT "},
        {"type": "parameter"},
        {"type": "parameterTuple", "itemPrefix": "", "itemSeparator": ",", "itemSuffix": ""},
        {
            "type": "parameterTupleList",
            "itemPrefix": "(",
            "itemSeparator": ",",
            "itemSuffix": ")",
            "groupSeparator": ",",
        },
    ],
    "args": ["1", {"prisma__type": "param", "prisma__value": {"name": "%0", "type": "List"}}, []],
    "argTypes": [
        {"arity": "scalar", "scalarType": "int", "dbType": "INTEGER"},
        {"arity": "list", "scalarType": "int", "dbType": None},
        {"arity": "tuple", "elements": []},
    ],
    "placeholderFormat": {"prefix": "$", "hasNumbering": True},
    "chunkable": True,
}
TEMPLATE = plan.Template(
    fragments=(
        plan.Chunk("SELECT "),
        plan.Parameter(),
        plan.ParameterTuple("", ",", ""),
        plan.ParameterTupleList("(", ",", ")", ","),
    ),
    arguments=("1", plan.Placeholder("%0", "List"), []),
    types=(plan.ArgumentType("int", "INTEGER", is_list=False), plan.ArgumentType("int", None, is_list=True), None),
)
GET = {"type": "get", "args": {"name": "x"}}
RULE = {"type": "rowCountEq", "args": 1}


@pytest.mark.parametrize(
    ("node", "read"),
    [
        ({"type": "value", "args": "x"}, plan.Value("x")),
        (GET, plan.Get("x")),
        ({"type": "getFirstNonEmpty", "args": {"names": ["x", "y"]}}, plan.FirstNonEmpty(("x", "y"))),
        ({"type": "unit"}, plan.Unit()),
        ({"type": "query", "args": SQL}, plan.Query(TEMPLATE)),
        ({"type": "execute", "args": SQL}, plan.Execute(TEMPLATE)),
        ({"type": "transaction", "args": GET}, plan.Transaction(plan.Get("x"))),
        ({"type": "seq", "args": [GET, GET]}, plan.Sequence((plan.Get("x"), plan.Get("x")))),
        ({"type": "sum", "args": [GET]}, plan.Sum((plan.Get("x"),))),
        ({"type": "concat", "args": [GET]}, plan.Concat((plan.Get("x"),))),
        ({"type": "unique", "args": GET}, plan.Unique(plan.Get("x"))),
        ({"type": "required", "args": GET}, plan.Required(plan.Get("x"))),
        ({"type": "reverse", "args": GET}, plan.Reverse(plan.Get("x"))),
        ({"type": "mapField", "args": {"records": GET, "field": "id"}}, plan.MapField(plan.Get("x"), "id")),
        (
            {"type": "let", "args": {"bindings": [{"name": "y", "expr": GET}], "expr": GET}},
            plan.Let((("y", plan.Get("x")),), plan.Get("x")),
        ),
        (
            {
                "type": "join",
                "args": {
                    "parent": GET,
                    "children": [
                        {"child": GET, "on": [["id", "user_id"]], "parentField": "posts", "isRelationUnique": False}
                    ],
                    "canAssumeStrictEquality": True,
                },
            },
            plan.Join(
                plan.Get("x"),
                (plan.JoinChild(plan.Get("x"), (("id", "user_id"),), "posts", is_unique=False),),
                has_strict_keys=True,
            ),
        ),
        (
            {"type": "diff", "args": {"from": GET, "to": GET, "fields": ["id"]}},
            plan.Diff(plan.Get("x"), plan.Get("x"), ("id",)),
        ),
        (
            {
                "type": "validate",
                "args": {"expr": GET, "rules": [RULE], "errorIdentifier": "MISSING_RECORD", "context": {"a": 1}},
            },
            plan.Validate(plan.Get("x"), (plan.Rule("rowCountEq", 1),), "MISSING_RECORD", {"a": 1}),
        ),
        (
            {"type": "if", "args": {"value": GET, "rule": {"type": "never"}, "then": GET, "else": {"type": "unit"}}},
            plan.If(plan.Get("x"), plan.Rule("never", 0), plan.Get("x"), plan.Unit()),
        ),
        (
            {
                "type": "process",
                "args": {
                    "expr": GET,
                    "operations": {
                        "pagination": {"cursor": {"id": "1"}, "take": 2, "skip": None},
                        "distinct": ["name"],
                        "linkingFields": None,
                        "reverse": True,
                        "nested": {
                            "posts": {
                                "pagination": None,
                                "distinct": None,
                                "linkingFields": ["user_id"],
                                "reverse": False,
                                "nested": {},
                            }
                        },
                    },
                },
            },
            plan.Process(
                plan.Get("x"),
                plan.Operations(
                    pagination=plan.Pagination({"id": "1"}, 2, None),
                    distinct=("name",),
                    linking_fields=None,
                    is_reversed=True,
                    nested={
                        "posts": plan.Operations(
                            pagination=None, distinct=None, linking_fields=("user_id",), is_reversed=False, nested={}
                        )
                    },
                ),
            ),
        ),
        (
            {
                "type": "dataMap",
                "args": {
                    "expr": GET,
                    "structure": {
                        "type": "object",
                        "serializedName": None,
                        "skipNulls": False,
                        "fields": {
                            "role": {
                                "type": "field",
                                "dbName": "the_role",
                                "fieldType": {"type": "enum", "name": "Role", "arity": "list"},
                            },
                            "rows": {"type": "affectedRows"},
                        },
                    },
                    "enums": {"Role": {"administrator": "ADMIN"}},
                },
            },
            plan.DataMap(
                plan.Get("x"),
                plan.ObjectShape(
                    {
                        "role": plan.FieldShape("the_role", "enum", is_list=True, enum="Role"),
                        "rows": plan.AffectedRowsShape(),
                    },
                    source=None,
                    skip_nulls=False,
                ),
                {"Role": {"administrator": "ADMIN"}},
            ),
        ),
    ],
)
def test_nodes(node: dict[str, Any], read: plan.Node) -> None:
    """Every node of the compiler has its type."""
    assert read_plan(node) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        ("1", "1"),
        (
            [1, {"prisma__type": "param", "prisma__value": {"name": "x", "type": "Int"}}],
            [1, plan.Placeholder("x", "Int")],
        ),
        (
            {"prisma__type": "generatorCall", "prisma__value": {"name": "cuid", "args": [1]}},
            plan.Generated("cuid", (1,)),
        ),
        ({"$type": "Bytes", "value": "eA=="}, plan.Tagged("Bytes", "eA==")),
        ({"prisma__type": "bytes", "prisma__value": "eA=="}, plan.Tagged("bytes", "eA==")),
    ],
)
def test_values(value: Any, read: Any) -> None:
    """Constants, placeholders and generator calls are told apart, in lists too."""
    assert read_value(value) == read


@pytest.mark.parametrize(
    "node",
    [
        {"type": "conjure", "args": {}},
        {"type": "query", "args": SQL | {"type": "rawSql"}},
        {"type": "query", "args": SQL | {"fragments": [{"type": "riddle"}]}},
        {"type": "dataMap", "args": {"expr": GET, "structure": {"type": "riddle"}, "enums": {}}},
    ],
)
def test_another_release(node: dict[str, Any]) -> None:
    """What is not known is said to be of another release, and not guessed at."""
    with pytest.raises(plan.UnknownPlanError, match="unknown"):
        read_plan(node)
