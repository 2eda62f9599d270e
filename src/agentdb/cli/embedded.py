"""`agentdb embedded`: the server that runs when no DATABASE_URL is set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentdb.cli.options import AsJson

if TYPE_CHECKING:
    from pathlib import Path

    from agentdb.postgres.embedded import EmbeddedServer

__all__ = ["app"]

app: Final = typer.Typer()


@app.callback(invoke_without_command=True)
def state(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """
    Start and stop the server that runs without a DATABASE_URL.

    Without a command it says whether the server runs, and where its data lives.

    Examples:
        agentdb embedded
        agentdb embedded --json
    """
    if context.invoked_subcommand is not None:
        return
    from agentdb.cli.output import print_json, shorten_path
    from agentdb.postgres.embedded import default_data_dir, find_embedded

    directory = _data_dir() or default_data_dir()
    server = find_embedded(directory)
    if as_json:
        print_json({"running": server is not None, "data_dir": str(directory), "url": server.url if server else None})
        return
    typer.echo(f"{'running' if server else 'stopped'}, data in {shorten_path(directory)}")


@app.command()
def url(
    admin: Annotated[
        bool, typer.Option("--admin", help="As the owner of the tables, whom row-level security does not bind.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Print the URL of the server, started if need be.

    It stays running, also when this command has ended.

    Examples:
        psql "$(agentdb embedded url)"
        export DATABASE_URL="$(agentdb embedded url)"
        agentdb embedded url --admin
    """
    from agentdb.cli.output import print_json

    server = asyncio.run(_start())
    found = server.admin_url if admin else server.url
    if as_json:
        print_json({"url": found})
    else:
        typer.echo(found)


@app.command()
def stop(as_json: AsJson = False) -> None:
    """
    Stop the server, also for other processes; its data stays.

    Examples:
        agentdb embedded stop
    """
    from agentdb.cli.output import print_json
    from agentdb.postgres.embedded import stop_embedded

    was_running = stop_embedded(_data_dir())
    if as_json:
        print_json({"stopped": was_running})
    else:
        typer.echo("stopped" if was_running else "not running")


async def _start() -> EmbeddedServer:
    from agentdb.postgres import migrate
    from agentdb.postgres.embedded import start_embedded

    server = await start_embedded(_data_dir(), keep_running=True)
    await migrate.deploy(server.admin_url)
    return server


def _data_dir() -> Path | None:
    from agentdb.cli.settings import load_settings

    return load_settings().data_dir
