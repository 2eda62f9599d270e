"""`agentdb reembed`: embeddings for what has none, or has another model's."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentdb.cli.options import AsJson, agent_option

if TYPE_CHECKING:
    from agentdb.client.memories import Reembedded
    from agentdb.client.memory.embedder import Embedder
    from agentdb.errors import ConfigurationError

__all__ = ["load_embedder", "reembed"]

_OPTION = "--embedder"


def reembed(
    embedder: Annotated[
        str,
        typer.Option(
            metavar="MODULE:ATTRIBUTE",
            help="An embedder, or what returns one when called without arguments; also in the current directory.",
        ),
    ],
    agent: Annotated[str | None, agent_option("Only this agent's memories.")] = None,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Only what has no embedding, not what another model embedded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Embed memories that another model embedded, or nothing did.

    Goes step by step; broken off and run again, it does what is left. Exit status 1 if some could not be embedded.

    Examples:
        agentdb reembed --embedder my_app:embedder
        agentdb reembed --embedder my_app:embedder --only-missing --agent scout
    """
    from agentdb.cli.output import print_json

    done = asyncio.run(_reembed(embedder, agent, only_missing))
    if as_json:
        print_json(done._asdict())
    else:
        typer.echo(f"embedded {done.embedded:,}, failed {done.failed:,}")
    if done.failed:
        raise typer.Exit(1)


async def _reembed(embedder: str, agent: str | None, only_missing: bool) -> Reembedded:
    from agentdb import PrismaAgentClient
    from agentdb.cli.agents import find_agent_id
    from agentdb.cli.bar import Bar

    async with PrismaAgentClient(embedder=load_embedder(embedder)) as client:
        agent_id = await find_agent_id(client, agent)
        with Bar() as bar:
            return await client.memories.reembed(
                agent_id, only_missing=only_missing, progress=lambda done, total: bar.show("memories", done, total)
            )


def load_embedder(text: str) -> Embedder:
    """
    Return the embedder that *text* names: `module:attribute`, a module of the current directory or an installed one.

    Raises:
        ConfigurationError: There is no such module or attribute, or it is neither an embedder nor returns one.
    """
    module_name, _, path = text.partition(":")
    if not module_name or not path:
        raise _wrong(f"expected MODULE:ATTRIBUTE, as in my_app.embedding:embedder; got {text[:100]!r}.")
    found = _imported(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise _wrong(f"{module_name} has no attribute {path!r}.") from error
    if callable(found) and (isinstance(found, type) or not hasattr(found, "embed")):
        found = _called(found, text)
    missing = [name for name in ("model", "dimensions", "embed") if not hasattr(found, name)]
    if missing:
        kind = type(found).__name__
        raise _wrong(f"{text} is no embedder but {kind}: it has no {', '.join(missing)}.")
    embedder: Embedder = found
    return embedder


def _imported(name: str) -> Any:
    import importlib

    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the module does when it is imported
        raise _wrong(f"cannot import {name}: {_said(error)}") from error


def _called(make: Any, text: str) -> Any:
    try:
        made = make()
    except Exception as error:  # whatever it does
        raise _wrong(f"{text}() failed: {_said(error)}") from error
    if asyncio.iscoroutine(made):
        made.close()
        raise _wrong(f"{text} is async; name an embedder, or a plain function that returns one.")
    return made


def _said(error: Exception) -> str:
    from agentdb.errors import quotable

    return f"{type(error).__name__}: {quotable(str(error))}"


def _wrong(reason: str) -> ConfigurationError:
    from agentdb.errors import ConfigurationError

    return ConfigurationError(_OPTION, reason)
