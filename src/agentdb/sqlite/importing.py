"""The import as a whole: a file is opened, its tables are planned, read to their end, written and compared."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agentdb.client.execution.payloads import Payloads
from agentdb.client.flow import Breath
from agentdb.errors import ConflictError, InvalidInputError
from agentdb.ids import keyed_uuid
from agentdb.models import AgentCategory, AgentConfig
from agentdb.moments import utc_now
from agentdb.sqlite.cells import Setting
from agentdb.sqlite.made import Made, PassedOver
from agentdb.sqlite.mapping import Mapping, mapping_text, plan_tables
from agentdb.sqlite.opening import Source, open_source
from agentdb.sqlite.recognition import TablePlan
from agentdb.sqlite.reports import Report, TableReport
from agentdb.sqlite.rows import RowReader
from agentdb.sqlite.survey import names_of_tools, survey, without_double_counts
from agentdb.sqlite.tables import read_rows, read_tables
from agentdb.sqlite.values import Refused, zone_of
from agentdb.sqlite.writing import Outcome, Writer
from agentdb.validation import checked

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["Progress", "examine", "import_file", "import_source", "plans_of"]

Progress = Callable[[str, int, int], object]
"""Hears what is done: "reading facts", how many rows of it are done, and how many there are."""

_CHUNK_ROWS: Final = 1000
_CHUNK_CHARACTERS: Final = 4_000_000
_SHOWN_EVERY: Final = 200
_NO_CUT: Final = 2**31 - 1
_NOBODY: Final = "nobody"  # whose rows they are while they are only looked at


@dataclass
class _Examined:
    """
    A table that was read to its end.

    Attributes:
        scale: What importance, or confidence, is divided by.
        anchor: Tells this file from others: the identity of the first row that was read; None: there is none.
    """

    plan: TablePlan
    report: TableReport
    scale: float = 1.0
    anchor: str | None = None


def examine(
    path: str | os.PathLike[str], mapping: Mapping | None = None, *, progress: Progress | None = None
) -> tuple[Report, str]:
    """
    Return what an import would do, and a mapping that says the same, to be edited; no database is asked.

    Every row is read and checked.

    Args:
        path: The SQLite file; neither it nor its folder is touched.
        mapping: What is known of its tables.
        progress: Called now and then.

    Raises:
        InvalidInputError: The file cannot be read, or the mapping does not fit it.
    """
    said = mapping or Mapping()
    with open_source(path) as source:
        plans = plans_of(source, said)
        setting = _setting(source, plans, said, Payloads(None, _NO_CUT))
        examined = [_to_its_end(_examine(source, plan, setting, progress)) for plan in plans]
        source.check_unchanged()
        return _report(source, None, None, examined), mapping_text([each.plan for each in examined], said)


async def import_file(
    client: PrismaAgentClient,
    path: str | os.PathLike[str],
    agent: str,
    *,
    category: AgentCategory | str = AgentCategory.OPERATIONAL,
    mapping: Mapping | None = None,
    into_existing: bool = False,
    progress: Progress | None = None,
) -> Report:
    """
    Bring what is in a SQLite file into an agent: memories, tools and their calls, executions, metrics, patterns.

    Every table is read to its end before anything of it is written, so one that cannot be read is left out whole. Rows
    that cannot be taken are left out and named; the rest is written some thousand rows at a time. What an earlier
    import has brought stays as it is, so that it may be broken off and run again, and a file that has grown brings what
    is new. All that is written is read back and compared with what was to be there.

    Args:
        client: Open, in no transaction.
        path: The SQLite file; neither it nor its folder is touched.
        agent: The agent's name; it is registered unless it is there.
        category: Of an agent that is not there yet.
        mapping: What is known of the tables; what it does not say is recognised.
        into_existing: Whether the agent may be one that no import of this file has made.
        progress: Called now and then.

    Raises:
        InvalidInputError: The file cannot be read, was changed while it was read, or the mapping does not fit it; or
            the name or the category is none.
        ConflictError: The agent is there, no import of this file has made it, and *into_existing* is False.
    """
    with ExitStack() as stack:
        source = await asyncio.to_thread(stack.enter_context, open_source(path))  # it may have to wait, or to copy
        return await import_source(
            client, source, agent, category=category, mapping=mapping, into_existing=into_existing, progress=progress
        )


async def import_source(
    client: PrismaAgentClient,
    source: Source,
    agent: str,
    *,
    category: AgentCategory | str = AgentCategory.OPERATIONAL,
    mapping: Mapping | None = None,
    into_existing: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Do as `import_file` with a file that is open already."""
    said = mapping or Mapping()
    config = checked(AgentConfig, name=agent, category=category)
    if client.in_transaction:
        raise InvalidInputError("client", "is in a transaction; an import takes its own.")
    plans = plans_of(source, said)
    setting = _setting(source, plans, said, client.payloads)
    examined = [await _in_slices(_examine(source, plan, setting, progress)) for plan in plans]
    source.check_unchanged()
    # Tools tell least: agents of one make begin with the same.
    anchors = [each.anchor for each in sorted(examined, key=lambda each: each.plan.kind == "tools") if each.anchor]
    if not anchors:
        return _report(source, agent, None, examined)
    agent_id = await _agent_id(client, config, anchors, into_existing=into_existing)
    writer, setting = Writer(client), replace(setting, agent_id=agent_id)
    for each in examined:
        if each.plan.is_taken and each.report.failure is None:
            await _write(writer, source, each, setting, progress)
    source.check_unchanged()
    return _report(source, agent, agent_id, examined)


def plans_of(source: Source, mapping: Mapping) -> list[TablePlan]:
    """
    Return what becomes of each table, tools before their calls.

    Raises:
        InvalidInputError: The mapping does not fit the file.
    """
    plans = without_double_counts(source.connection, plan_tables(read_tables(source.connection), mapping))
    return sorted(plans, key=lambda plan: plan.kind != "tools")


def _setting(source: Source, plans: Sequence[TablePlan], mapping: Mapping, payloads: Payloads) -> Setting:
    tools = names_of_tools(source.connection, plans)
    return Setting(_NOBODY, utc_now(), zone_of(mapping.timezone), mapping.embedding_model, payloads, tools)


def _report(source: Source, agent: str | None, agent_id: str | None, examined: Sequence[_Examined]) -> Report:
    return Report(str(source.path), agent, agent_id, source.is_copy, [each.report for each in examined])


# Reading.


def _examine(
    source: Source, plan: TablePlan, setting: Setting, progress: Progress | None
) -> Generator[None, None, _Examined]:
    """Read a table to its end, and check every row; yield now and then."""
    report = TableReport(plan.table.name, plan.kind, plan.sureness, plan.why, dict(plan.targets))
    examined = _Examined(plan, report)
    if not plan.is_taken:
        return examined
    try:
        found = survey(source.connection, plan)
        examined.plan, examined.scale = found.plan, found.scale
        report.columns, report.notes, report.rows = dict(found.plan.targets), found.notes, found.rows
        reader = RowReader(found.plan, setting, found.scale)
        for number, row in enumerate(read_rows(source.connection, found.plan.table)):
            if examined.anchor is None and row.cells:
                examined.anchor = RowReader(found.plan, setting).identity(row)
            try:
                report.made += len(reader.read(row))
            except Refused as reason:
                report.refuse(row.label, str(reason))
            except PassedOver as reason:
                reader.notes[f"rows passed over: {reason}"] += 1
                report.passed_over += 1
            if number % _SHOWN_EVERY == 0:
                if progress is not None:
                    progress(f"reading {plan.table.name}", number, report.rows)
                yield
        report.notes += [f"{note} ({count:,})" for note, count in reader.notes.items()]
    except InvalidInputError as error:
        examined.anchor = None
        report.failure = error.reason
    return examined


def _to_its_end(steps: Generator[None, None, _Examined]) -> _Examined:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            examined: _Examined = end.value
            return examined


async def _in_slices(steps: Generator[None, None, _Examined]) -> _Examined:
    """Do as `_to_its_end`, and leave the event loop to others meanwhile."""
    breath = Breath()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            examined: _Examined = end.value
            return examined
        await breath.take()


# Writing.


async def _agent_id(
    client: PrismaAgentClient, config: AgentConfig, anchors: Sequence[str], *, into_existing: bool
) -> str:
    """
    Return the id of the agent, which is registered unless it is there.

    An agent that an import has made has an id that is made of its name and the first row of a table: that stays when it
    registers anew, and tells whether it was this file.
    """
    made_here = [str(keyed_uuid("sqlite agent", config.name, anchor)) for anchor in anchors]
    there = await client.agents.find(config.name)
    if there is None:
        return (await client.agents.register(config.model_copy(update={"id": made_here[0]}))).id
    if there.id not in made_here and not into_existing:
        raise ConflictError(
            f"The agent {config.name[:100]!r} is there already, and no import of this file has made it. Choose another "
            "name, or say that what the file holds shall be added to it: --into-existing (into_existing=True).",
            constraint="agents_organization_id_name_key",
        )
    return there.id


async def _write(
    writer: Writer, source: Source, examined: _Examined, setting: Setting, progress: Progress | None
) -> None:
    """Write the rows of a table that was read to its end before."""
    report, reader, breath = examined.report, RowReader(examined.plan, setting, examined.scale), Breath()
    chunk: list[Made] = []
    characters = 0
    for number, row in enumerate(read_rows(source.connection, examined.plan.table), 1):
        try:
            made = reader.read(row)
        except (Refused, PassedOver):
            continue  # it was counted before
        chunk += made
        characters += sum(each.characters for each in made)
        if len(chunk) >= _CHUNK_ROWS or characters >= _CHUNK_CHARACTERS:
            _count(report, await writer.write(setting.agent_id, chunk))
            chunk, characters = [], 0
            if progress is not None:
                progress(f"importing {report.name}", number, report.rows)
        await breath.take()
    if chunk:
        _count(report, await writer.write(setting.agent_id, chunk))
    report.source_checksum, report.database_checksum = writer.checksums()


def _count(report: TableReport, outcome: Outcome) -> None:
    report.imported += outcome.imported
    report.known += outcome.known
    report.merged += outcome.merged
    report.differing += outcome.differing
    for row, reason in outcome.refused:
        report.refuse(row.label, reason)
    for row in outcome.missing:
        report.refuse(row.label, "it was written, and is not there as it was written")
