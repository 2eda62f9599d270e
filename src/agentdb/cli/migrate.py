"""`agentdb migrate`: the tables of the database, brought to what this version works with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentdb.cli import migrate_copy
from agentdb.cli.completion import complete_migration
from agentdb.cli.options import AsJson
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.postgres.migrate import MigrationStatus
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["app"]

app: Final = typer.Typer()
app.command("copy")(migrate_copy.copy)


@app.callback(invoke_without_command=True)
def show_status(context: typer.Context, as_json: AsJson = False) -> None:
    """
    Bring the database to what this version works with.

    Works on AGENTDB_MIGRATION_URL, else DATABASE_URL, else the embedded server; interoperable with `prisma migrate
    deploy`. Without a command it shows the status and changes nothing.

    Examples:
        agentdb migrate
        agentdb migrate deploy
    """
    # Without a command nothing is changed: half a command line must not migrate a database in production.
    if context.invoked_subcommand is None:
        status(as_json)


@app.command()
def status(as_json: AsJson = False) -> None:
    """
    Say what the database has and what it lacks.

    Changes nothing. Exit status 1 unless the database fits this version.

    Examples:
        agentdb migrate status --json
    """
    from agentdb.cli.output import print_json
    from agentdb.postgres import migrate

    found = asyncio.run(migrate.status(asyncio.run(_database())))
    if as_json:
        print_json({name: getattr(found, name) for name in found.__slots__} | {"is_current": found.is_current})
    else:
        for line in _lines(found):
            say(line)
    if not found.is_current:
        raise typer.Exit(1)


@app.command()
def deploy(as_json: AsJson = False) -> None:
    """
    Apply the migrations that the database lacks.

    Any number of processes may do this at once.

    Examples:
        agentdb migrate deploy
        AGENTDB_MIGRATION_URL=postgresql://owner@db/agents agentdb migrate deploy
    """
    from agentdb.cli.output import print_json
    from agentdb.postgres import migrate

    applied = asyncio.run(migrate.deploy(asyncio.run(_database())))
    if as_json:
        print_json({"applied": applied})
        return
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("nothing to apply: the database is up to date")


@app.command()
def resolve(
    name: Annotated[
        str, typer.Argument(help="The failed migration, as `status` names it.", autocompletion=complete_migration)
    ],
    as_json: AsJson = False,
) -> None:
    """
    Mark a failed migration as undone, to be applied again.

    Examples:
        agentdb migrate resolve 20261128000000_agentdb_retrieval
    """
    from agentdb.cli.output import print_json
    from agentdb.postgres import migrate

    was_failed = asyncio.run(migrate.resolve(asyncio.run(_database()), name))
    if as_json:
        print_json({"resolved": [name] if was_failed else []})
    elif was_failed:
        say(f"{name} is marked as rolled back; now run `agentdb migrate deploy`")
    else:
        say(f"agentdb: no failed migration {name!r}; `agentdb migrate status` names them", err=True)
    if not was_failed:
        raise typer.Exit(1)


async def _database() -> ConnectionOptions:
    from agentdb.cli.settings import load_settings
    from agentdb.postgres.embedded import start_embedded
    from agentdb.postgres.url import parse_url

    settings = load_settings()
    if settings.migration_url is not None:
        return parse_url(settings.migration_url, variable="AGENTDB_MIGRATION_URL", require_tls=settings.require_tls)
    url = settings.database_url or (await start_embedded(settings.data_dir)).admin_url
    return parse_url(url, require_tls=settings.require_tls)


def _lines(found: MigrationStatus) -> list[str]:
    words = {
        "applied": found.applied,
        "edited since it was applied": found.edited,
        "failed": found.failed,
        "pending": found.pending,
        "unknown to this version": found.unknown,
    }
    lines = [f"{name}  {word}" for word, names in words.items() for name in names]
    if found.failed:
        lines.append(f"A migration failed. When its cause is gone: `agentdb migrate resolve {found.failed[0]}`")
    elif found.newer:
        lines.append("The database is newer than this agentdb: pip install --upgrade agentdb")
    elif found.pending:
        lines.append(f"{len(found.pending)} to apply: `agentdb migrate deploy`")
    else:
        lines.append("The database is up to date.")
    return lines
