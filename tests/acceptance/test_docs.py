"""The documentation's site: it builds without a warning, holds every public name, and needs nothing from elsewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import agentdb
from agentdb import embedders, engine, testing
from agentdb.cli.app import app
from agentdb.testing import plugin
from scripts.docs.hooks import RESOURCES, ROOT, place_of

# What the parts of a client ask of each other: public in Python, of no use to a user.
PLUMBING = {
    "PrismaAgentClient": """depth embedding gathering in_transaction inner_driver keeps_access_log key_ring namespace
        payloads sees_rows_of""",
    "Executions": "beat",
    "Memories": "count_recalls store_rows",
    "Metrics": "record_rows",
}


class _Page(HTMLParser):
    """Collects what a page refers to, what it loads, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given or (tag == "link" and given.get("rel") != "canonical" and "href" in given):
            self.loads.append(given.get("src") or given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "WARNING" in line or "ERROR" in line]) == (
        0,
        [],
    )
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> Mapping[Path, _Page]:
    """Every page of the site but the one for what is not there, whose links are those of a server's root."""
    return {path: _Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_every_link_leads_somewhere(site: Path, pages: Mapping[Path, _Page]) -> None:
    """Pages and places in them exist, whatever wrote the link: we, the reference, or a hook."""
    assert [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not urlsplit(link).scheme and not _leads_somewhere(path, link, pages)
    ] == []


def _leads_somewhere(path: Path, link: str, pages: Mapping[Path, _Page]) -> bool:
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    # "__…" are the theme's own switches
    return target in pages and (not parts.fragment or parts.fragment in pages[target].ids or parts.fragment[:2] == "__")


def test_every_page_stands_in_the_navigation_once() -> None:
    """The build complains of one that is left out, and not of one that is there twice."""
    named = re.findall(r"^ +- (?:[\w ]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)

    assert len(named) > 50
    assert sorted(set(named)) == sorted(named)


def test_nothing_comes_from_another_host(site: Path, pages: Mapping[Path, _Page]) -> None:
    """No script, style, font or picture: reading the documentation tells nobody, and works without a network."""
    loads = {load for page in pages.values() for load in page.loads}
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]

    assert {load for load in loads if urlsplit(load).netloc} == set()
    assert [found for style in styles for found in re.findall(r"url\(['\"]?(?:https?:)?//[^)]+\)", style)] == []


def test_the_search_works_without_a_server(site: Path) -> None:
    """Its index is a script, and a page opened as a file has the shim that takes a worker's place."""
    assert "EnhancedAgentBase" in (site / "search/search_index.js").read_text("utf-8")
    assert "assets/iframe-worker.js" in (site / "index.html").read_text("utf-8")


def test_every_public_name_is_in_the_reference(pages: Mapping[Path, _Page]) -> None:
    """What can be imported, and every method of the client, its resources and the base class."""
    told = {id for path, page in pages.items() if path.parent.name == "reference" for id in page.ids}

    assert [name for name, places in _public_names() if told.isdisjoint(places)] == []


def _public_names() -> Iterator[tuple[str, set[str]]]:
    """Yield each public name with the places where it may be told of."""
    for module in (agentdb, embedders, engine, testing):
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", {f"{module.__name__}.{name}", f"{value.__module__}.{name}"}
    for name in vars(plugin):
        if name.startswith("agentdb_"):
            yield name, {f"{plugin.__name__}.{name}"}
    for place, kind in {
        "agentdb.PrismaAgentClient": agentdb.PrismaAgentClient,
        "agentdb.EnhancedAgentBase": agentdb.EnhancedAgentBase,
        **{place_of(kind): kind for kind in RESOURCES.values()},
    }.items():
        for name, value in inspect.getmembers(kind):
            if (callable(value) or isinstance(value, property)) and name not in _hidden(kind.__name__, name):
                yield f"{place}.{name}", {f"{place}.{name}"}


def _hidden(kind: str, name: str) -> set[str]:
    return {name} if name.startswith("_") else set(PLUMBING.get(kind, "").split())


def test_plumbing_is_there() -> None:
    """What the reference leaves out exists, so the list of it cannot grow stale."""
    kinds: dict[str, type] = {kind.__name__: kind for kind in RESOURCES.values()}
    kinds["PrismaAgentClient"] = agentdb.PrismaAgentClient
    client = agentdb.PrismaAgentClient("postgresql://db.invalid/agents", "acme")

    assert [
        f"{kind}.{name}"
        for kind, names in PLUMBING.items()
        for name in names.split()
        if not hasattr(kinds[kind], name) and name not in vars(client)
    ] == []


def test_every_setting_has_its_place(pages: Mapping[Path, _Page], site: Path) -> None:
    """The page of settings tells of each variable that the configuration reads."""
    read = re.findall(r'"((?:AGENTDB_[A-Z_]+)|DATABASE_URL|ORGANIZATION_ID)"', inspect.getsource(agentdb.config))
    page = pages[site / "reference/settings.html"]

    assert {name.lower() for name in read} - page.ids == set()


def test_every_command_has_its_place(pages: Mapping[Path, _Page], site: Path) -> None:
    """The page of the command line tells of each command of the help."""
    page = pages[site / "reference/command-line.html"]
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}

    assert len(names) > 10
    assert names - page.ids == set()


def test_every_table_has_its_place(pages: Mapping[Path, _Page], site: Path) -> None:
    """The page of the schema tells of each table of schema.prisma."""
    tables = re.findall(
        r"^model .*?@@map\(\"(\w+)\"\)\n}", (ROOT / "prisma/schema.prisma").read_text("utf-8"), re.S | re.M
    )
    page = pages[site / "reference/schema.html"]

    assert len(tables) > 10
    assert set(tables) - page.ids == set()
