"""What the documentation's pages are made of."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Annotated

import pytest
import typer

from scripts.docs.commands_page import commands_page
from scripts.docs.hooks import linked
from scripts.docs.schema_page import schema_page
from scripts.docs.settings_page import read_settings, settings_page

SCHEMA = dedent("""
    enum Mood {
      glad
      sad

      @@map("mood")
    }

    /// Somebody who
    /// reads.
    model Reader {
      organizationId String   @map("organization_id")
      id             String   @default(uuid()) @db.Uuid
      /// At most one of | these.
      mood           Mood?    @default(glad)
      price          Decimal? @db.Decimal(20, 10)
      tags           String[] @default([])
      vector         Unsupported("vector")?
      // not for readers
      at             DateTime @default(now()) @db.Timestamptz(6)

      books Book[]

      @@id([organizationId, id])
      @@index([organizationId, at(sort: Desc)])
      @@map("readers")
    }

    model Book {
      organizationId String @map("organization_id")
      readerId       String @map("reader_id")

      reader Reader @relation(fields: [organizationId, readerId], references: [organizationId, id], onDelete: Cascade)

      @@id([organizationId, readerId])
      @@map("books")
    }
""")


@pytest.mark.parametrize(
    "line",
    [
        "## readers",
        "Somebody who reads. In Prisma it is Reader.",
        "| `organization_id` | text |  |",
        "| `id` | uuid | Default: the client makes one. |",
        "| `mood` | mood or null | At most one of \\| these. Default: `glad`. |",
        "| `price` | numeric(20,10) or null |  |",
        "| `tags` | text[] | Default: `'{}'`. |",
        "| `vector` | vector or null |  |",
        "| `at` | timestamptz | Default: `now()`. |",
        "- Primary key: `organization_id`, `id`",
        "- Index: `organization_id`, `at` descending",
        "- `organization_id`, `reader_id` refer to [readers](#readers), and is deleted with it",
        "| `mood` | `glad`, `sad` |",
    ],
)
def test_a_table_is_told_of_in_sql(line: str) -> None:
    """Names, types, defaults, words, keys and references."""
    assert line in schema_page(SCHEMA).splitlines()


def test_what_is_no_column_is_left_out() -> None:
    """The other side of a reference, and comments that are not for readers."""
    page = schema_page(SCHEMA)

    assert "books Book" not in page
    assert "not for readers" not in page


def _app() -> typer.Typer:
    app, inner = typer.Typer(), typer.Typer()

    @app.command(help="Say hello.", epilog="Examples:\nx hello --loud")
    def hello(who: Annotated[str, typer.Argument(help="Whom | to greet.")], loud: bool = False) -> None:
        """Say hello."""

    @app.command(hidden=True)
    def secret() -> None:
        """Say nothing."""

    @inner.command(help="Look inside.")
    def look() -> None:
        """Look inside."""

    app.add_typer(inner, name="box", help="What is in the box.")
    return app


def test_a_command_has_its_words_options_and_examples() -> None:
    """A group stands before its own commands, and what is hidden stays so."""
    page = commands_page(_app(), "x")

    assert re.findall(r"^#+ .*$", page, re.MULTILINE) == ["## hello", "## box", "### box look"]
    assert "Say hello." in page
    assert "Whom \\| to greet. Required." in page
    assert "`--loud / --no-loud`" in page
    assert "```bash\nx hello --loud\n```" in page
    assert "```\nx box look [OPTIONS]\n```" in page


def test_a_setting_has_its_words_and_its_value() -> None:
    """Variables that are explained together have one section, and each of them a place."""
    text = (
        "# Copy this.\n\n# Where it is. May be\n# empty.\n# URL=postgresql://…\n\n"
        "# How long, in seconds.\n# FIRST=1\n# SECOND=2\n"
    )

    page = settings_page(text)

    assert [list(setting.names) for setting in read_settings(text)] == [["URL"], ["FIRST", "SECOND"]]
    assert "## `URL` { #url }\n\nWhere it is. May be empty.\n\n```bash\nURL=postgresql://…\n```" in page
    assert '## `FIRST`, `SECOND` { #first }\n\n<span id="second"></span>How long, in seconds.' in page


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<code>MemoryEntry</code>",
            '<code><autoref identifier="agentdb.MemoryEntry" optional>MemoryEntry</autoref></code>',
        ),
        (
            "<code>client.memories.store(…)</code>",
            '<code><autoref identifier="agentdb.client.memories.Memories.store" optional>client.memories.store(…)'
            "</autoref></code>",
        ),
        (
            "<code>Prices</code>",
            '<code><autoref identifier="agentdb.client.prices.Prices" optional>Prices</autoref></code>',
        ),
        (
            "<code>client.erase()</code>",
            '<code><autoref identifier="agentdb.PrismaAgentClient.erase" optional>client.erase()</autoref></code>',
        ),
        ("<p>AGENTDB_POOL_SIZE</p>", '<p><a href="s.html#agentdb_pool_size">AGENTDB_POOL_SIZE</a></p>'),
    ],
)
def test_names_are_linked(html: str, expected: str) -> None:
    """Public names in code, methods by the client that has them, settings anywhere."""
    assert linked(html, "s.html") == expected


@pytest.mark.parametrize(
    "html",
    [
        "<p>Memory</p>",
        "<code>memory</code>",
        "<code>tool</code>",
        "<code>client.nothing.of.this</code>",
        "<h2><code>MemoryEntry</code></h2>",
        '<a href="x"><code>MemoryEntry</code></a>',
        "<pre><code>MemoryEntry AGENTDB_POOL_SIZE</code></pre>",
        "<code>AGENTDB_*</code>",
    ],
)
def test_other_text_stays(html: str) -> None:
    """Plain words, headings, links and listings."""
    assert linked(html, "s.html") == html
