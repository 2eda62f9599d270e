"""`agentdb export` and `agentdb import`: an agent or an organization as a file, out of one database, into another."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from agentdb.cli.interrupts import interruptible
from agentdb.cli.options import AsJson, agent_option
from agentdb.cli.output import print_error

if TYPE_CHECKING:
    from agentdb.client.archive.transfer import Restored

__all__ = ["export", "import_"]

# Fewer take no time.
_SHOWN_EVERY = 1000
_TAIL_BYTES = 1000

_NAMES = {
    "agents": "agents",
    "agent_memories": "memories",
    "agent_tools": "tools",
    "agent_tool_versions": "versions of tools",
    "agent_executions": "executions",
    "agent_steps": "steps",
    "agent_metric_rollups": "hours of metrics",
    "agent_metrics": "points of metrics",
    "learning_patterns": "patterns",
    "learning_outcomes": "outcomes",
    "learning_pattern_changes": "changes of patterns",
    "model_prices": "prices",
}

Sealed = Literal["plain", "keep", "omit"]


def export(
    agent: Annotated[str | None, agent_option("Only this agent and what it did.")] = None,
    sealed: Annotated[
        Sealed | None,
        typer.Option(
            help="What becomes of encrypted values: plain text in the file, kept encrypted for this organization and "
            "its keys, or left out."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, in place of stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Write the organization, or an agent, as JSON Lines.

    `agentdb import` reads it, and sees by its checksums that nothing of it is missing.

    All as of one moment, every table but the access log. A FILE appears when all of it is written, and only its owner
    may read it.

    Examples:
        agentdb export --output acme.jsonl
        agentdb export --agent scout --sealed keep | gzip > scout.jsonl.gz
    """
    if output is None or str(output) == "-":
        if as_json:
            raise typer.BadParameter("it takes an --output: stdout is the export itself.", param_hint="--json")
        with _damage_fails():
            rows = asyncio.run(_export(agent, sealed, typer.get_binary_stream("stdout")))
        typer.echo(f"exported {_named(rows)}", err=True)
        return
    path = _checked(output, force=force)
    with _naming(output), _damage_fails(as_json=as_json), _whole_file(path, force=force) as file:
        rows = asyncio.run(_export(agent, sealed, file))
    if as_json:
        from agentdb.cli.output import print_json

        print_json({"rows": rows, "file": str(path)})
    else:
        typer.echo(f"exported {_named(rows)} to {output}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; -: stdin.")],
    agent: Annotated[str | None, agent_option("Put an export of one agent into this one, which is there.")] = None,
    as_json: AsJson = False,
) -> None:
    """
    Store what `agentdb export` has written.

    All of it or, if anything is wrong with the file, nothing. What is there already stays as it is, so importing again
    changes nothing.

    Examples:
        agentdb import acme.jsonl
        gunzip --stdout scout.jsonl.gz | agentdb import - --agent scout
    """
    is_stdin = str(file) == "-"
    # Not left to typer, which looks for a file named "-".
    if not is_stdin and (not file.exists() or file.is_dir()):
        raise typer.BadParameter(f"there is no file {file}.", param_hint="FILE")
    with _naming(file), _damage_fails(as_json=as_json):
        if is_stdin:
            with interruptible():
                done = asyncio.run(_import(typer.get_binary_stream("stdin"), agent, 0))
        else:
            with file.open("rb") as stream:
                done = asyncio.run(_import(stream, agent, _expected(stream)))
    if as_json:
        from agentdb.cli.output import print_json

        print_json(done._asdict())
    else:
        typer.echo(f"imported {_named(done.rows)}; {sum(done.known.values()):,} were there already")


async def _export(agent: str | None, sealed: Sealed | None, file: BinaryIO) -> dict[str, int]:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id
    from agentdb.cli.bar import Bar

    rows: dict[str, int] = {}

    def show(done: Mapping[str, int]) -> None:
        rows.update(done)
        if (count := sum(done.values())) >= _SHOWN_EVERY:
            bar.show(f"{count:,} rows", count, 0)

    async with PrismaAgentClient() as client:
        with Bar() as bar:
            agent_id = await find_agent_id(client, agent)
            async for line in client.export_lines(agent_id, sealed=sealed, progress=show):
                file.write(line.encode() + b"\n")
        file.flush()
    return rows


async def _import(stream: BinaryIO, agent: str | None, expected: int) -> Restored:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id
    from agentdb.cli.bar import Bar

    def show(done: Mapping[str, int]) -> None:
        if (count := sum(done.values())) >= _SHOWN_EVERY:
            bar.show("rows" if expected else f"{count:,} rows", count, expected)

    async with PrismaAgentClient() as client:
        with Bar() as bar:
            agent_id = await find_agent_id(client, agent)
            return await client.import_lines(_lines(stream), agent_id=agent_id, progress=show)


def _named(rows: Mapping[str, int]) -> str:
    """Return how many rows there are, in words."""
    parts = [f"{rows[table]:,} {name}" for table, name in _NAMES.items() if rows.get(table)]
    return ", ".join(parts) or "nothing"


def _lines(stream: BinaryIO) -> Iterator[str]:
    from agentdb.client.memory.lines import MOST_CHARACTERS
    from agentdb.errors import InvalidInputError

    # A line without an end is not read to its end: this is more than any may have.
    enough = 4 * MOST_CHARACTERS + 4
    for number, line in enumerate(iter(lambda: stream.readline(enough), b""), start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"line {number}", "is not UTF-8.") from None


def _expected(stream: BinaryIO) -> int:
    """Return how many rows the last line of a file tells of; 0 if it tells nothing, or cannot be read ahead."""
    import json

    try:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - _TAIL_BYTES))
        last = stream.read().splitlines()[-1]
        trailer = json.loads(last)
        return int(trailer["rows"] if "rows" in trailer else trailer["memories"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0
    finally:
        if stream.seekable():
            stream.seek(0)


@contextmanager
def _damage_fails(*, as_json: bool = False) -> Iterator[None]:
    """End with 1 when a row or a line cannot be taken; that is no wrong use."""
    from agentdb.errors import InvalidInputError

    try:
        yield
    except InvalidInputError as error:
        if error.field in ("agent_id", "sealed"):
            raise
        print_error(error, as_json=as_json)
        raise typer.Exit(1) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors of the system name the file that was given, not a part of it or none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _checked(output: Path, *, force: bool) -> Path:
    """Return where *output* is, links followed; BadParameter when it cannot be written to."""
    path = output.resolve()
    if not path.parent.is_dir():
        raise _refusal(f"there is no directory {path.parent}.")
    if path.exists() and not path.is_file():
        raise _refusal(f"{output} is there, and no file.")
    if path.exists() and not force:
        raise _refusal(f"{output} is there already; --force replaces it.")
    return path


@contextmanager
def _whole_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends, and vanishes when it does not."""
    handle, name = tempfile.mkstemp(prefix=".agentdb-export-", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _checked(path, force=force)  # it may have come since
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _refusal(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint="--output")
