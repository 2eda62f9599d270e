"""The command line, run as a user runs it but in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agentdb.cli.app import run


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def agentdb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Command:
    """``agentdb("migrate", "status", DATABASE_URL=…)`` runs it in an empty folder; variables stay for the next one."""
    monkeypatch.chdir(tmp_path_factory.mktemp("folder"))  # no .env of the developer's

    def command(*arguments: str, **variables: str) -> Outcome:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        status = run(arguments)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return command
