"""How commands end: exit statuses, Ctrl-C, readers that leave, full disks, terminals without Unicode."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.cli.conftest import Command

COMMAND = [sys.executable, "-m", "agentdb.cli"]
UNREACHABLE = "postgresql://somebody:secret-word@127.0.0.1:1/nothing"


def _run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [["doctor"], ["stats"], ["migrate"], ["migrate", "deploy"], ["index"], ["sweep"], ["audit", "verify"], ["export"]],
)
def test_an_error_as_json(arguments: list[str], agentdb: Command) -> None:
    """stdout is one document whatever happens: a result, or the kind of error and what it says."""
    if arguments == ["export"]:
        arguments = ["export", "--output", "out.jsonl"]
    outcome = agentdb(*arguments, "--json", DATABASE_URL=UNREACHABLE, ORGANIZATION_ID="acme")

    assert outcome.status == 1
    found = json.loads(outcome.out)
    if arguments != ["doctor"]:  # whose result it is that the server cannot be reached
        assert found["error"]["type"] == "ConnectionFailedError"
        assert outcome.err == f"agentdb: {found['error']['message']}\n"
    assert "secret-word" not in outcome.out + outcome.err


def test_a_wrong_setting_as_json(agentdb: Command) -> None:
    """It is wrong use, status 2; what the command line does not know stays text."""
    setting = agentdb("stats", "--json", DATABASE_URL=UNREACHABLE)
    option = agentdb("stats", "--json", "--nonsense")

    assert (setting.status, json.loads(setting.out)["error"]["type"]) == (2, "ConfigurationError")
    assert (option.status, option.out) == (2, "")


def test_without_arguments_there_is_help(tmp_path: Path) -> None:
    """Nothing was asked for, so it is wrong use; a mistyped command is told what was meant."""
    nothing, mistyped = _run(folder=tmp_path), _run("statz", folder=tmp_path)

    assert nothing.returncode == 2
    assert "Start" in nothing.stdout + nothing.stderr
    assert mistyped.returncode == 2
    assert "'stats'" in mistyped.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("arguments", [["stats"], ["migrate", "deploy"], ["import", "-"]])
def test_ctrl_c(arguments: list[str], tmp_path: Path) -> None:
    """Status 130 and not a word, here while a server that has been called does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=30&sslmode=disable"
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=os.environ | {"DATABASE_URL": url, "ORGANIZATION_ID": "acme"},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            silent.settimeout(60)
            with silent.accept()[0]:  # it waits for the answer now
                running.send_signal(signal.SIGINT)
                _, said = running.communicate(timeout=60)

    assert (running.returncode, said) == (130, "")


@pytest.mark.parametrize("arguments", [["--help"], ["migrate", "--help"], ["--version"]])
def test_a_reader_that_has_left(arguments: list[str], tmp_path: Path) -> None:
    """`agentdb … | head` ends in silence."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_a_full_disk(arguments: list[str], tmp_path: Path) -> None:
    """One line."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr) == (1, "agentdb: output: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_an_error_on_a_full_disk(tmp_path: Path) -> None:
    """Is said where that is possible."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "stats", "--json"],
            cwd=tmp_path,
            env=os.environ | {"DATABASE_URL": UNREACHABLE},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("agentdb: ORGANIZATION_ID")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets no such folder go")
def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Has no .env; nothing else is asked of it."""
    code = "import os, sys; from agentdb.cli.app import run; os.rmdir(os.getcwd()); sys.exit(run(['stats']))"
    (folder := tmp_path / "folder").mkdir()
    where = {"DATABASE_URL": UNREACHABLE, "ORGANIZATION_ID": "acme"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | where, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.postgres
def test_without_unicode(database: Database, tmp_path: Path) -> None:
    """Where the output takes ASCII alone, all of it is ASCII; and no less of it."""
    commands = [["--help"], ["doctor"], ["stats"], ["stats", "--help"], ["migrate"]]
    code = f"""
import sys
from agentdb import cli
for arguments in {commands!r}:
    sys.argv[1:] = arguments
    try:
        cli.main()
    except SystemExit as done:
        print("ended with", done.code)
"""
    where = {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acmé", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | where, capture_output=True, text=True, check=False
    )

    assert done.stdout.isascii()
    assert done.stderr == ""
    assert done.stdout.count("ended with 0\n") == len(commands)
    assert "\n+ versions" in done.stdout
    assert "'acm\\xe9'" in done.stdout


def test_in_a_locale_of_nothing(tmp_path: Path) -> None:
    """LC_ALL=C, as in a small container."""
    done = _run("doctor", folder=tmp_path, LC_ALL="C", DATABASE_URL=UNREACHABLE, ORGANIZATION_ID="a")

    assert (done.returncode, done.stderr) == (1, "")
    assert "127.0.0.1:1" in done.stdout
