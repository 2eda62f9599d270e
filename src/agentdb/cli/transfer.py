"""`agentdb export` and `agentdb import`: memories as a file, out of one database and into another."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from agentdb.client.memory.transfer import Imported

__all__ = ["export", "import_"]

# Fewer take no time.
_SHOWN_EVERY = 1000
_TAIL_BYTES = 1000

AsJson = Annotated[bool, typer.Option("--json", help="Print what came of it for a program.")]


def export(
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Only this agent's memories.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, in place of stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Write the organization's memories as JSON Lines with checksums, for `agentdb import`.

    All as of one moment, with embeddings and history. A FILE appears when all of it is written, and only its owner may
    read it.
    """
    if output is None or str(output) == "-":
        if as_json:
            raise typer.BadParameter("it takes an --output: stdout is the export itself.", param_hint="--json")
        count = asyncio.run(_export(agent, typer.get_binary_stream("stdout")))
        typer.echo(f"exported {count:,} memories", err=True)
        return
    path = _checked(output, force=force)
    with _failing_in_words(output), _whole_file(path, force=force) as file:
        count = asyncio.run(_export(agent, file))
    if as_json:
        from agentdb.cli.output import print_json

        print_json({"memories": count, "file": str(path)})
    else:
        typer.echo(f"exported {count:,} memories to {output}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; -: stdin.")],
    agent: Annotated[
        str | None, typer.Option(metavar="ID", help="Put the memories of an export of one agent into this one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Store the memories of an `agentdb export`: all of them or, if anything is wrong with the file, nothing.

    What is there already stays as it is, so importing again changes nothing.
    """
    is_stdin = str(file) == "-"
    # Not left to typer, which looks for a file named "-".
    if not is_stdin and (not file.exists() or file.is_dir()):
        raise typer.BadParameter(f"there is no file {file}.", param_hint="FILE")
    with _failing_in_words(file):
        if is_stdin:
            with _interruptible():
                done = asyncio.run(_import(typer.get_binary_stream("stdin"), agent, 0))
        else:
            with file.open("rb") as stream:
                done = asyncio.run(_import(stream, agent, _expected(stream)))
    if as_json:
        from agentdb.cli.output import print_json

        print_json(done._asdict())
    else:
        typer.echo(f"imported {done.memories:,} memories; {done.known:,} were there already")


async def _export(agent: str | None, file: BinaryIO) -> int:
    from agentdb import PrismaAgentClient
    from agentdb.cli.bar import Bar

    count = -2  # the first line and the last are no memories
    async with PrismaAgentClient() as client:
        with Bar() as bar, _damage_fails():
            async for line in client.memories.export_lines(agent):
                file.write(line.encode() + b"\n")
                count += 1
                if count > 0 and count % _SHOWN_EVERY == 0:
                    bar.show(f"{count:,} memories", count, 0)
        file.flush()
    return count


async def _import(stream: BinaryIO, agent: str | None, expected: int) -> Imported:
    from agentdb import PrismaAgentClient
    from agentdb.cli.bar import Bar

    def show(done: int) -> None:
        if done >= _SHOWN_EVERY:
            bar.show("memories" if expected else f"{done:,} memories", done, expected)

    async with PrismaAgentClient() as client:
        with Bar() as bar, _damage_fails():
            return await client.memories.import_lines(_lines(stream), agent_id=agent, progress=show)


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
    """Return how many memories the last line of a file tells of; 0 if it tells nothing, or cannot be read ahead."""
    import json

    try:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - _TAIL_BYTES))
        last = stream.read().splitlines()[-1]
        return int(json.loads(last)["memories"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0
    finally:
        if stream.seekable():
            stream.seek(0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a read that waits for more; asyncio's own handler would wait with it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _damage_fails() -> Iterator[None]:
    """End with 1 when a memory or a line cannot be taken; that is no wrong use."""
    from agentdb.errors import InvalidInputError

    try:
        yield
    except InvalidInputError as error:
        if error.field == "agent_id":
            raise
        typer.echo(f"agentdb: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _failing_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        typer.echo(f"agentdb: {path}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from error


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
