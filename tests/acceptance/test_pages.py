"""
Every code block of README.md and docs/ is run, page by page, as its reader would.

A page has an empty folder and a migrated database, to which DATABASE_URL, AGENTDB_MIGRATION_URL and ORGANIZATION_ID
lead. Its blocks are done from top to bottom, those in tabs and lists too:

- `python` with a title (```python title="my_agent.py") is saved. If no later block names it (or pytest, for test_*.py)
  it is run at once. With `asyncio.run(` in it, it is run as a program. All else is run here: such blocks share their
  names, `await` needs no function, and a connected `client` and a registered `agent` are there already, as are
  `AgentConfig`, `MemoryEntry`, `UTC`, `datetime` and `timedelta`.
- `bash` has a command in each line, `console` commands behind "$ " with what they print, with or without stderr. They
  run in a real shell with this agentdb; variables and `cd` hold for the rest of the page. A command fails with the
  status that its comment announces (# exit 1), or not at all. Some commands are parsed only: see `exceptions.py`.
- `text` is what the block above it prints. What a Python block prints has to be shown. "…" stands for any text, and
  alone in its line for any lines. Below `<!-- numbers vary -->` a number stands for any number.
- `sql` is run, and undone, by the one that its first line names ("-- as the tables' owner", "-- as the
  administrator"), else by the application. `dotenv` is read by agentdb itself; `toml`, `ini`, `json` and `yaml` by
  their parsers; `prisma` makes its tables and, if it has a generator, the package `prisma`. With a title all are saved.
- `postgresql://agents:…@db.example/…` is the page's database; the login `owner` owns its tables.
- A fence without a language is a drawing.

Readers do not see two notes. `<!--python`, or any other language, then code, then `-->` in a line of its own: it is run
and not shown. `<!-- starts from nothing -->`: on this page no variable is set, and agentdb starts its own server.

The examples are run by tests/examples, with the wheel; here the commands of their READMEs are parsed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.postgres.embedded import ensure_embedded
from tests.acceptance.blocks import find_blocks
from tests.acceptance.exceptions import COMPILED, ELSEWHERE, UNREAD
from tests.acceptance.reader import Reader
from tests.acceptance.shell import REPOSITORY, commands_of, look_at
from tests.conftest import Database

DOCS: Final = REPOSITORY / "docs"
PAGES: Final = {
    str(path.relative_to(DOCS if DOCS in path.parents else REPOSITORY)): path
    for path in sorted([REPOSITORY / "README.md", *DOCS.rglob("*.md")])
    if "```" in path.read_text(encoding="utf-8")
}
EXAMPLES: Final = sorted(path.parent.name for path in REPOSITORY.glob("examples/*/README.md"))


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_says_what_happens(page: str, reader: Reader) -> None:
    """Each block of it can be run, and prints what the page shows."""
    await reader.read(find_blocks(PAGES[page].read_text(encoding="utf-8")))


@pytest.mark.parametrize("exception", [*COMPILED, *ELSEWHERE, *UNREAD], ids="-".join)
def test_an_exception_is_one(exception: tuple[str, str]) -> None:
    """What is said to be run otherwise is on its page."""
    page, where = exception

    blocks = list(find_blocks(PAGES[page].read_text(encoding="utf-8")))

    assert where in {block.heading for block in blocks} | {block.language for block in blocks}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_commands_of_an_example_are_known(example: str) -> None:
    """Those of agentdb have the arguments that its README gives them, and a test tries the example."""
    readme = (REPOSITORY / "examples" / example / "README.md").read_text(encoding="utf-8")

    for block in find_blocks(readme):
        if block.language in ("bash", "console"):
            for command in commands_of(block.language, block.code):
                look_at(command)
    assert (REPOSITORY / "tests" / "examples" / f"test_{example.replace('-', '_')}.py").exists()


@pytest.fixture
async def reader(
    page: str, shell: Path, database: Database, other_python: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Reader]:
    """The reader of *page*."""
    urls = {"agents": database.url, "owner": database.admin_url, "administrator": database.superuser_url}
    names: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        if "<!-- starts from nothing -->" in PAGES[page].read_text(encoding="utf-8"):
            data = Path(tempfile.mkdtemp(prefix="agentdb-"))  # short, for a socket's path may have 103 characters
            stack.callback(shutil.rmtree, data)
            stack.callback((await ensure_embedded(data, durable=False)).stop)
            monkeypatch.setenv("AGENTDB_DATA_DIR", str(data))
        else:
            monkeypatch.setenv("DATABASE_URL", database.url)
            monkeypatch.setenv("AGENTDB_MIGRATION_URL", database.admin_url)
            monkeypatch.setenv("ORGANIZATION_ID", "acme")
            client = await stack.enter_async_context(PrismaAgentClient())
            names |= {"client": client, "AgentConfig": AgentConfig, "MemoryEntry": MemoryEntry}
            names |= {"UTC": UTC, "datetime": datetime, "timedelta": timedelta}
            names["agent"] = await client.agents.register(AgentConfig(name="reader", category="SUPPORT"))
        yield Reader(page, shell.parent, urls, dict(os.environ), names, other_python)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, in which this process stands, and a shell of 80 columns. What is imported from it goes again."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"PATH": path, "PWD": str(folder), "NO_COLOR": "1", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    modules = dict(sys.modules)
    yield folder
    for name in [name for name in sys.modules if name not in modules]:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture(scope="session")
def other_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives an interpreter for which a package of others is installed, made once and kept in pytest's cache."""
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("others") if cache is None else cache.mkdir("agentdb-others")

    def make(requirement: str) -> str:
        made = folder / f"{sys.version_info.major}.{sys.version_info.minor} {requirement}"
        if not made.exists():
            unfinished = Path(tempfile.mkdtemp(dir=folder))
            venv.create(unfinished, with_pip=True)
            subprocess.run([unfinished / "bin" / "python", "-m", "pip", "install", "-q", requirement], check=True)
            with contextlib.suppress(OSError):  # another run was quicker
                unfinished.rename(made)
        return str(made / "bin" / "python")

    return make
