"""Binding arguments of the generated client to an organization, without a database."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.scope import Scope
from agentdb.client.tenancy import tenancy_facts
from agentdb.engine.schema import parse_schema
from agentdb.errors import ForeignOrganizationError, InvalidInputError

REPOSITORY = Path(__file__).resolve().parents[3]
FACTS = tenancy_facts(parse_schema((REPOSITORY / "prisma" / "schema.prisma").read_text(encoding="utf-8")))
OWN = "org_a"
FOREIGN = "org_b"
SCOPE = Scope(FACTS, OWN)

READS_OF_MANY = ["find_many", "find_first", "find_first_or_raise", "count", "group_by"]
WRITES_OF_MANY = ["update_many", "delete_many"]
CALLS_OF_ONE = ["find_unique", "find_unique_or_raise", "update", "upsert", "delete"]


def key(id_: str, organization: str = OWN) -> dict[str, Any]:
    return {"organizationId_id": {"organizationId": organization, "id": id_}}


def apply(model: str, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Apply, and show on the way that the caller's arguments stay as they were."""
    before = copy.deepcopy(arguments)
    try:
        return SCOPE.apply(model, method, arguments)
    finally:
        assert arguments == before


class TestManyRows:
    """Conditions on many rows: the organization stands beside the caller's."""

    @pytest.mark.parametrize("method", READS_OF_MANY + WRITES_OF_MANY)
    @pytest.mark.parametrize(
        ("where", "bound"),
        [
            (None, {"organizationId": OWN}),
            ({}, {"organizationId": OWN}),
            ({"name": "x"}, {"name": "x", "organizationId": OWN}),
            ({"organizationId": OWN}, {"organizationId": OWN}),
            ({"OR": [{"name": "x"}, {}]}, {"OR": [{"name": "x"}, {}], "organizationId": OWN}),
            ({"NOT": {"name": "x"}}, {"NOT": {"name": "x"}, "organizationId": OWN}),
        ],
    )
    def test_adds_the_organization(self, method: str, where: Any, bound: Any) -> None:
        """Whatever was asked is asked of the own organization only."""
        assert apply("Agent", method, {"where": where})["where"] == bound

    @pytest.mark.parametrize("method", READS_OF_MANY + WRITES_OF_MANY)
    def test_adds_the_organization_when_no_condition_was_given(self, method: str) -> None:
        """A call without `where` is a call on everything; here, on everything that is ours."""
        assert apply("Agent", method, {})["where"] == {"organizationId": OWN}

    @pytest.mark.parametrize("condition", [{"in": []}, {"in": [OWN]}, {"equals": OWN}, {"equals": OWN, "in": ()}, {}])
    def test_keeps_conditions_on_the_own_organization(self, condition: dict[str, Any]) -> None:
        """An empty `in` matches nothing; it must not turn into everything that is ours."""
        assert apply("Agent", "find_many", {"where": {"organizationId": condition, "name": "x"}})["where"] == {
            "AND": [{"organizationId": condition, "name": "x"}],
            "organizationId": OWN,
        }

    def test_completes_a_cursor(self) -> None:
        """A cursor is a key."""
        assert apply("Agent", "find_many", {"cursor": {"id": "x"}})["cursor"] == key("x")

    def test_leaves_everything_else(self) -> None:
        """Order, paging and grouping are not ours to touch."""
        arguments = {"take": 3, "skip": None, "order_by": [{"name": "asc"}], "distinct": ["name"], "by": ["name"]}
        bound = apply("Agent", "find_many", arguments)
        assert {name: bound[name] for name in arguments} == arguments

    def test_lets_groups_be_counted(self) -> None:
        """`having` compares aggregates; a count of organizations tells nothing of another one."""
        having = {"organizationId": {"_count": {"gt": 1}, "_max": {"equals": OWN}}}
        assert apply("Agent", "group_by", {"by": ["name"], "having": having})["having"] == having


class TestOneRow:
    """Keys of single rows are completed."""

    @pytest.mark.parametrize("method", CALLS_OF_ONE)
    @pytest.mark.parametrize(
        ("where", "bound"),
        [
            ({"id": "x"}, key("x")),
            ({"name": "n"}, {"organizationId_name": {"organizationId": OWN, "name": "n"}}),
            ({"id": "x", "name": "n"}, {**key("x"), "name": "n"}),
            ({"id": "x", "organizationId": OWN}, key("x")),
            ({"organizationId_id": {"id": "x"}}, key("x")),
            (key("x"), key("x")),
            ({**key("x"), "name": "n"}, {**key("x"), "name": "n"}),
            ({**key("x"), "organizationId": OWN}, key("x")),
            ({"id": "x", "OR": [{"name": "n"}]}, {**key("x"), "OR": [{"name": "n"}]}),
            (
                {"id": {"in": ["x"]}, "name": "n"},
                {"organizationId_name": {"organizationId": OWN, "name": "n"}, "id": {"in": ["x"]}},
            ),
            ({"id": "x", "organizationId": {"in": []}}, {**key("x"), "organizationId": {"in": []}}),
        ],
    )
    def test_completes_the_key(self, method: str, where: Any, bound: Any) -> None:
        """The id, the name or the compound key; what stands beside it filters."""
        assert apply("Agent", method, {"where": where})["where"] == bound

    @pytest.mark.parametrize(
        "where", [{}, {"id": None}, {"organizationId": OWN}, {"category": "SUPPORT"}, {"id": {"in": ["x"]}}, "x", 3, []]
    )
    def test_leaves_what_is_no_key(self, where: Any) -> None:
        """Prisma says what is wrong with it."""
        assert apply("Agent", "find_unique", {"where": where})["where"] == where


class TestData:
    """Rows that are written."""

    def test_fills_the_column(self) -> None:
        """A row of plain columns gets the organization as one more."""
        assert apply("AgentMemory", "create", {"data": {"agentId": "a", "content": "c"}})["data"] == {
            "agentId": "a",
            "content": "c",
            "organizationId": OWN,
        }

    def test_fills_every_row(self) -> None:
        """All rows of create_many, given as a list or as Prisma's list of one."""
        rows = [{"id": "1"}, {"id": "2", "organizationId": OWN}]
        bound = [{"id": "1", "organizationId": OWN}, {"id": "2", "organizationId": OWN}]
        assert apply("Agent", "create_many", {"data": rows})["data"] == bound
        assert apply("Agent", "create_many", {"data": tuple(rows)})["data"] == bound
        assert apply("Agent", "create_many", {"data": rows[0]})["data"] == bound[0]

    def test_lets_a_relation_bring_the_organization(self) -> None:
        """Prisma takes the column or the relation that holds the foreign key, never both."""
        for column in ({}, {"organizationId": OWN}):
            data = column | {"agent": {"connect": {"id": "a"}}, "content": "c"}
            assert apply("AgentMemory", "create", {"data": data})["data"] == {
                "agent": {"connect": key("a")},
                "content": "c",
            }

    def test_takes_an_empty_relation_for_none(self) -> None:
        """An empty relation input would bring no organization."""
        assert apply("AgentTool", "create", {"data": {"name": "n", "owner": {}}})["data"] == {
            "name": "n",
            "organizationId": OWN,
        }

    def test_fills_a_parent_and_not_a_child(self) -> None:
        """A child takes the organization from the row it is created below; Prisma refuses the column there."""
        data = {
            "agent": {"create": {"name": "n", "memories": {"create": [{"organizationId": OWN, "content": "1"}]}}},
            "supersedes": {"create": {"content": "2", "agent": {"connect": {"id": "a"}}}},
        }
        assert apply("AgentMemory", "create", {"data": data})["data"] == {
            "agent": {"create": {"name": "n", "memories": {"create": [{"content": "1"}]}, "organizationId": OWN}},
            "supersedes": {"create": {"content": "2", "agent": {"connect": key("a")}}},
        }

    def test_drops_the_own_organization_from_an_update(self) -> None:
        """It is no change, and beside a relation Prisma would refuse it."""
        for own in (OWN, {"set": OWN}):
            data = {"organizationId": own, "version": "2"}
            assert apply("Agent", "update", {"where": {"id": "x"}, "data": data})["data"] == {"version": "2"}
            assert apply("Agent", "update_many", {"where": {}, "data": data})["data"] == {"version": "2"}

    def test_binds_both_halves_of_an_upsert(self) -> None:
        """The new row is filled, the changes are cleaned."""
        bound = apply("Agent", "upsert", {"where": {"name": "n"}, "create": {"name": "n"}, "update": {"name": "m"}})
        assert bound["create"] == {"name": "n", "organizationId": OWN}
        assert bound["update"] == {"name": "m"}

    def test_nulls_the_column_of_a_disconnected_row(self) -> None:
        """Prisma would null the organization with it."""
        data = {"parent": {"disconnect": True}, "error": "e"}
        bound = apply("AgentExecution", "update", {"where": {"id": "x"}, "data": data})
        assert bound["data"] == {"parentId": None, "error": "e"}

    def test_leaves_a_disconnect_beside_another_relation(self) -> None:
        """Prisma takes no columns beside a relation that holds a key."""
        data = {"parent": {"disconnect": True}, "agent": {"connect": key("a")}}
        assert apply("AgentExecution", "update", {"where": {"id": "x"}, "data": data})["data"] == data

    @pytest.mark.parametrize(
        "data", [None, "x", 3, True, [3], {"agent": "x"}, {"agent": {"connect": 3}}, {"agent": None}]
    )
    def test_leaves_what_is_malformed(self, data: Any) -> None:
        """Prisma says what is wrong with it."""
        apply("AgentMemory", "create", {"data": data})
        apply("AgentMemory", "update", {"data": data, "where": data})
        apply("AgentMemory", "find_many", {"where": data, "include": data, "cursor": data, "having": data})

    @pytest.mark.parametrize("one", ["connectOrCreate", "connect_or_create"])
    def test_binds_every_nested_write_of_a_list(self, one: str) -> None:
        """Keys are completed, children are cleaned, conditions are left: in lists and alone."""
        child = {"task": "t", "organizationId": OWN}
        writes = {
            "create": [child],
            "createMany": {"data": [child], "skipDuplicates": True},
            one: [{"where": {"id": "1"}, "create": child}],
            "connect": {"id": "2"},
            "set": [{"id": "3"}],
            "disconnect": [{"id": "4"}],
            "delete": {"id": "5", "status": "failed"},
            "update": {"where": {"id": "6"}, "data": {"organizationId": OWN, "error": "e"}},
            "upsert": [{"where": {"id": "7"}, "create": child, "update": {"parent": {"connect": {"id": "8"}}}}],
            "updateMany": [{"where": {"status": "failed"}, "data": {"organizationId": OWN}}],
            "deleteMany": [{"status": "failed", "organizationId": OWN}],
        }
        bound = apply("AgentExecution", "update", {"where": {"id": "x"}, "data": {"children": writes}})
        assert bound["data"]["children"] == {
            "create": [{"task": "t"}],
            "createMany": {"data": [{"task": "t"}], "skipDuplicates": True},
            one: [{"where": key("1"), "create": {"task": "t"}}],
            "connect": key("2"),
            "set": [key("3")],
            "disconnect": [key("4")],
            "delete": {**key("5"), "status": "failed"},
            "update": {"where": key("6"), "data": {"error": "e"}},
            "upsert": [{"where": key("7"), "create": {"task": "t"}, "update": {"parent": {"connect": key("8")}}}],
            "updateMany": [{"where": {"status": "failed"}, "data": {}}],
            "deleteMany": [{"status": "failed", "organizationId": OWN}],
        }

    def test_binds_every_nested_write_of_a_single_row(self) -> None:
        """A single related row needs no key where Prisma asks for none."""
        for writes, bound in [
            ({"create": {"name": "n"}}, {"create": {"name": "n", "organizationId": OWN}}),
            (
                {"connect_or_create": {"where": {"name": "n"}, "create": {"name": "n"}}},
                {
                    "connect_or_create": {
                        "where": {"organizationId_name": {"organizationId": OWN, "name": "n"}},
                        "create": {"name": "n", "organizationId": OWN},
                    }
                },
            ),
            ({"update": {"organizationId": OWN, "name": "n"}}, {"update": {"name": "n"}}),
            (
                {"update": {"where": {"name": "o"}, "data": {"organizationId": OWN, "name": "n"}}},
                {"update": {"where": {"name": "o"}, "data": {"name": "n"}}},
            ),
            (
                {"upsert": {"create": {"name": "n"}, "update": {"organizationId": OWN}, "where": {"name": "o"}}},
                {"upsert": {"create": {"name": "n", "organizationId": OWN}, "update": {}, "where": {"name": "o"}}},
            ),
            ({"delete": True}, {"delete": True}),
            ({"delete": {"name": "n"}}, {"delete": {"name": "n"}}),
            ({"disconnect": {"name": "n"}}, {"disconnect": {"name": "n"}}),
        ]:
            data = {"owner": writes}
            assert apply("AgentTool", "update", {"where": {"id": "x"}, "data": data})["data"] == {"owner": bound}


class TestInclude:
    """Included rows are related rows: the key they hang on carries the organization."""

    def test_adds_nothing_but_completes_cursors(self) -> None:
        """Conditions stay as they are, at any depth."""
        include = {
            "agent": {"include": {"memories": {"where": {"OR": [{}, {"content": "c"}]}, "cursor": {"id": "m"}}}},
            "supersedes": True,
        }
        bound = apply("AgentMemory", "find_unique", {"where": {"id": "x"}, "include": include})
        assert bound["include"] == {
            "agent": {
                "include": {
                    "memories": {"where": {"OR": [{}, {"content": "c"}]}, "cursor": key("m")},
                }
            },
            "supersedes": True,
        }


# Every way to name an organization, with ? where it stands. A value in data is marked by @, as it may be no condition.
NAMED_IN_CONDITIONS: list[dict[str, Any]] = [
    {"organizationId": "?"},
    {"organizationId": {"equals": "?"}},
    {"organizationId": {"in": [OWN, "?"]}},
    {"organizationId": {"in": ("?",)}},
    {"name": "x", "organizationId": "?"},
    {"AND": {"organizationId": "?"}},
    {"AND": [{"name": "x"}, {"organizationId": "?"}]},
    {"OR": [{"organizationId": OWN}, {"organizationId": "?"}]},
    {"NOT": {"organizationId": "?"}},
    {"NOT": [{"AND": ({"OR": [{"organizationId": "?"}]},)}]},
    {"memories": {"some": {"organizationId": "?"}}},
    {"memories": {"every": {"organizationId": "?"}}},
    {"memories": {"none": {"agent": {"is": {"organizationId": "?"}}}}},
    {"memories": {"some": {"supersededBy": {"is_not": {"organizationId": "?"}}}}},
    {"memories": {"some": {"supersededBy": {"isNot": {"OR": [{"organizationId": "?"}]}}}}},
    {"memories": {"some": {"agent": {"organizationId": "?"}}}},
]
NEVER_ASKED = [
    {"not": "?"},
    {"not": {"equals": "?"}},
    {"not_in": ["?"]},
    {"notIn": ["?"]},
    {"lt": "?"},
    {"gte": "?"},
    {"contains": "?"},
    {"startswith": "?"},
    {"startsWith": ""},
    {"endswith": "?"},
    {"search": "?"},
    {"equals": "?", "mode": "insensitive"},
    {"in": "?"},
    {"in": {"$type": "Param"}},
    {"$type": "Param", "value": {"name": "%0", "type": "String"}},
]
NAMED_IN_KEYS: list[dict[str, Any]] = [
    {"organizationId": "?", "id": "x"},
    {"organizationId_id": {"organizationId": "?", "id": "x"}},
    {"organizationId_id": {"organizationId": OWN, "id": "x"}, "organizationId": "?"},
    {"organizationId_id": {"organizationId": OWN, "id": "x"}, "OR": [{"organizationId": "?"}]},
    {"organizationId": "?"},
    {"id": "x", "AND": [{"organizationId": {"in": ["?"]}}]},
]
NAMED_IN_NEW_ROWS: list[dict[str, Any]] = [
    {"organizationId": "?"},
    {"name": "n", "memories": {"create": {"organizationId": "?"}}},
    {"memories": {"create": [{"content": "c"}, {"organizationId": "?"}]}},
    {"memories": {"createMany": {"data": [{"organizationId": "?"}]}}},
    {"memories": {"create_many": {"data": {"organizationId": "?"}}}},
    {"memories": {"connect": {"organizationId_id": {"organizationId": "?", "id": "x"}}}},
    {"memories": {"connect": [{"id": "x"}, {"id": "y", "organizationId": "?"}]}},
    {"memories": {"connect_or_create": {"where": {"id": "x", "organizationId": "?"}, "create": {}}}},
    {"memories": {"connectOrCreate": [{"where": {"id": "x"}, "create": {"organizationId": "?"}}]}},
    {"memories": {"create": {"agent": {"create": {"organizationId": "?"}}}}},
    {"memories": {"create": {"supersededBy": {"connect": {"id": "x", "organizationId": "?"}}}}},
]
NAMED_IN_CHANGES: list[dict[str, Any]] = [
    *NAMED_IN_NEW_ROWS,
    {"organizationId": {"set": "?"}},
    {"memories": {"set": [{"id": "x", "organizationId": "?"}]}},
    {"memories": {"disconnect": [{"organizationId_id": {"organizationId": "?", "id": "x"}}]}},
    {"memories": {"delete": {"id": "x", "organizationId": "?"}}},
    {"memories": {"update": {"where": {"id": "x", "organizationId": "?"}, "data": {}}}},
    {"memories": {"update": [{"where": {"id": "x"}, "data": {"organizationId": "?"}}]}},
    {"memories": {"update": [{"where": {"id": "x"}, "data": {"agent": {"update": {"organizationId": "?"}}}}]}},
    {
        "memories": {
            "update": {"where": {"id": "x"}, "data": {"agent": {"update": {"data": {"organizationId": "?"}}}}},
        }
    },
    {
        "memories": {
            "update": {
                "where": {"id": "x"},
                "data": {"agent": {"update": {"where": {"organizationId": "?"}, "data": {}}}},
            },
        }
    },
    {"memories": {"upsert": {"where": {"id": "x", "organizationId": "?"}, "create": {}, "update": {}}}},
    {"memories": {"upsert": [{"where": {"id": "x"}, "create": {"organizationId": "?"}, "update": {}}]}},
    {"memories": {"upsert": {"where": {"id": "x"}, "create": {}, "update": {"organizationId": {"set": "?"}}}}},
    {"memories": {"updateMany": {"where": {"organizationId": "?"}, "data": {}}}},
    {"memories": {"updateMany": [{"where": {}, "data": {"organizationId": "?"}}]}},
    {"memories": {"update_many": [{"where": {"OR": [{"organizationId": "?"}]}, "data": {}}]}},
    {"memories": {"deleteMany": [{"organizationId": "?"}]}},
    {"memories": {"delete_many": {"NOT": {"organizationId": "?"}}}},
    {"ownedTools": {"update": {"where": {"id": "x"}, "data": {"owner": {"disconnect": {"organizationId": "?"}}}}}},
    {"ownedTools": {"update": {"where": {"id": "x"}, "data": {"owner": {"delete": {"organizationId": "?"}}}}}},
]
NAMED_IN_INCLUDES: list[dict[str, Any]] = [
    *({"memories": {"where": {"agent": {"is": where}}}} for where in NAMED_IN_CONDITIONS),
    *({"memories": {"cursor": where}} for where in NAMED_IN_KEYS),
    {"memories": {"include": {"agent": {"include": {"metrics": {"where": {"organizationId": "?"}}}}}}},
]


def calls() -> list[Any]:
    """Return (method, arguments) for every place where a call can name an organization."""
    found: list[tuple[str, dict[str, Any]]] = []
    for where in NAMED_IN_CONDITIONS:
        found += [(method, {"where": where}) for method in READS_OF_MANY + WRITES_OF_MANY]
        found += [(method, {"where": {"id": "x", **where}}) for method in CALLS_OF_ONE]
    for where in NAMED_IN_KEYS:
        found += [(method, {"where": where}) for method in CALLS_OF_ONE]
        found += [(method, {"cursor": where}) for method in READS_OF_MANY]
    for include in NAMED_IN_INCLUDES:
        found += [(method, {"include": include}) for method in ("find_many", "find_first", "find_first_or_raise")]
        found += [(method, {"where": {"id": "x"}, "include": include}) for method in CALLS_OF_ONE]
        found += [("create", {"data": {}, "include": include})]
    for data in NAMED_IN_NEW_ROWS:
        found += [("create", {"data": data}), ("create_many", {"data": [{}, data]})]
        found += [("upsert", {"where": {"id": "x"}, "create": data, "update": {}})]
    for data in NAMED_IN_CHANGES:
        found += [("update", {"where": {"id": "x"}, "data": data}), ("update_many", {"where": {}, "data": data})]
        found += [("upsert", {"where": {"id": "x"}, "create": {}, "update": data})]
    for having in ({"organizationId": "?"}, {"OR": [{"organizationId": {"_max": {"equals": "?"}}}]}):
        found += [("group_by", {"by": ["name"], "having": having})]
    return [pytest.param(method, arguments, id=f"{method}-{arguments}"[:120]) for method, arguments in found]


def named(value: Any, organization: Any) -> Any:
    """Return *value* with *organization* wherever ? stands."""
    if isinstance(value, dict):
        return {name: named(part, organization) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(named(part, organization) for part in value)
    return organization if isinstance(value, str) and value == "?" else value


class TestForeignOrganization:
    """Another organization is refused wherever it is named."""

    @pytest.mark.parametrize(("method", "arguments"), calls())
    def test_is_refused_anywhere(self, method: str, arguments: dict[str, Any]) -> None:
        """In reads too; the own one may be named in the same places."""
        with pytest.raises(ForeignOrganizationError) as caught:
            apply("Agent", method, named(arguments, FOREIGN))
        assert FOREIGN not in str(caught.value)
        apply("Agent", method, named(arguments, OWN))

    @pytest.mark.parametrize("condition", NEVER_ASKED)
    @pytest.mark.parametrize("organization", [OWN, FOREIGN])
    def test_is_never_asked_about(self, condition: Any, organization: str) -> None:
        """Only equality can be said of the organization; the error tells so."""
        for where in (
            {"organizationId": named(condition, organization)},
            {"NOT": [{"organizationId": named(condition, organization)}]},
            {"memories": {"some": {"organizationId": named(condition, organization)}}},
        ):
            with pytest.raises(ForeignOrganizationError):
                apply("Agent", "find_many", {"where": where})

    @pytest.mark.parametrize(
        "value", [None, "", "ORG_A", "org_a ", "org_a\u0000", 1, True, b"org_a", ["org_a"], {"set": FOREIGN}]
    )
    def test_is_anything_but_the_own_one(self, value: Any) -> None:
        """Case, white space and types are not smoothed over."""
        with pytest.raises(ForeignOrganizationError):
            apply("Agent", "create", {"data": {"organizationId": value}})
        with pytest.raises(ForeignOrganizationError):
            apply("Agent", "update", {"where": {"id": "x"}, "data": {"organizationId": value}})
        with pytest.raises(ForeignOrganizationError):
            apply("Agent", "find_many", {"where": {"organizationId": value}})
        with pytest.raises(ForeignOrganizationError):
            apply("Agent", "find_unique", {"where": {"organizationId_id": {"organizationId": value, "id": "x"}}})

    def test_may_be_an_enum_or_stand_in_a_read_only_mapping(self) -> None:
        """What compares equal as text is equal; other kinds of mapping are searched as well."""

        class Organization(StrEnum):
            OWN = "org_a"
            FOREIGN = "org_b"

        class Liar(str):
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = str.__hash__

        where: Mapping[str, Any] = MappingProxyType(
            {"OR": [MappingProxyType({"organizationId": Organization.FOREIGN})]}
        )
        with pytest.raises(ForeignOrganizationError):
            SCOPE.apply("Agent", "find_many", {"where": where})
        with pytest.raises(ForeignOrganizationError):
            SCOPE.apply("Agent", "find_many", {"where": {"organizationId": Liar(FOREIGN)}})
        bound = SCOPE.apply("Agent", "find_many", {"where": {"organizationId": Organization.OWN}})
        assert type(bound["where"]["organizationId"]) is str

    def test_may_stand_in_contents(self) -> None:
        """A JSON value is the caller's own, whatever its keys are called."""
        data = {"metadata": {"organizationId": FOREIGN}, "description": FOREIGN, "capabilities": [FOREIGN]}
        assert apply("Agent", "create", {"data": data})["data"] == {**data, "organizationId": OWN}
        where = {"metadata": {"equals": {"organizationId": FOREIGN}}}
        assert apply("Agent", "find_many", {"where": where})["where"] == {**where, "organizationId": OWN}


class TestCalls:
    """Which calls are bound."""

    @pytest.mark.parametrize("method", ["query_raw", "query_first", "execute_raw"])
    def test_leaves_raw_sql(self, method: str) -> None:
        """SQL cannot be rewritten; row-level security guards it."""
        arguments = {"query": "SELECT 1", "parameters": (FOREIGN,)}
        assert apply("", method, arguments) == arguments

    @pytest.mark.parametrize(("model", "method"), [("Agent", "truncate"), ("Nothing", "find_many"), ("", "find_many")])
    def test_refuses_what_it_does_not_know(self, model: str, method: str) -> None:
        """A method that Prisma may add one day is not sent unbound."""
        with pytest.raises(InvalidInputError):
            apply(model, method, {})


# --- properties -----------------------------------------------------------------------------------------------------

ORGANIZATIONS = (OWN, FOREIGN)
NAMED = st.sampled_from((OWN, OWN, OWN, FOREIGN))
NAMES = ("x", "y")
# A tiny world: agents and memories of two organizations with the same ids and names.
WORLD: dict[str, list[dict[str, Any]]] = {
    "Agent": [{"organizationId": o, "id": i, "name": n} for o in ORGANIZATIONS for i, n in (("1", "x"), ("2", "y"))],
    "AgentMemory": [
        {"organizationId": o, "id": i, "agentId": a, "supersededById": s, "content": c}
        for o in ORGANIZATIONS
        for i, a, s, c in (("5", "1", None, "x"), ("6", "1", "5", "y"), ("7", "2", "6", "x"))
    ],
}
TEXT = {"Agent": ("id", "name"), "AgentMemory": ("id", "agentId", "content")}


def related(model: str, row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the rows that a relation of *row* leads to."""
    holder, column = {
        "memories": ("AgentMemory", "agentId"),
        "supersedes": ("AgentMemory", "supersededById"),
        "agent": ("Agent", "agentId"),
        "supersededBy": ("AgentMemory", "supersededById"),
    }[name]
    rows = [other for other in WORLD[holder] if other["organizationId"] == row["organizationId"]]
    if name in ("memories", "supersedes"):
        return [other for other in rows if other[column] == row["id"]]
    return [other for other in rows if other["id"] == row[column]]


def matches(model: str, row: dict[str, Any], where: dict[str, Any]) -> bool:
    """Evaluate *where* as Prisma does."""
    return all(_holds(model, row, name, condition) for name, condition in where.items())


def _holds(model: str, row: dict[str, Any], name: str, condition: Any) -> bool:
    conditions = condition if isinstance(condition, list) else [condition]
    match name:
        case "AND":
            return all(matches(model, row, one) for one in conditions)
        case "OR":
            return any(matches(model, row, one) for one in conditions)
        case "NOT":
            return not any(matches(model, row, one) for one in conditions)
    if name in row:
        tests = condition if isinstance(condition, dict) else {"equals": condition}
        return all(row[name] in operand if test == "in" else row[name] == operand for test, operand in tests.items())
    target = {"memories": "AgentMemory", "supersedes": "AgentMemory", "supersededBy": "AgentMemory", "agent": "Agent"}[
        name
    ]
    found = related(model, row, name)
    for quantifier, inner in condition.items():
        hits = [matches(target, other, inner) for other in found]
        holds = {"some": any(hits), "none": not any(hits), "every": all(hits), "is": any(hits), "is_not": not any(hits)}
        if not holds[quantifier]:
            return False
    return True


@cache
def wheres(model: str, depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of conditions on *model*."""

    def condition(values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
        lists = st.lists(values, max_size=2)
        return st.one_of(values, st.builds(dict, equals=values), lists.map(lambda found: {"in": found}))

    parts: dict[str, st.SearchStrategy[Any]] = {"organizationId": condition(NAMED)}
    parts |= {name: condition(st.sampled_from(("1", "2", "5", "6", "x", "y"))) for name in TEXT[model]}
    if depth:
        same = wheres(model, depth - 1)
        memories = wheres("AgentMemory", depth - 1)
        parts |= {"AND": same | st.lists(same, max_size=2), "OR": st.lists(same, max_size=2)}
        parts |= {"NOT": same | st.lists(same, max_size=2)}
        lists = st.dictionaries(st.sampled_from(("some", "none", "every")), memories, max_size=2)
        if model == "Agent":
            parts |= {"memories": lists}
        else:
            single = st.sampled_from(("is", "is_not"))
            parts |= {"supersedes": lists, "supersededBy": st.dictionaries(single, memories, max_size=1)}
            parts |= {"agent": st.dictionaries(single, wheres("Agent", depth - 1), max_size=1)}
    return st.fixed_dictionaries({}, optional=parts)


def names_foreign(value: Any) -> bool:
    """Tell whether FOREIGN stands anywhere in *value*."""
    if isinstance(value, dict):
        return any(names_foreign(part) for part in value.values())
    if isinstance(value, list):
        return any(names_foreign(part) for part in value)
    return bool(value == FOREIGN)


@given(model=st.sampled_from(("Agent", "AgentMemory")), data=st.data())
def test_conditions_keep_their_meaning_within_the_organization(model: str, data: st.DataObject) -> None:
    """Of any conditions, exactly the own rows among those that match remain; a foreign organization is refused."""
    where = data.draw(wheres(model))
    before = copy.deepcopy(where)
    try:
        bound = SCOPE.apply(model, "find_many", {"where": where})["where"]
    except ForeignOrganizationError:
        assert names_foreign(where)
        return
    assert not names_foreign(where)
    assert where == before
    asked = [row for row in WORLD[model] if matches(model, row, where)]
    found = [row for row in WORLD[model] if matches(model, row, bound)]
    assert found == [row for row in asked if row["organizationId"] == OWN]


@cache
def rows(model: str, *, new: bool, depth: int = 2) -> st.SearchStrategy[Any]:
    """Return a strategy of data for *model*, of a new row or of changes, with writes nested in it."""
    parts: dict[str, st.SearchStrategy[Any]] = {"organizationId": NAMED}
    parts |= {name: st.sampled_from(NAMES) for name in TEXT[model] if name != "agentId"}
    if depth:
        for name, relation in FACTS[model].relations.items():
            target = next(other for other, facts in FACTS.items() if facts is relation.target)
            if target in TEXT:
                parts[name] = nested(target, depth - 1, new=new, several=relation.is_list)
    return st.fixed_dictionaries({}, optional=parts)


@cache
def keys() -> st.SearchStrategy[Any]:
    """Return a strategy of keys of single rows."""
    compound = st.fixed_dictionaries({"id": st.sampled_from(NAMES)}, optional={"organizationId": NAMED})
    return st.one_of(compound, st.builds(lambda found: {"organizationId_id": found}, compound))


@cache
def nested(model: str, depth: int, *, new: bool, several: bool) -> st.SearchStrategy[Any]:
    """Return a strategy of the writes below a relation to *model*."""
    fresh, changed = (
        rows(model, new=True, depth=depth),
        rows(model, new=False, depth=depth),
    )
    one_key, where = keys(), wheres(model, 1)
    parts: dict[str, st.SearchStrategy[Any]] = {
        "create": fresh,
        "connect": one_key,
        "connect_or_create": st.fixed_dictionaries({"where": one_key, "create": fresh}),
    }
    if several:
        parts |= {"createMany": st.fixed_dictionaries({"data": st.lists(fresh, max_size=2)})}
    if not new:
        picked = one_key if several else where
        parts |= {"update": st.fixed_dictionaries({"where": picked, "data": changed}), "delete": picked}
        parts |= {"upsert": st.fixed_dictionaries({"where": picked, "create": fresh, "update": changed})}
        parts |= {"disconnect": picked}
        if several:
            parts |= {"set": st.lists(one_key, max_size=2), "deleteMany": st.lists(where, max_size=2)}
            parts |= {"updateMany": st.fixed_dictionaries({"where": where, "data": changed})}
    return st.fixed_dictionaries({}, optional=parts)


@given(model=st.sampled_from(("Agent", "AgentMemory")), new=st.booleans(), data=st.data())
def test_data_stays_within_the_organization(model: str, new: bool, data: st.DataObject) -> None:
    """Any data is bound or refused, bound once and for all, and without touching what the caller gave."""
    given_data = data.draw(rows(model, new=new))
    call = {"data": given_data} if new else {"where": {"id": "x"}, "data": given_data}
    method = "create" if new else "update"
    before = copy.deepcopy(call)
    try:
        bound = SCOPE.apply(model, method, call)
    except ForeignOrganizationError:
        assert names_foreign(given_data)
        return
    finally:
        assert call == before
    assert not names_foreign(bound)
    assert not names_foreign(given_data)
    assert SCOPE.apply(model, method, bound) == bound
