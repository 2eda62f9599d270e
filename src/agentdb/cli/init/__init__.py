"""
`agentdb init`: from an empty folder to a database that agents can work on.

Read `questions.py`, what is asked at a terminal; `folder.py`, what is written; `database.py`, what is found and made in
the database. All of it is shown as `agentdb doctor` shows what it finds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.options import AsJson, Yes
from agentdb.cli.output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentdb.cli.doctor.check import Check
    from agentdb.config import Settings

__all__ = ["init"]

_ASKED = ("DATABASE_URL", "ORGANIZATION_ID")


def init(
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where PostgreSQL is. Default: DATABASE_URL, else it asks.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="ID", help="Whom the agents work for. Default: ORGANIZATION_ID, else it asks.")
    ] = None,
    shims: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also let shared.database and shared.templates below DIR lead to agentdb."),
    ] = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate/--no-migrate", help="Make the tables, or do not. Default: it asks.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Set up this folder: .env, the connection, the tables.

    Asks at a terminal for what it is not told. Nothing that is there is overwritten. Without a DATABASE_URL agents work
    on the server that agentdb starts itself, which comes with the extra `embedded`. Exit status 1 if the database
    cannot be used.

    Examples:
        agentdb init
        agentdb init --database-url postgresql://db/agents --organization acme
        agentdb init --shims .
    """
    from agentdb.cli.init import folder, questions
    from agentdb.project.shims import plan_shims

    may_ask = sys.stdin.isatty() and not (yes or as_json)
    shim_files = plan_shims(shims) if shims is not None else []
    values = _given(database_url, organization)
    if may_ask and not folder.has_env():
        values = questions.ask(values)
    settings = _checked(values)  # what is wrong so far ends it before anything is written

    report = _Report(is_shown=not as_json)
    report.add(folder.write_env(values))
    report.add(folder.write_shims(shim_files) if shims is not None else ())
    report.add(folder.look_at_git())
    next_steps = _set_up_database(settings, migrate, report, may_ask=may_ask)
    if as_json:
        print_json({"checks": [asdict(check) for check in report.checks], "next": next_steps})
    else:
        say("\nNext:\n" + "\n".join(f"  {step}" for step in next_steps))
    if any(check.state == "failed" for check in report.checks):
        raise typer.Exit(1)


def _given(database_url: str | None, organization: str | None) -> dict[str, str]:
    """Return what the command line says, and the environment where it says nothing."""
    given = dict(zip(_ASKED, (database_url, organization), strict=True))
    found = {name: value or os.environ.get(name) for name, value in given.items()}
    return {name: value for name, value in found.items() if value}


def _checked(values: dict[str, str]) -> Settings:
    """
    Return the settings with *values* before all others.

    Raises:
        ConfigurationError: DATABASE_URL is none, or there is no ORGANIZATION_ID beside it.
        InvalidInputError: ORGANIZATION_ID is none.
    """
    from agentdb.config import Settings
    from agentdb.postgres.url import parse_url

    settings = Settings.load(database_url=values.get("DATABASE_URL"), organization_id=values.get("ORGANIZATION_ID"))
    if settings.database_url is not None:
        parse_url(settings.database_url, require_tls=settings.require_tls)
    return settings


def _set_up_database(settings: Settings, migrate: bool | None, report: _Report, *, may_ask: bool) -> list[str]:
    """Look at the database, make its tables if that is wanted, and return what to do next."""
    from agentdb.cli.init import database

    found = asyncio.run(database.look(settings))
    report.add(found.connection)
    if found.lacks_tables and _is_wanted(migrate, may_ask=may_ask, is_embedded=settings.is_embedded):
        problem = asyncio.run(database.make_tables(settings))
        found = asyncio.run(database.look(settings))  # again; what has failed may have to be resolved first
        if problem is not None:
            found = replace(found, tables=[problem])
    report.add(found.tables)
    return found.next_steps


def _is_wanted(migrate: bool | None, *, may_ask: bool, is_embedded: bool) -> bool:
    if migrate is not None:
        return migrate
    # The server that agentdb starts itself is there for nothing else, and every client would make them.
    return is_embedded or (may_ask and typer.confirm("The tables are missing. Make them now?", default=True, err=True))


class _Report:
    """What was found so far, shown as it comes."""

    def __init__(self, *, is_shown: bool) -> None:
        self.checks: list[Check] = []
        self._is_shown = is_shown

    def add(self, checks: Iterable[Check]) -> None:
        from agentdb.cli.doctor import print_check

        for check in checks:
            self.checks.append(check)
            if self._is_shown:
                print_check(check)
