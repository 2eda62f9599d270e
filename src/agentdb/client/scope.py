"""
Binds every call of the generated Prisma client to one organization: the first of the two walls.

`Scope.apply` takes the arguments of a call and returns new ones that cannot leave the organization. A call that names
another organization anywhere is refused, reads included. Nothing here knows a model by name: the rules follow from the
facts of `tenancy.py`, which refuses a datamodel for which they would not hold.

Where the organization goes:

- `where` of a read, of update_many and of delete_many: beside the caller's conditions, so that no OR can widen them.
- `where` of a single row, `cursor`, `connect` and their like: `{"id": x}` becomes the compound key
  `{"organizationId_id": {"organizationId": own, "id": x}}`; what stands beside it stays as a filter.
- `data` of a row: the plain column, unless a relation that holds the foreign key already brings it, or the row is
  created below its parent; there Prisma refuses the column, so the caller's own, equal, one is dropped.
- Relations (`include`, `some`, `every`, `is`, nested writes): nothing is added. Every foreign key carries the
  organization, so a row can only be related to rows of its own organization, and a second comparison would be paid for
  on every row; conditions below are searched for foreign organizations like all others.

Raw SQL cannot be rewritten: row-level security alone guards it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentdb.client.tenancy import ORGANIZATION_FIELD, ModelFacts, TenancyFacts
from agentdb.errors import ForeignOrganizationError, InvalidInputError

__all__ = ["Scope"]

_RAW_METHODS = frozenset({"query_raw", "query_first", "execute_raw"})
# What the generated client takes for a list. Anything else it cannot serialise, so it may pass through unread.
_LISTS = (list, tuple, set, frozenset)


class Scope:
    """
    The one place that binds an organization.

    Args:
        facts: Of the datamodel the calls are for; shared by all scopes.
        organization_id: The organization, already checked to be a valid one.
    """

    __slots__ = ("_facts", "_own")

    def __init__(self, facts: TenancyFacts, organization_id: str) -> None:
        self._facts = facts
        self._own = organization_id

    def apply(self, model: str, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return *arguments* bound to the organization; the caller's own are left as they are.

        Arguments that Prisma would refuse pass through, so that its own errors tell what is wrong with them.

        Args:
            model: The model's name in the schema; of no matter to raw queries.
            method: What the generated client calls it, such as `find_many`.

        Raises:
            ForeignOrganizationError: *arguments* name another organization, or compare the organization in any other
                way than for equality.
            InvalidInputError: *model* or *method* is unknown.
        """
        bound = dict(arguments)
        if method in _RAW_METHODS:
            return bound
        facts, rules = self._facts.get(model), _RULES.get(method)
        if facts is None or rules is None:
            raise InvalidInputError("method", f"there is no {method} of {model} that could be bound to an organization")
        for name, rule in rules:
            value = bound.get(name)
            if value is not None or rule is _BIND_WHERE:
                bound[name] = rule(self, facts, value)
        return bound

    # The rest are rules: (facts of the model it is about, value) -> bound value.

    def _where(self, facts: ModelFacts, where: Any) -> Any:
        """Add the organization to the conditions on many rows."""
        if where is None:
            return {ORGANIZATION_FIELD: self._own}
        if not isinstance(where, Mapping):
            return where
        self._check(facts, where)
        if isinstance(where.get(ORGANIZATION_FIELD), Mapping):
            return {"AND": [dict(where)], ORGANIZATION_FIELD: self._own}
        return {**where, ORGANIZATION_FIELD: self._own}

    def _check(self, facts: ModelFacts, where: Any) -> Any:
        """Refuse a foreign organization in conditions that need nothing added."""
        if isinstance(where, Mapping):
            for key, value in where.items():
                target = facts.below.get(key)
                if target is not None:
                    _CHECK_EACH(self, target, value)
                elif key == ORGANIZATION_FIELD:
                    self._check_filter(value)
        return where

    def _check_filter(self, value: Any) -> None:
        """Refuse any condition on the organization but equality with the own one."""
        if not isinstance(value, Mapping):
            self._require_own(value)
            return
        for operator, operand in value.items():
            if operator == "equals":
                self._require_own(operand)
            elif operator == "in" and isinstance(operand, _LISTS):
                for one in operand:
                    self._require_own(one)
            elif operator in ("_min", "_max"):
                self._check_filter(operand)
            elif operator != "_count":
                raise ForeignOrganizationError(
                    ORGANIZATION_FIELD,
                    "only equality with this client's own organization can be asked for (a value, equals or in); "
                    "leave the condition out, or use client.for_organization(id) to work in another organization.",
                )

    def _require_own(self, value: Any) -> None:
        # str's own comparison: a subclass of str cannot claim to be equal
        if not (isinstance(value, str) and str.__eq__(value, self._own)):
            raise ForeignOrganizationError(ORGANIZATION_FIELD)

    def _unique(self, facts: ModelFacts, where: Any) -> Any:
        """Complete the key of a single row."""
        if not isinstance(where, Mapping):
            return where
        bound: dict[str, Any] = {}
        rest = dict(where)
        for name in facts.keys:
            if name in rest:
                bound[name] = self._compound(rest.pop(name))
        if not bound:
            for name, fields in facts.keys.items():
                if all(_is_plain(rest.get(part)) for part in fields):
                    bound[name] = {ORGANIZATION_FIELD: self._own} | {part: rest.pop(part) for part in fields}
                    break
        if rest:
            self._check(facts, rest)
            if bound and isinstance(rest.get(ORGANIZATION_FIELD), str):
                del rest[ORGANIZATION_FIELD]  # the key says it already
            bound |= rest
        return bound

    def _compound(self, key: Any) -> Any:
        if not isinstance(key, Mapping):
            return key
        if ORGANIZATION_FIELD in key:
            self._require_own(key[ORGANIZATION_FIELD])
        return {ORGANIZATION_FIELD: self._own} | {
            name: part for name, part in key.items() if name != ORGANIZATION_FIELD
        }

    def _include(self, facts: ModelFacts, include: Any) -> Any:
        if not isinstance(include, Mapping):
            return include
        bound = dict(include)
        for name, arguments in include.items():
            relation = facts.relations.get(name)
            if relation is not None and isinstance(arguments, Mapping):
                bound[name] = self._parts(relation.target, arguments, _INCLUDED)
        return bound

    def _parts(self, facts: ModelFacts, value: Any, rules: _Rules) -> Any:
        """Apply to each part of a mapping the rule for its key."""
        if not isinstance(value, Mapping):
            return value
        return {name: rules[name](self, facts, part) if name in rules else part for name, part in value.items()}

    # Data of rows.

    def _create(self, facts: ModelFacts, data: Any) -> Any:
        return self._row(facts, data, is_child=False)

    def _create_child(self, facts: ModelFacts, data: Any) -> Any:
        return self._row(facts, data, is_child=True)

    def _row(self, facts: ModelFacts, data: Any, *, is_child: bool) -> Any:
        """
        Bind the data of a new row.

        Prisma takes the organization's column, or relations that hold the foreign key, never both; of a child, created
        below the row it belongs to, it takes no organization at all.
        """
        if not isinstance(data, Mapping):
            return data
        if ORGANIZATION_FIELD in data:
            self._require_own(data[ORGANIZATION_FIELD])
        if facts.relations.keys().isdisjoint(data):
            bound = dict(data)
        else:
            bound = {name: self._column_or_relation(facts, name, value) for name, value in data.items()}
        bound.pop(ORGANIZATION_FIELD, None)
        linking = [name for name in facts.relations if facts.relations[name].holds_key and name in bound]
        if not is_child and all(bound[name] == {} for name in linking):
            for name in linking:
                del bound[name]  # an empty relation input says nothing, yet Prisma takes no column beside it
            bound[ORGANIZATION_FIELD] = self._own
        return bound

    def _update(self, facts: ModelFacts, data: Any) -> Any:
        """
        Bind the changes of a row.

        The own organization is no change, and Prisma takes the column in few places: it is dropped.
        """
        if not isinstance(data, Mapping):
            return data
        if ORGANIZATION_FIELD in data:
            value = data[ORGANIZATION_FIELD]
            self._require_own(value["set"] if isinstance(value, Mapping) and value.keys() == {"set"} else value)
        if facts.relations.keys().isdisjoint(data):
            bound = dict(data)
        else:
            bound = {name: self._column_or_relation(facts, name, value) for name, value in data.items()}
            _null_disconnected(facts, bound)
        bound.pop(ORGANIZATION_FIELD, None)
        return bound

    def _column_or_relation(self, facts: ModelFacts, name: str, value: Any) -> Any:
        relation = facts.relations.get(name)
        if relation is None:
            return value
        rules = _CHILDREN if relation.is_list else _CHILD if not relation.holds_key else _PARENT
        return self._parts(relation.target, value, rules)

    def _update_related(self, facts: ModelFacts, value: Any) -> Any:
        """Bind the update of a single related row: its data, or `{"where": conditions, "data": data}`."""
        if isinstance(value, Mapping) and isinstance(value.get("data"), Mapping):
            return self._parts(facts, value, _FILTERED_UPDATE)
        return self._update(facts, value)


def _each(value: Any, bind: Callable[[Any], Any]) -> Any:
    """Apply *bind* to one mapping or to each of several; Prisma takes one for a list of one."""
    if isinstance(value, Mapping):
        return bind(value)
    if isinstance(value, _LISTS):
        return [bind(one) for one in value]
    return value


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or (value is not None and not isinstance(value, Mapping))


def _null_disconnected(facts: ModelFacts, data: dict[str, Any]) -> None:
    """
    Say `{"parent": {"disconnect": True}}` as `{"parentId": None}`.

    Prisma would null the whole foreign key, the organization included, which the database refuses. Beside another
    relation that holds a key Prisma takes no columns, so there it stays.
    """
    linking = [name for name in data if name in facts.relations and facts.relations[name].holds_key]
    if all(data[name] == {"disconnect": True} and facts.relations[name].nullable for name in linking):
        for name in linking:
            del data[name]
            data.update(dict.fromkeys(facts.relations[name].nullable))


# --- rules ----------------------------------------------------------------------------------------------------------

_Rule = Callable[[Scope, ModelFacts, Any], Any]
_Rules = Mapping[str, _Rule]


def _each_by(rule: _Rule) -> _Rule:
    return lambda scope, facts, value: _each(value, lambda one: rule(scope, facts, one))


def _parts_by(rules: _Rules) -> _Rule:
    return lambda scope, facts, value: scope._parts(facts, value, rules)


# Several at a time where Prisma takes several; it also takes one for a list of one.
_CHECK_EACH = _each_by(Scope._check)
_UNIQUE_EACH = _each_by(Scope._unique)

_INCLUDED: _Rules = {"where": Scope._check, "cursor": Scope._unique, "include": Scope._include}
_FILTERED_UPDATE: _Rules = {"where": Scope._check, "data": Scope._update}


def _nested_writes(create: _Rule, *, is_list: bool) -> _Rules:
    """
    Return the rules of the writes below a relation.

    Related rows of a list are picked by their key; a single one needs no picking and can only be filtered.
    """
    create_many = _parts_by({"data": _each_by(create)})
    update_many = _each_by(_parts_by(_FILTERED_UPDATE))
    create_or_connect = _each_by(_parts_by({"where": Scope._unique, "create": create}))
    update_by_key: _Rules = {"where": Scope._unique, "data": Scope._update}
    upsert: _Rules = {"where": Scope._unique if is_list else Scope._check, "create": create, "update": Scope._update}
    return {
        "create": _each_by(create),
        "createMany": create_many,
        "create_many": create_many,
        "connect": _UNIQUE_EACH,
        "connectOrCreate": create_or_connect,
        "connect_or_create": create_or_connect,
        "set": _UNIQUE_EACH,
        "disconnect": _UNIQUE_EACH if is_list else _CHECK_EACH,
        "delete": _UNIQUE_EACH if is_list else _CHECK_EACH,
        "update": _each_by(_parts_by(update_by_key)) if is_list else Scope._update_related,
        "upsert": _each_by(_parts_by(upsert)),
        "updateMany": update_many,
        "update_many": update_many,
        "deleteMany": _CHECK_EACH,
        "delete_many": _CHECK_EACH,
    }


_CHILDREN = _nested_writes(Scope._create_child, is_list=True)
_CHILD = _nested_writes(Scope._create_child, is_list=False)
_PARENT = _nested_writes(Scope._create, is_list=False)

_BIND_WHERE: _Rule = Scope._where
_ONE: tuple[tuple[str, _Rule], ...] = (("where", Scope._unique), ("include", Scope._include))
_MANY: tuple[tuple[str, _Rule], ...] = (
    ("where", _BIND_WHERE),
    ("cursor", Scope._unique),
    ("include", Scope._include),
    ("having", Scope._check),
)
_RULES: Mapping[str, tuple[tuple[str, _Rule], ...]] = {
    "find_unique": _ONE,
    "find_unique_or_raise": _ONE,
    "find_first": _MANY,
    "find_first_or_raise": _MANY,
    "find_many": _MANY,
    "count": _MANY,
    "group_by": _MANY,
    "create": (("data", Scope._create), ("include", Scope._include)),
    "create_many": (("data", _each_by(Scope._create)),),
    "update": (*_ONE, ("data", Scope._update)),
    "upsert": (*_ONE, ("create", Scope._create), ("update", Scope._update)),
    "delete": _ONE,
    "update_many": (("where", _BIND_WHERE), ("data", Scope._update)),
    "delete_many": (("where", _BIND_WHERE),),
}
