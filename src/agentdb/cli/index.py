"""`agentdb index`: which embeddings there are, and the indexes that make finding among many of them quick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentdb.cli.options import AsJson
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.client.memory.embedding_kinds import EmbeddingKind
    from agentdb.postgres.driver import Driver
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["app"]

app: Final = typer.Typer()

_WORTH_AN_INDEX = 20_000


@app.callback(invoke_without_command=True)
def show_kinds(context: typer.Context, as_json: AsJson = False) -> None:
    """
    List kinds of embeddings; make or drop their indexes.

    Embeddings are of a kind by their model and their length. Connects as the owner of the tables:
    AGENTDB_MIGRATION_URL, else DATABASE_URL, else the embedded server. Without a command nothing is changed.

    Examples:
        agentdb index
        agentdb index create
    """
    if context.invoked_subcommand is not None:
        return
    from agentdb.cli.output import print_json

    kinds = asyncio.run(_list())
    if as_json:
        print_json({"kinds": [asdict(kind) for kind in kinds]})
    else:
        _print(kinds)


@app.command()
def create(
    model: Annotated[str | None, typer.Option(help="The model that made the embeddings; with --dimensions.")] = None,
    dimensions: Annotated[int | None, typer.Option(help="Numbers in each embedding.")] = None,
    at_least: Annotated[
        int, typer.Option(min=1, help="Without a model: for every kind of embeddings with so many memories.")
    ] = 1000,
    m: Annotated[int, typer.Option(help="Neighbours of each embedding: more find more and take more memory.")] = 16,
    ef_construction: Annotated[int, typer.Option(help="Candidates for these; at least twice as many.")] = 64,
    memory_mb: Annotated[int, typer.Option(help="Most memory of a build, in MB; one that needs more is slow.")] = 1024,
    as_json: AsJson = False,
) -> None:
    """
    Make the indexes that are missing.

    Reading and writing go on meanwhile. Those whose build broke off are made anew, however few memories they are of.

    Examples:
        agentdb index create
        agentdb index create --model text-embedding-3-small --dimensions 1536
    """
    from agentdb.cli.output import print_json

    wanted = _kind(model, dimensions)
    made = asyncio.run(_create(wanted, at_least, m, ef_construction, memory_mb))
    if as_json:
        print_json({"created": [{"model": model, "dimensions": dimensions} for model, dimensions in made]})
        return
    for kind in made:
        say(f"created the index of {_named(*kind)}")
    if not made:
        what = _named(*wanted) if wanted else f"every kind of {at_least:,} memories or more that can have one"
        say(f"nothing to create: {what} has an index")


@app.command()
def drop(
    model: Annotated[str, typer.Option(help="The model that made the embeddings.")],
    dimensions: Annotated[int, typer.Option(help="Numbers in each embedding.")],
    as_json: AsJson = False,
) -> None:
    """
    Drop an index, whole or broken.

    Searches look at all embeddings then. Exit status 1 if there is none.

    Examples:
        agentdb index drop --model text-embedding-3-small --dimensions 1536
    """
    from agentdb.cli.output import print_json

    was_there = asyncio.run(_drop(model, dimensions))
    if as_json:
        print_json({"dropped": was_there})
    elif was_there:
        say(f"dropped the index of {_named(model, dimensions)}")
    else:
        say(f"agentdb: no index of {_named(model, dimensions)}; `agentdb index` lists them", err=True)
    if not was_there:
        raise typer.Exit(1)


def _named(model: str, dimensions: int) -> str:
    return f"{model}, {dimensions:,} dimensions"


def _kind(model: str | None, dimensions: int | None) -> tuple[str, int] | None:
    from agentdb.errors import InvalidInputError

    if model is not None and dimensions is not None:
        return model, dimensions
    if model is not None or dimensions is not None:
        missing = "--dimensions" if dimensions is None else "--model"
        raise InvalidInputError(missing, "is missing: an index is that of one model and one length.")
    return None


async def _list() -> list[EmbeddingKind]:
    from agentdb.client.memory.embedding_index import list_embedding_kinds

    async with _opened() as driver:
        return await list_embedding_kinds(driver)


async def _create(
    wanted: tuple[str, int] | None, at_least: int, m: int, ef_construction: int, memory_mb: int
) -> list[tuple[str, int]]:
    from agentdb.cli.bar import Bar
    from agentdb.client.memory.embedding_index import BuildProgress, create_embedding_index, list_embedding_kinds

    made = []
    async with _opened(memory_mb) as driver:
        kinds = await list_embedding_kinds(driver)
        if wanted and not any((kind.model, kind.dimensions) == wanted for kind in kinds):
            say(f"agentdb: no memory has an embedding of {_named(*wanted)} yet", err=True)
        for model, dimensions in [wanted] if wanted else _missing(kinds, at_least):
            with Bar() as bar:

                def show(progress: BuildProgress, bar: Bar = bar, about: str = _named(model, dimensions)) -> None:
                    bar.show(f"{about}: {progress.phase}", progress.done, progress.total)

                if await create_embedding_index(
                    driver, model, dimensions, m=m, ef_construction=ef_construction, progress=show
                ):
                    made.append((model, dimensions))
    return made


def _missing(kinds: list[EmbeddingKind], at_least: int) -> list[tuple[str, int]]:
    return [
        (kind.model, kind.dimensions)
        for kind in kinds
        if kind.is_indexable and (kind.index == "invalid" or (kind.memories >= at_least and kind.index != "valid"))
    ]


async def _drop(model: str, dimensions: int) -> bool:
    from agentdb.client.memory.embedding_index import drop_embedding_index

    async with _opened() as driver:
        return await drop_embedding_index(driver, model, dimensions)


@asynccontextmanager
async def _opened(memory_mb: int = 64) -> AsyncIterator[Driver]:
    from agentdb.client.memory.embedding_index import owner_pool
    from agentdb.postgres import migrate

    pool = owner_pool(await _database(), memory_mb=memory_mb)
    await pool.open()
    try:
        driver = pool.driver()
        await migrate.check(driver)
        yield driver
    finally:
        await pool.close()


async def _database() -> ConnectionOptions:
    from agentdb.cli.settings import load_settings
    from agentdb.postgres.embedded import ensure_embedded
    from agentdb.postgres.url import parse_url

    settings = load_settings()
    if settings.migration_url is not None:
        return parse_url(settings.migration_url, variable="AGENTDB_MIGRATION_URL", require_tls=settings.require_tls)
    url = settings.database_url or (await ensure_embedded(settings.data_dir)).admin_url
    return parse_url(url, require_tls=settings.require_tls)


def _print(kinds: list[EmbeddingKind]) -> None:
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    from agentdb.cli.output import results
    from agentdb.security.access_log import on_one_line

    if not kinds:
        typer.echo("no memory has an embedding")
        return
    console = results()
    if not console.is_terminal:
        console.width = 10_000  # one line per kind, so that grep finds it whole
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("model", overflow="fold")
    for name in ("dimensions", "memories", "index", "size"):
        table.add_column(name, justify="left" if name == "index" else "right")
    for kind in kinds:
        index = kind.index if kind.is_indexable else "too long for one"
        size = decimal(kind.size_bytes) if kind.size_bytes else ""
        table.add_row(Text(on_one_line(kind.model)), f"{kind.dimensions:,}", f"{kind.memories:,}", index, size)
    console.print(table)
    for hint in _hints(kinds):
        typer.echo(hint)


def _hints(kinds: list[EmbeddingKind]) -> list[str]:
    hints = []
    if any(kind.index == "invalid" for kind in kinds):
        hints.append("A build broke off and left an invalid index: `agentdb index create` makes it anew.")
    if any(kind.index == "none" and kind.is_indexable and kind.memories > _WORTH_AN_INDEX for kind in kinds):
        hints.append("Many memories and no index: `agentdb index create` makes searches among them quick.")
    if any(kind.index != "none" and not kind.memories for kind in kinds):
        hints.append("An index without memories only takes room: `agentdb index drop --model … --dimensions …`.")
    return hints
