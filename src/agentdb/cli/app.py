"""The commands, and what their errors look like."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

# These import nothing but typer until a command runs, so that `--help` is quick.
from agentdb.cli import (
    audit,
    demo,
    doctor,
    embedded,
    erase,
    index,
    migrate,
    reembed,
    rotate_keys,
    stats,
    sweep,
    transfer,
)
from agentdb.cli.output import say
from agentdb.errors import AgentDBError, ConfigurationError, InvalidInputError

__all__ = ["app", "run"]

FAILED = 1
WRONG_USE = 2

app = typer.Typer(
    name="agentdb",
    help="PostgreSQL for AI agents: memory, tools, executions and metrics.",
    epilog="Reads DATABASE_URL, ORGANIZATION_ID and AGENTDB_* from the environment and from .env; without DATABASE_URL "
    "it starts a server of its own. Exit status: 0 done, 1 failed, 2 wrong use or settings.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show a password; errors of ours are one line, all others plain tracebacks.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("erase")(erase.erase)
app.command("reembed")(reembed.reembed)
app.command("rotate-keys")(rotate_keys.rotate_keys)
app.command("stats")(stats.stats)
app.command("sweep")(sweep.sweep)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.add_typer(migrate.app, name="migrate")
app.add_typer(index.app, name="index")
app.add_typer(audit.app, name="audit")
app.add_typer(embedded.app, name="embedded")


def run(arguments: Sequence[str]) -> int:
    """Run the command line *arguments* and return the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(args=list(arguments), prog_name="agentdb")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except AgentDBError as error:
        say(f"agentdb: {error}", err=True)
        return WRONG_USE if isinstance(error, (ConfigurationError, InvalidInputError)) else FAILED
    return 0


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    """Print a warning as one line: where in the code it came from helps nobody at a command line."""
    say(f"agentdb: warning: {message}", err=True)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"agentdb {version('agentdb')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
