"""The commands, and what their errors look like."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Final

import typer

# These import nothing but typer until a command runs, so that `--help` is quick.
from agentdb.cli import (
    audit,
    demo,
    doctor,
    embedded,
    erase,
    import_sqlite,
    index,
    init,
    migrate,
    reembed,
    rotate_keys,
    stats,
    sweep,
    transfer,
)
from agentdb.cli.help import read_docstrings
from agentdb.cli.output import print_error, say
from agentdb.errors import AgentDBError, ConfigurationError, InvalidInputError

__all__ = ["app", "run"]

DONE = 0
FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it

START, DATA, OPERATE, SECURITY = "Start", "Data", "Operate", "Security"
"""The panels of the help."""

app: Final = typer.Typer(
    name="agentdb",
    help="PostgreSQL for AI agents: memory, tools, executions and metrics.",
    epilog="Reads DATABASE_URL, ORGANIZATION_ID and AGENTDB_* from the environment and from .env; without DATABASE_URL "
    "it starts a server of its own. Exit status: 0 done, 1 failed, 2 wrong use or settings, 130 interrupted.\n\n"
    "Examples:\nagentdb demo\nagentdb doctor\nagentdb stats --help",
    no_args_is_help=True,
    # A traceback with local variables would show a password; errors of ours are one line, all others plain tracebacks.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", rich_help_panel=START)(demo.demo)
app.command("init", rich_help_panel=START)(init.init)
app.command("doctor", rich_help_panel=START)(doctor.doctor)
app.add_typer(migrate.app, name="migrate", rich_help_panel=START)
app.add_typer(embedded.app, name="embedded", rich_help_panel=START)
app.command("export", rich_help_panel=DATA)(transfer.export)
app.command("import", rich_help_panel=DATA)(transfer.import_)
app.command("import-sqlite", rich_help_panel=DATA)(import_sqlite.import_sqlite)
app.command("stats", rich_help_panel=OPERATE)(stats.stats)
app.command("sweep", rich_help_panel=OPERATE)(sweep.sweep)
app.add_typer(index.app, name="index", rich_help_panel=OPERATE)
app.command("reembed", rich_help_panel=OPERATE)(reembed.reembed)
app.add_typer(audit.app, name="audit", rich_help_panel=SECURITY)
app.command("erase", rich_help_panel=SECURITY)(erase.erase)
app.command("rotate-keys", rich_help_panel=SECURITY)(rotate_keys.rotate_keys)
read_docstrings(app)


def run(arguments: Sequence[str]) -> int:
    """Run the command line *arguments* and return the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(args=list(arguments), prog_name="agentdb")
    except SystemExit as exit_:
        if _was_interrupted(exit_):
            return INTERRUPTED
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (AgentDBError, OSError) as error:
        with suppress(OSError):  # what is full, or has left, may be the very one that it is told
            print_error(error, as_json="--json" in arguments)
        return WRONG_USE if isinstance(error, (ConfigurationError, InvalidInputError)) else FAILED
    return DONE


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C led to *error*; at a question typer makes an exit of its own of it."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _was_interrupted(error.__context__))


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
