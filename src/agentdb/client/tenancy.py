"""
What binding an organization takes to know of the datamodel, and the check that it can be bound at all.

The rules of `scope.py` rest on one property of the schema: every key and every foreign key carries the organization.
It is checked here, on the text that the generated client carries, so that a table added later cannot lack it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentdb.engine.schema import Datamodel, Field, Model

__all__ = ["ORGANIZATION_FIELD", "ModelFacts", "RelationFacts", "TenancyFacts", "tenancy_facts"]

ORGANIZATION_FIELD = "organizationId"

_COMBINATORS = ("AND", "OR", "NOT")
_RELATION_FILTERS = ("is", "isNot", "is_not", "some", "none", "every")
# Words of Prisma's arguments that a relation of the same name would make ambiguous.
_RESERVED = frozenset({*_COMBINATORS, *_RELATION_FILTERS, "data"})


@dataclass(frozen=True, slots=True)
class RelationFacts:
    """
    A relation field, seen from its model.

    Attributes:
        holds_key: This model's row holds the foreign key.
        nullable: The foreign key's columns besides the organization, if all of them may be null.
    """

    target: ModelFacts
    is_list: bool
    holds_key: bool
    nullable: tuple[str, ...]


@dataclass(slots=True)
class ModelFacts:
    """
    What binding a model's arguments takes.

    Attributes:
        keys: The compound keys by the client's names, each with its fields besides the organization; primary key first.
        relations: The relation fields.
        below: The keys of a `where` that hold further conditions, and the model these are about.
    """

    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    relations: dict[str, RelationFacts] = field(default_factory=dict)
    below: dict[str, ModelFacts] = field(default_factory=dict)


TenancyFacts = Mapping[str, ModelFacts]


def tenancy_facts(datamodel: Datamodel) -> TenancyFacts:
    """
    Return what `Scope` needs to know of *datamodel*.

    Raises:
        ValueError: A model lacks the organization, or has a key or a relation that does not carry it: rows of two
            organizations could then be related, and no client could tell them apart.
    """
    facts = {name: ModelFacts(keys=_keys(model)) for name, model in datamodel.models.items()}
    for name, model in datamodel.models.items():
        mine = facts[name]
        for found in model.fields.values():
            if found.kind == "object":
                mine.relations[found.name] = _relation(datamodel, model, found, facts)
        mine.below = dict.fromkeys((*_COMBINATORS, *_RELATION_FILTERS), mine)
        mine.below |= {key: relation.target for key, relation in mine.relations.items()}
    return facts


def _keys(model: Model) -> dict[str, tuple[str, ...]]:
    organization = model.fields.get(ORGANIZATION_FIELD)
    if organization is None or organization.type != "String" or organization.is_optional:
        raise ValueError(f"{model.name} has no required text field {ORGANIZATION_FIELD}")
    keys = {model.id_name: model.id_fields} | {key.name: key.fields for key in model.uniques}
    for name, fields in keys.items():
        if ORGANIZATION_FIELD not in fields or len(fields) < 2:
            raise ValueError(f"the key {name or 'id'} of {model.name} does not carry {ORGANIZATION_FIELD}")
    return {name: tuple(part for part in fields if part != ORGANIZATION_FIELD) for name, fields in keys.items()}


def _relation(datamodel: Datamodel, model: Model, found: Field, facts: dict[str, ModelFacts]) -> RelationFacts:
    if found.name in _RESERVED:
        raise ValueError(f"the relation {model.name}.{found.name} has the name of an argument")
    holder, columns = model, found.relation.fields if found.relation else ()
    references = found.relation.references if found.relation else ()
    if not columns:
        holder, columns, references = _other_side(datamodel, model, found)
    if (ORGANIZATION_FIELD, ORGANIZATION_FIELD) not in zip(columns, references, strict=True):
        raise ValueError(f"the relation {model.name}.{found.name} does not carry {ORGANIZATION_FIELD}")
    holds_key = found.relation is not None and bool(found.relation.fields)
    others = tuple(column for column in columns if column != ORGANIZATION_FIELD)
    nullable = others if holds_key and all(holder.fields[column].is_optional for column in others) else ()
    return RelationFacts(facts[found.type], found.is_list, holds_key, nullable)


def _other_side(datamodel: Datamodel, model: Model, found: Field) -> tuple[Model, tuple[str, ...], tuple[str, ...]]:
    name = found.relation.name if found.relation else None
    target = datamodel.models[found.type]
    for candidate in target.fields.values():
        relation = candidate.relation
        if relation and relation.fields and relation.name == name and candidate.type == model.name:
            return target, relation.fields, relation.references
    return target, (), ()  # an implicit many-to-many relation: its join table has no organization
