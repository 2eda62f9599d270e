"""What is read out of docstrings."""

from __future__ import annotations

import typer

from agentdb.cli.help import Help, read_docstrings, read_help


def test_a_docstring_is_prose_and_examples() -> None:
    """Paragraphs lose their line ends, examples keep theirs."""
    found = read_help(
        """
        Do it.

        At once, and
        all of it.

        Examples:
            agentdb do --it
            agentdb do | less
        """
    )

    assert found == Help("Do it.\n\nAt once, and all of it.", ("agentdb do --it", "agentdb do | less"))
    assert found.epilog == "Examples:\nagentdb do --it\nagentdb do | less"


def test_a_docstring_without_examples() -> None:
    """There is no last part then; nor is there anything in no docstring."""
    assert read_help("Do it.") == Help("Do it.", ())
    assert read_help("Do it.").epilog is None
    assert read_help("") == Help("", ())


def test_groups_and_commands_get_what_theirs_says() -> None:
    """At every depth; a group's is its callback's, or the one it was made with."""
    app, below, plain = typer.Typer(), typer.Typer(), typer.Typer(help="Plain\nones.")

    @below.callback()
    def group() -> None:
        """
        A group.

        Examples:
            agentdb below
        """

    @below.command()
    def command() -> None:
        """A
        command."""

    app.add_typer(below, name="below")
    app.add_typer(plain, name="plain")
    read_docstrings(app)

    assert (app.registered_groups[0].help, app.registered_groups[0].epilog) == ("A group.", "Examples:\nagentdb below")
    assert (app.registered_groups[1].help, app.registered_groups[1].epilog) == ("Plain ones.", None)
    assert below.registered_commands[0].help == "A command."
