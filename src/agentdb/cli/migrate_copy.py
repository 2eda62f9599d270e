"""`agentdb migrate copy`: models and migrations for a Node application that owns the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.options import AsJson
from agentdb.cli.output import print_json, say

if TYPE_CHECKING:
    from agentdb.project.prisma_folder import Copied

__all__ = ["copy"]


def copy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its *.prisma files are, most often prisma.")],
    migrations: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its migrations are, if not in DIR/migrations.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Copy models and migrations into a Node application.

    Run it again after an upgrade: it adds what is new. What was changed there it leaves as it is, and shows how it
    differs. Needs no database. Exit status 1 if a file differs.

    Examples:
        agentdb migrate copy prisma
        agentdb migrate copy prisma/schema --migrations prisma/migrations
    """
    from agentdb.project.prisma_folder import copy_into

    copied = copy_into(folder, migrations)
    differing = [file for file in copied if file.state == "differs"]
    if as_json:
        files = [{"path": str(file.path), "state": file.state, "difference": file.difference} for file in copied]
        print_json({"files": files, "is_current": not differing})
    else:
        for line in _lines(copied, folder):
            say(line)
        for file in differing:
            say(f"agentdb: {file.path} was changed here; agentdb's differs:\n{file.difference}", err=True)
    if differing:
        raise typer.Exit(1)


def _lines(copied: list[Copied], folder: Path) -> list[str]:
    changed = [f"{file.state:<8} {file.path}" for file in copied if file.state != "unchanged"]
    if not changed:
        return [f"nothing new: {folder} has what this version has"]
    if not any(file.state == "added" for file in copied):
        return changed
    return [
        *changed,
        "",
        f'Next: have prisma.config.ts name the folder (schema: "{folder}"), then `npx prisma migrate deploy`',
        "or `agentdb migrate deploy`: both keep one history, so either may come first.",
    ]
