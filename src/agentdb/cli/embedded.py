"""`agentdb embedded`: the server that runs when no DATABASE_URL is set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from agentdb.postgres.embedded import EmbeddedServer

__all__ = ["app"]

app = typer.Typer(help="The server that agentdb runs itself when no DATABASE_URL is set.")


@app.callback(invoke_without_command=True)
def state(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Say whether the embedded server runs, and where its data lives; or start and stop it."""
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
) -> None:
    """Start the embedded server if need be, leave it running, and print its URL: psql "$(agentdb embedded url)"."""
    server = asyncio.run(_start())
    typer.echo(server.admin_url if admin else server.url)


@app.command()
def stop() -> None:
    """Stop the embedded server, also for other processes. Its data stays."""
    from agentdb.postgres.embedded import stop_embedded

    was_running = stop_embedded(_data_dir())
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
