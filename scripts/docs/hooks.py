"""
What MkDocs calls while it builds the site: pages that are made of the sources, and links to what is named in code.

A page in docs/reference holds a marker, and what takes its place is read from the repository at each build, so that it
cannot differ from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import agentdb
import agentdb.embedders
import agentdb.testing
from agentdb import PrismaAgentClient, Settings
from agentdb.cli.app import app
from agentdb.client.resource import Resource
from scripts.docs.commands_page import commands_page
from scripts.docs.schema_page import schema_page
from scripts.docs.settings_page import settings_page

ROOT: Final = Path(__file__).resolve().parents[2]

GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "<!-- made of .env.example -->": lambda: settings_page((ROOT / ".env.example").read_text("utf-8")),
    "<!-- made of the commands -->": lambda: commands_page(app, "agentdb"),
    "<!-- made of schema.prisma -->": lambda: schema_page((ROOT / "prisma/schema.prisma").read_text("utf-8")),
}
RESOURCES: Final[Mapping[str, type[Resource]]] = {
    name: type(value)
    for name, value in vars(PrismaAgentClient(settings=Settings(organization_id="nobody"))).items()
    if isinstance(value, Resource)
}
"""The class of each resource of a client, which its page tells of: `memories`, Memories."""

_TAG: Final = re.compile(r"(<[^>]+>)")
_CLOSED_TO_LINKS: Final = re.compile(r"</?(a|pre|h[1-6]|autoref|title)\b")
_NAME: Final = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:\(.*\))?", re.DOTALL)
_SETTING: Final = re.compile(r"\bAGENTDB_[A-Z_]*[A-Z]\b|\bDATABASE_URL\b|\bORGANIZATION_ID\b")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which stands beside the README and not in docs/."""
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is made of the sources in place of its marker."""
    for marker, make in GENERATED.items():
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    return markdown


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Link what stands in code, and settings wherever they stand, to where the reference tells of it."""
    return linked(html, "../" * page.url.count("/") + "reference/settings.html")


def linked(html: str, settings_url: str) -> str:
    """
    Return *html* with links on the public names in code, and on settings; not in headings, listings and links.

    Args:
        html: The content of a page.
        settings_url: Where the page of settings is, as seen from this one.
    """
    parts, closed, in_code = _TAG.split(html), 0, False
    for place, part in enumerate(parts):
        if part.startswith("<"):
            if _CLOSED_TO_LINKS.match(part):
                closed += -1 if part.startswith("</") else 1
            elif part in ("<code>", "</code>"):
                in_code = part == "<code>"
        elif part and not closed:
            parts[place] = _linked_text(part, settings_url, in_code=in_code)
    return "".join(parts)


def _linked_text(text: str, settings_url: str, *, in_code: bool) -> str:
    identifier = _identifier(text) if in_code else None
    if identifier:
        # The reference finds out where that is, or leaves the text as it is.
        return f'<autoref identifier="{identifier}" optional>{text}</autoref>'
    return _SETTING.sub(lambda match: f'<a href="{settings_url}#{match[0].lower()}">{match[0]}</a>', text)


def _identifier(text: str) -> str | None:
    """Return what the reference calls that which *text* names, such as `MemoryEntry` or `client.memories.store(…)`."""
    found = _NAME.fullmatch(text)
    if not found:
        return None
    first, _, rest = found["name"].removeprefix("agentdb.").removeprefix("PrismaAgentClient.").partition(".")
    if first == "client" and rest:
        first, _, rest = rest.partition(".")
        if first not in RESOURCES:
            return f"agentdb.PrismaAgentClient.{first}" if not rest else None
        base: str | None = place_of(RESOURCES[first])
    else:
        base = _bases().get(first)
    return ".".join(filter(None, (base, rest))) if base else None


def place_of(kind: type[Resource]) -> str:
    """Return what the reference calls the class of a resource."""
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _bases() -> Mapping[str, str]:
    # `tool` alone is more often a column or a thing than the decorator.
    modules = (agentdb, agentdb.embedders, agentdb.testing)
    names = {name: f"{module.__name__}.{name}" for module in modules for name in module.__all__ if name != "tool"}
    return names | {kind.__name__: place_of(kind) for kind in RESOURCES.values()}
