"""Options that several commands have, so that each is spelled and explained the same way everywhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agentdb.cli.completion import complete_agent

__all__ = ["AsJson", "DryRun", "Yes", "agent_option"]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, only count.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def agent_option(help_: str) -> Any:
    """Return an option `--agent` that takes a name or an id; `agentdb.cli.agents` finds the agent that is meant."""
    return typer.Option("--agent", metavar="NAME|ID", help=help_, autocompletion=complete_agent)
