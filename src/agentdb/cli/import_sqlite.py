"""`agentdb import-sqlite`: what an agent left in a SQLite file, into the organization's database."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentdb.cli.completion import complete_category
from agentdb.cli.options import AsJson
from agentdb.cli.output import say

if TYPE_CHECKING:
    from agentdb.cli.bar import Bar
    from agentdb.sqlite.importing import Progress
    from agentdb.sqlite.mapping import Mapping
    from agentdb.sqlite.opening import Source
    from agentdb.sqlite.reports import Report, TableReport

__all__ = ["import_sqlite"]

_FAILED = 1
_WIDTH = 80
_SHOWN_REFUSALS = 5
_SHOWN_FROM = 1000
_NO_FIELD = "ignore"
_DISK_FULL = "53100"
_ALL_THERE = "Everything is there."
_GO_ON = "what is imported stays: run it again to go on."


def import_sqlite(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The SQLite database; it is only read.")],
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose it becomes; registered unless it is there.")
    ] = None,
    category: Annotated[
        str,
        typer.Option(
            metavar="CATEGORY",
            help="STRATEGIC, OPERATIONAL or SUPPORT, of an agent that is new.",
            autocompletion=complete_category,
        ),
    ] = "OPERATIONAL",
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What tables and columns mean, where it is not recognised.")
    ] = None,
    embedding_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="What made the embeddings; they are left out without.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything and write nothing; needs no database.")
    ] = False,
    write_mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what is recognised as a mapping to edit, and import nothing."),
    ] = None,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="Add to an agent that no import of this file has made.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Bring in what an agent has in a SQLite file.

    Tables and columns are recognised by their names and values; a mapping says what is not. Rows that cannot be taken
    are left out and named. It may be broken off and run again: what is there stays as it is. All that is written is
    read back and compared with what was to be there. Exit status 1 if a row was refused, or nothing was recognised.

    Examples:
        agentdb import-sqlite old.db --dry-run
        agentdb import-sqlite old.db --agent researcher
        agentdb import-sqlite old.db --write-mapping map.toml
        agentdb import-sqlite old.db --agent researcher --mapping map.toml
    """
    said = _said(mapping, embedding_model)
    if dry_run or write_mapping is not None:
        from agentdb.cli.bar import Bar
        from agentdb.sqlite import examine

        with Bar() as bar:
            report, text = examine(file, said, progress=_shown_by(bar))
        if write_mapping is not None:
            _write(write_mapping, text)
    elif agent is None:
        raise typer.BadParameter("is missing: whose is it to be? (--dry-run needs none)", param_hint="--agent")
    else:
        from agentdb.sqlite.importing import plans_of
        from agentdb.sqlite.opening import open_source

        with open_source(file) as source:
            plans_of(source, said)  # before a server is started for nothing
            report = asyncio.run(_import(source, agent, category, said, into_existing))
    if as_json:
        from agentdb.cli.output import print_json

        print_json(report.as_dict())
    else:
        _print(report, write_mapping)
    if not report.is_complete:
        raise typer.Exit(_FAILED)


async def _import(source: Source, agent: str, category: str, said: Mapping, into_existing: bool) -> Report:
    from agentdb import PrismaAgentClient
    from agentdb.cli.bar import Bar
    from agentdb.sqlite.importing import import_source

    async with PrismaAgentClient() as client:
        with Bar() as bar, _telling_how_to_go_on():
            return await import_source(
                client,
                source,
                agent,
                category=category,
                mapping=said,
                into_existing=into_existing,
                progress=_shown_by(bar),
            )


def _shown_by(bar: Bar) -> Progress:
    """Return what shows how far a table is; a small one takes no time."""

    def show(what: str, done: int, total: int) -> None:
        if total >= _SHOWN_FROM:
            bar.show(what, done, total)

    return show


def _said(file: Path | None, embedding_model: str | None) -> Mapping:
    from dataclasses import replace

    from agentdb.sqlite import Mapping, load_mapping

    said = Mapping() if file is None else load_mapping(file)
    return said if embedding_model is None else replace(said, embedding_model=embedding_model)


def _write(path: Path, text: str) -> None:
    """Write a mapping; one that is there may have been edited and is not replaced."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise typer.BadParameter(f"{path} is there already.", param_hint="--write-mapping") from None


@contextmanager
def _telling_how_to_go_on() -> Iterator[None]:
    from agentdb.errors import ConnectionFailedError, DatabaseError

    try:
        yield
    except asyncio.CancelledError:  # which is what Ctrl-C comes as
        say(f"agentdb: interrupted; {_GO_ON}", err=True)
        raise
    except DatabaseError as error:
        why = "the disk of the database is full" if error.sqlstate == _DISK_FULL else "broken off"
        what = "the server does not answer" if isinstance(error, ConnectionFailedError) else why
        say(f"agentdb: {what}; {_GO_ON}", err=True)
        raise


# What came of it, for people.


def _print(report: Report, written: Path | None) -> None:
    is_done = report.agent_id is not None
    for table in report.tables:
        if table.sureness == "no" or table.kind == _NO_FIELD:
            _say(f"{table.name}: left out, {table.why}")
            continue
        sure = "" if table.sureness == "mapped" else f" ({table.sureness}, {table.why})"
        _say(f"{table.name}: {table.kind}{sure}")
        if not is_done:
            _print_columns(table)
        for note in table.notes:
            _say(note, "  ")
        _say(_counts(table, is_done=is_done), "  ")
        _print_refusals(table)
    say(_end(report))
    if written is not None:
        _say(f"written to {written}: edit it, and give it as --mapping")


def _print_columns(table: TableReport) -> None:
    width = max(map(len, table.columns), default=0)
    for name, target in table.columns.items():
        _say(f"{name:{width}}  {'-' if target == _NO_FIELD else target}", "  ")


def _counts(table: TableReport, *, is_done: bool) -> str:
    if table.failure is not None:
        return f"nothing of it is imported: the file {table.failure}"
    parts = [f"{table.rows:,} {'row' if table.rows == 1 else 'rows'}"]
    if is_done:
        parts.append(f"{table.imported:,} imported")
        parts += _some(table.known, "there already")
        parts += _some(table.merged, "merged with what is there")
        parts += _some(table.differing, "there, and changed since: left as they are")
    else:
        parts.append(f"{table.made:,} to import")
    parts += _some(table.passed_over, "passed over")
    parts += _some(table.refused, "refused")
    if is_done and table.source_checksum is not None:
        parts.append(f"verified {table.database_checksum:.12}" if table.is_verified else "NOT VERIFIED")
    return ", ".join(parts)


def _some(count: int, what: str) -> list[str]:
    return [f"{count:,} {what}"] if count else []


def _print_refusals(table: TableReport) -> None:
    for row, reason in table.refusals[:_SHOWN_REFUSALS]:
        _say(f"{row} refused: {reason}", "  ")
    if table.refused > _SHOWN_REFUSALS:
        for reason, count in sorted(table.reasons.items(), key=lambda each: -each[1])[:_SHOWN_REFUSALS]:
            _say(f"in all {count:,}: {reason}", "  ")


def _end(report: Report) -> str:
    if not report.tables:
        return "Nothing was recognised: there is no table in the file."
    if all(table.kind == _NO_FIELD for table in report.tables):
        return "Nothing was recognised: --write-mapping makes a mapping to say what the tables are."
    if report.agent_id is None:
        return "Nothing was written."
    return f"agent {report.agent} ({report.agent_id}): {_ending(report)}"


def _ending(report: Report) -> str:
    if not report.is_complete:
        return "Not all of it is there: see above."
    differing = sum(table.differing for table in report.tables)
    return f"Everything is there; {differing:,} changed since, here or in the file." if differing else _ALL_THERE


def _say(text: str, indent: str = "") -> None:
    say(textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ", break_long_words=False))
