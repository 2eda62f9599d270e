"""The facts that binding an organization rests on."""

from __future__ import annotations

import pytest

from agentdb.client.tenancy import tenancy_facts
from agentdb.engine.schema import parse_schema

SOUND = """
model Parent {
  organizationId String
  id             String
  name           String
  nick           String?
  children       Child[]
  only           Only?
  @@id([organizationId, id])
  @@unique([organizationId, name, nick], name: "called")
}
model Child {
  id             String
  organizationId String
  parentId       String?
  parent         Parent? @relation(fields: [parentId, organizationId], references: [id, organizationId])
  @@id([id, organizationId])
}
model Only {
  organizationId String
  id             String
  parent         Parent  @relation(fields: [organizationId, id], references: [organizationId, id])
  @@id([organizationId, id])
}
"""


def test_tells_keys_and_relations() -> None:
    """Keys are known by the client's names, relations by the side that holds the foreign key."""
    facts = tenancy_facts(parse_schema(SOUND))

    parent, child, only = facts["Parent"], facts["Child"], facts["Only"]
    assert parent.keys == {"organizationId_id": ("id",), "called": ("name", "nick")}
    assert child.keys == {"id_organizationId": ("id",)}
    assert parent.relations["children"].target is child
    assert (parent.relations["children"].is_list, parent.relations["children"].holds_key) == (True, False)
    assert (parent.relations["only"].is_list, parent.relations["only"].holds_key) == (False, False)
    assert (child.relations["parent"].holds_key, child.relations["parent"].nullable) == (True, ("parentId",))
    assert (only.relations["parent"].holds_key, only.relations["parent"].nullable) == (True, ())


@pytest.mark.parametrize(
    ("sound", "unsound", "message"),
    [
        ("  organizationId String\n", "", "Parent has no required text field organizationId"),
        ("  organizationId String\n", "  organizationId String?\n", "Parent has no required text field"),
        ("  organizationId String\n", "  organizationId Int\n", "Parent has no required text field"),
        ("@@id([organizationId, id])", "@@id([id])", "the key id of Parent does not carry"),
        ("@@id([organizationId, id])", "", "the key id of Parent does not carry"),
        ("name           String\n", "name           String @unique\n", "the key name of Parent does not carry"),
        ("@@unique([organizationId, name", "@@unique([id, name", "the key called of Parent does not carry"),
        (
            "fields: [parentId, organizationId], references: [id, organizationId]",
            "fields: [parentId], references: [id]",
            "the relation Parent.children does not carry",
        ),
        (
            "fields: [parentId, organizationId], references: [id, organizationId]",
            "fields: [parentId, organizationId], references: [organizationId, id]",
            "the relation Parent.children does not carry",
        ),
        (
            "parent         Parent? @relation(fields: [parentId, organizationId], references: [id, organizationId])",
            "parents        Parent[]",
            "the relation Parent.children does not carry",
        ),
        ("children       Child[]", "some           Child[]", "Parent.some has the name of an argument"),
    ],
)
def test_refuses_a_schema_that_cannot_be_bound(sound: str, unsound: str, message: str) -> None:
    """A table without the organization in every key is found when the client is made, not when it leaks."""
    assert sound in SOUND
    with pytest.raises(ValueError, match=message):
        tenancy_facts(parse_schema(SOUND.replace(sound, unsound, 1)))
