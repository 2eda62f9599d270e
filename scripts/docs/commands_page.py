"""The page of commands, made of the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

# Typer brings a click of its own from some version on, so nothing here is named by its type.


def commands_page(app: typer.Typer, name: str) -> str:
    """Return the Markdown of every command of *app*, which is called *name*."""
    root: Any = typer.main.get_command(app)
    context = root.context_class(root, info_name=name)
    return "\n\n".join(_section(command, found, name) for command, found in _commands(root, context))


def _commands(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each command with the context that knows its path, a group before what is below it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            found = command.context_class(command, info_name=name, parent=context)
            yield command, found
            if hasattr(command, "list_commands"):
                yield from _commands(command, found)


def _section(command: Any, context: Any, name: str) -> str:
    path = context.command_path.removeprefix(f"{name} ")
    usage = " ".join([name, path, *command.collect_usage_pieces(context)])
    records = filter(None, (parameter.get_help_record(context) for parameter in command.params))
    rows = [f"| `{_cell(written)}` | {_cell(text)} |" for written, text in records]
    _, has_examples, examples = (command.epilog or "").partition("Examples:\n")
    parts = [f"{'##' if path.count(' ') == 0 else '###'} {path}", command.help or "", f"```\n{usage}\n```"]
    parts += ["\n".join(["| | |", "|---|---|", *rows])] * bool(rows)
    parts += [f"```bash\n{examples}\n```"] * bool(has_examples)
    return "\n\n".join(filter(None, parts))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("[required]", "Required.")
