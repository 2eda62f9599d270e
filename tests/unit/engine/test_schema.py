"""The reader of Prisma schema text."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdb.engine.schema import Datamodel, Enum, Field, Relation, SchemaError, UniqueKey, parse_schema

REPOSITORY = Path(__file__).resolve().parents[3]


def test_reads_a_model_with_its_fields() -> None:
    """Names, types and modifiers of fields are read; a field that says nothing more has the defaults."""
    model = parse_schema("""
        model User {
          id        Int       @id @default(autoincrement())
          email     String    @unique @map("e_mail") @db.VarChar(255)
          tags      String[]
          nick      String?
          updatedAt DateTime  @updatedAt
          secret    String?   @ignore
          @@map("users")
          @@schema("auth")
        }
    """).models["User"]

    assert (model.name, model.db_name, model.db_schema) == ("User", "users", "auth")
    assert (model.id_fields, model.id_name) == (("id",), "id")
    assert model.uniques == (UniqueKey("email", ("email",)),)
    assert list(model.fields.values()) == [
        Field("id", "id", "Int", "scalar", is_id=True, has_default=True),
        Field("email", "e_mail", "String", "scalar", is_unique=True, native_type="VarChar", native_args=("255",)),
        Field("tags", "tags", "String", "scalar", is_list=True),
        Field("nick", "nick", "String", "scalar", is_optional=True),
        Field("updatedAt", "updatedAt", "DateTime", "scalar", is_updated_at=True),
        Field("secret", "secret", "String", "scalar", is_optional=True, is_ignored=True),
    ]


def test_names_compound_keys_as_the_client_does() -> None:
    """A compound key is called by its fields, joined, or by the name it was given; map is the database's business."""
    model = parse_schema("""
        model Row {
          a String
          b String
          c String
          d String @unique
          @@id([a, b])
          @@unique([a, c], map: "row_a_c_key")
          @@unique(fields: [b(sort: Desc), c(length: 10, sort: Asc)], name: "bc")
          @@unique([c], name: "ignored")
          @@index([c, d])
        }
        model Named { a String
          b String
          @@id(name: "pair", fields: [a, b], map: "named_pkey") }
        view Keyless { a String }
    """).models

    assert (model["Row"].id_fields, model["Row"].id_name) == (("a", "b"), "a_b")
    assert model["Row"].uniques == (
        UniqueKey("d", ("d",)),
        UniqueKey("a_c", ("a", "c")),
        UniqueKey("bc", ("b", "c")),
        UniqueKey("c", ("c",)),
    )
    assert [name for name, field in model["Row"].fields.items() if field.is_unique] == ["c", "d"]
    assert (model["Named"].id_fields, model["Named"].id_name) == (("a", "b"), "pair")
    assert (model["Keyless"].id_fields, model["Keyless"].id_name) == ((), "")


def test_reads_indexes() -> None:
    """Every b-tree index is read, those of keys first; a view has none, whatever it claims."""
    body = """
          id    Int    @id
          email String @unique
          kind  String
          body  Json
          @@unique([kind, id])
          @@index([kind(sort: Desc), email], map: "by_kind")
          @@index(fields: [email], type: BTree)
          @@index([body], type: Gin)
        }
    """
    models = parse_schema(f"model User {{{body}view Users {{{body}").models
    assert models["User"].indexes == (("id",), ("email",), ("kind", "id"), ("kind", "email"), ("email",))
    assert models["Users"].indexes == ()


def test_reads_relations() -> None:
    """Every field of a model's type is a relation; only one side names the columns."""
    models = parse_schema("""
        model Post {
          tenant   String
          id       String
          authorId String
          replyTo  String?
          author   User   @relation(fields: [tenant, authorId], references: [tenant, id], onDelete: Cascade)
          parent   Post?  @relation("Thread", fields: [tenant, replyTo], references: [tenant, id])
          replies  Post[] @relation(name: "Thread")
          @@id([tenant, id])
        }
        model User {
          tenant String
          id     String
          posts  Post[]
          @@id([tenant, id])
        }
    """).models

    post = models["Post"].fields
    assert post["author"].kind == "object"
    assert post["author"].relation == Relation(None, ("tenant", "authorId"), ("tenant", "id"))
    assert post["parent"].relation == Relation("Thread", ("tenant", "replyTo"), ("tenant", "id"))
    assert post["replies"].relation == Relation("Thread")
    assert models["User"].fields["posts"].relation == Relation(None)
    assert post["authorId"].relation is None


def test_reads_enums() -> None:
    """An enum maps the client's names to the database's; a field of its type is of kind enum, before or after it."""
    datamodel = parse_schema("""
        model User { role Role @default(ADMIN)
          roles Role[] }
        enum Role {
          ADMIN
          POWER_USER @map("power-user") // the database's spelling
          /// nobody
          GUEST      @map("GUEST")

          @@map("role")
        }
    """)

    assert datamodel.enums == {
        "Role": Enum("Role", "role", {"ADMIN": "ADMIN", "POWER_USER": "power-user", "GUEST": "GUEST"})
    }
    assert datamodel.models["User"].fields["role"] == Field("role", "role", "Role", "enum", has_default=True)
    assert datamodel.models["User"].fields["roles"].is_list


def test_reads_unsupported_types() -> None:
    """Unsupported("…") keeps the database's type."""
    fields = (
        parse_schema("""
        model Memory {
          embedding Unsupported("vector(3)")?
          tsv       Unsupported("tsvector")? @default(dbgenerated("to_tsvector('english'::regconfig, content)"))
        }
    """)
        .models["Memory"]
        .fields
    )

    assert fields["embedding"] == Field("embedding", "embedding", "vector(3)", "unsupported", is_optional=True)
    assert fields["tsv"].has_default


def test_skips_comments_but_not_inside_strings() -> None:
    """Comments may stand anywhere; what looks like one inside a string, and brackets there, are text."""
    model = parse_schema(r"""
        // model Ghost { id Int }
        /* model Ghost { id Int } */
        datasource db {
          provider = "postgresql"
          url      = env("URL") // "open
        }
        generator js { provider = "x" previewFeatures = ["a", "b"] }
        /// documented
        model Real { // trailing {
          id   Int    @id /// trailing }
          url  String @default("http://x/{[(\"}") @map("a//b") // "
          text String @default("\u00e9 \\ /* no */")
          // last line
        }
    """).models

    assert list(model) == ["Real"]
    assert list(model["Real"].fields) == ["id", "url", "text"]
    assert model["Real"].fields["url"].db_name == "a//b"


def test_reads_attributes_over_several_lines() -> None:
    """Inside brackets a line end counts for nothing; trailing commas and comments are allowed there."""
    model = parse_schema("""
        model Row {
          a     String
          b     Float @default(
            -1.5 // why
          ) @custom.DoublePrecision
          other Row?  @relation(
            "Self",
            fields: [
              a, // tenant
              b
            ],
            references:
              [a, b],
          )
          back  Row[] @relation("Self")
          @@id(
            [a,
             b],
          )
        }
    """).models["Row"]

    assert model.id_fields == ("a", "b")
    assert model.fields["b"].has_default
    assert model.fields["b"].native_type == "DoublePrecision"
    assert model.fields["other"].relation == Relation("Self", ("a", "b"), ("a", "b"))


def test_reads_windows_line_ends_and_a_byte_order_mark() -> None:
    """An editor's habits change nothing."""
    assert list(parse_schema("\ufeffmodel A {\r\n  id Int @id\r\n}\r\n").models["A"].fields) == ["id"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model A {\n  id Int @id\n", "line 3"),
        ('model A {\n  id Int @map("x)\n}', "line 2"),
        ("model A {\n  id Int @default(now(\n}", "line 3"),
        ("model A {\n  id Int $\n}", "line 2"),
        ("datasource db {\n  url = env(", "line 2"),
        ("{}", "line 1"),
    ],
)
def test_refuses_what_is_not_a_schema(text: str, message: str) -> None:
    """Broken text names its line."""
    with pytest.raises(SchemaError, match=message):
        parse_schema(text)


def test_empty_text_declares_nothing() -> None:
    """No text, no models."""
    assert parse_schema("") == Datamodel()


def test_reads_the_schema_of_this_project() -> None:
    """Every table of ours is keyed by organization first and refers to others through it."""
    datamodel = parse_schema((REPOSITORY / "prisma" / "schema.prisma").read_text(encoding="utf-8"))

    assert datamodel.models["Agent"].db_name == "agents"
    assert datamodel.enums["AgentStatus"].db_name == "agent_status"
    for model in datamodel.models.values():
        assert model.fields["organizationId"].db_name == "organization_id"
        assert model.id_fields[0] == "organizationId"
        for key in model.uniques:
            assert key.fields[0] == "organizationId"
        for field in model.fields.values():
            if field.relation and field.relation.fields:
                assert field.relation.fields[0] == field.relation.references[0] == "organizationId"
