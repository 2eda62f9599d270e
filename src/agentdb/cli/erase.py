"""`agentdb erase`: an agent, what is about a person, or all of an organization, for good."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from agentdb.cli.interrupts import interruptible
from agentdb.cli.options import AsJson, DryRun, Yes, agent_option
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.erasure.scope import Erased
    from agentdb.config import Settings
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["erase"]

_FAILED = 1
_SCOPES = "--agent, --subject, --organization"


class _Wanted(NamedTuple):
    """What is to be erased."""

    agent: str | None
    subject: str | None
    key: str
    organization: str | None

    def __str__(self) -> str:
        if self.agent is not None:
            return f"agent {self.agent}"
        return "the organization" if self.subject is None else f"what is about {self.subject}"


def erase(
    agent: Annotated[str | None, agent_option("An agent with all that it did.")] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is about a person: an id, an address.")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="KEY", help="With --subject: under which key data says whom it is about.")
    ] = "subject",
    organization: Annotated[
        str | None, typer.Option(metavar="ID", help="Everything: the id that ORGANIZATION_ID has, once more.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Erase an agent, a person's data or an organization.

    There is no way back. Says first how many rows that are, and asks; where there is no terminal it takes --yes. Says
    at last where the rest still speaks of it. With AGENTDB_MIGRATION_URL, --organization erases the access log too.
    Exit status 1 when others stored more of it meanwhile.

    Examples:
        agentdb erase --agent scout --dry-run
        agentdb erase --subject jane@example.org --yes --json
        agentdb erase --organization acme
    """
    from agentdb.cli.output import print_json

    if sum(scope is not None for scope in (agent, subject, organization)) != 1:
        raise typer.BadParameter("say which, and one of them alone.", param_hint=_SCOPES)
    if as_json and not (yes or dry_run):
        raise typer.BadParameter("it takes --yes, or --dry-run: nobody is asked.", param_hint="--json")
    wanted = _Wanted(agent, subject, key, organization)
    done = asyncio.run(_erase(wanted, dry_run=dry_run, asks=not yes, says=not as_json))
    if as_json:
        print_json({**done._asdict(), "dry_run": dry_run})
    elif not dry_run:
        _print(done, wanted)
    if not (dry_run or done.is_complete):
        typer.echo("agentdb: others stored more of it meanwhile; erase it again", err=True)
        raise typer.Exit(_FAILED)


async def _erase(wanted: _Wanted, *, dry_run: bool, asks: bool, says: bool) -> Erased:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id
    from agentdb.cli.bar import Bar

    async with PrismaAgentClient() as client:
        _check_organization(wanted, client)
        agent_id = await find_agent_id(client, wanted.agent)
        everything = wanted.organization is not None
        erase = partial(
            client.erase, agent_id=agent_id, subject=wanted.subject, key=wanted.key, organization=everything
        )
        done = await erase(dry_run=True)
        if says:
            _print_counts(f"would erase of {client.organization_id}, {wanted}", done.rows)
        if dry_run:
            return done
        if asks:
            _ask(done)
        with Bar() as bar:
            done = await erase(progress=lambda done, total: bar.show("rows", done, total))
    # What the client had to write to it when it was closed is there by now.
    return await _without_log(done, client.organization_id, client.settings) if everything else done


def _check_organization(wanted: _Wanted, client: PrismaAgentClient) -> None:
    if wanted.organization not in (None, client.organization_id):
        raise typer.BadParameter(
            f"is not the organization of the settings, {client.organization_id!r}.", param_hint="--organization"
        )


def _ask(rehearsed: Erased) -> None:
    """Go on only if whoever is at the terminal says so."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("is missing: there is no terminal to ask at.", param_hint="--yes")
    with interruptible():
        is_meant = typer.confirm(f"Erase these {sum(rehearsed.rows.values()):,} rows for good?")
    if not is_meant:
        raise typer.Exit(_FAILED)


async def _without_log(done: Erased, organization_id: str, settings: Settings) -> Erased:
    """Erase the access log of an organization as the owner of the tables, if there is a way to be that."""
    from agentdb.client.erasure.erasing import erase_access_log
    from agentdb.postgres.pool import Pool

    options = await _owner(settings)
    if options is None:
        return done
    pool = Pool(options)
    await pool.open()
    try:
        entries = await erase_access_log(pool.driver(), organization_id)
    finally:
        await pool.close()
    return done._replace(rows=done.rows | ({"access_log": entries} if entries else {}), residue={})


async def _owner(settings: Settings) -> ConnectionOptions | None:
    from agentdb.postgres.embedded import ensure_embedded
    from agentdb.postgres.url import parse_url

    if settings.migration_url is not None:
        return parse_url(settings.migration_url, variable="AGENTDB_MIGRATION_URL", require_tls=settings.require_tls)
    return None if settings.database_url else parse_url((await ensure_embedded(settings.data_dir)).admin_url)


def _print_counts(title: str, rows: dict[str, int]) -> None:
    say(f"{title}: {sum(rows.values()):,} rows")
    for table, count in rows.items():
        typer.echo(f"  {table:<26}{count:>12,}")


def _print(done: Erased, wanted: _Wanted) -> None:
    say(f"erased {wanted}: {sum(done.rows.values()):,} rows")
    for place, count in done.residue.items():
        typer.echo(f"still speaks of it: {place}, {count:,} rows")
    for place, count in done.unread.items():
        typer.echo(f"could not be looked into for lack of a key: {place}, {count:,} values")
