"""Clients of ``interface = "sync"``: the same engine, called without await, from any thread."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from agentdb.engine import with_engine
from tests.integration.engine.conftest import SYNCHRONOUS_PACKAGE

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def package(generated: Path, client_package: ModuleType) -> ModuleType:
    """The package that was generated with ``interface = "sync"``."""
    return importlib.import_module(SYNCHRONOUS_PACKAGE)  # client_package has put it on the path


@pytest.fixture(scope="module")
def make_client(package: ModuleType, url: str) -> Any:
    """Make a client, not connected; its connections go by the name "synchronous"."""
    made = with_engine(package.Prisma)
    return lambda **options: made(
        datasource={"url": f"{url}&application_name=synchronous"}, use_dotenv=False, **options
    )


@pytest.fixture
def client(make_client: Any, db: Any) -> Iterator[Any]:
    """A connected client; `db` has emptied the tables. Nothing of it stays behind."""
    with make_client() as connected:
        yield connected
        pool = connected._engine._engine._pool
    assert not pool.is_open


async def connections(raw: asyncpg.Connection[asyncpg.Record]) -> int:
    """Return how many connections of synchronous clients there are."""
    return int(await raw.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'synchronous'"))


class TestQueries:
    def test_actions(self, client: Any, package: ModuleType) -> None:
        """Actions answer the package's models."""
        user = client.user.create({"email": "a", "posts": {"create": {"title": "t"}}}, include={"posts": True})
        assert isinstance(user, package.models.User)
        assert [post.title for post in user.posts] == ["t"]
        assert client.user.update(where={"id": user.id}, data={"name": "A"}).name == "A"
        assert client.user.find_many(where={"posts": {"some": {"title": "t"}}})[0].id == user.id
        assert client.post.count() == 1
        assert client.user.group_by(["name"], count=True) == [{"name": "A", "_count": {"_all": 1}}]
        assert package.models.User.prisma(client).find_unique({"id": user.id}).name == "A"

    def test_raw(self, client: Any) -> None:
        """Raw SQL too."""
        assert client.query_raw("SELECT $1::int AS n", 1) == [{"n": 1}]
        assert client.query_first("SELECT 1 AS n WHERE false") is None
        assert client.execute_raw('DELETE FROM "Category"') == 0

    def test_batch(self, client: Any, package: ModuleType) -> None:
        """A batch is all or nothing."""
        with client.batch_() as batch:
            batch.user.create({"email": "a"})
            batch.user.create({"email": "b"})
        with pytest.raises(package.errors.UniqueViolationError), client.batch_() as batch:
            batch.user.create({"email": "c"})
            batch.user.create({"email": "a"})
        assert client.user.count() == 2

    def test_errors(self, client: Any, package: ModuleType) -> None:
        """Errors are the package's own."""
        client.user.create({"email": "a"})
        with pytest.raises(package.errors.UniqueViolationError) as caught:
            client.user.create({"email": "a"})
        assert (caught.value.code, caught.value.meta["target"]) == ("P2002", ["email"])

    def test_metrics(self, client: Any) -> None:
        """Metrics are told in both forms."""
        client.user.count()
        assert client.get_metrics().counters[0].value == 1
        assert "prisma_client_queries_total 1\n" in client.get_metrics(format="prometheus")

    async def test_in_a_running_event_loop(self, client: Any) -> None:
        """It may be called where an event loop runs, which then waits, as it always has."""
        assert client.user.count() == 0


class TestTransactions:
    def test_commit_and_rollback(self, client: Any) -> None:
        """A block is committed at its end, and rolled back by an error."""
        with client.tx() as tx:
            tx.user.create({"email": "a"})
            assert (tx.user.count(), client.user.count()) == (1, 0)
        with pytest.raises(ValueError, match="mine"), client.tx() as tx:
            tx.user.create({"email": "b"})
            raise ValueError("mine")
        assert client.user.count() == 1

    def test_timeout(self, client: Any, package: ModuleType) -> None:
        """Its time passes also while nobody calls."""
        manager = client.tx(timeout=timedelta(milliseconds=50))
        tx = manager.start()
        time.sleep(0.1)
        with pytest.raises(package.errors.TransactionExpiredError, match="Transaction already closed"):
            tx.user.create({"email": "a"})
        with pytest.raises(package.errors.TransactionExpiredError):
            manager.commit()


class TestThreads:
    def test_share_a_client(self, client: Any) -> None:
        """Many threads may use one client at once, with transactions of their own."""

        def work(number: int) -> int:
            with client.tx() as tx:
                user = tx.user.create({"email": f"{number}"})
                tx.post.create({"title": "t", "author_id": user.id})
            return int(client.post.count(where={"author_id": user.id}))

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(work, range(48))) == [1] * 48
        assert client.user.count() == 48

    def test_share_a_transaction(self, client: Any) -> None:
        """…and in one transaction they take turns."""
        with client.tx() as tx, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: tx.user.create({"email": f"{number}"}), range(16)))
            assert tx.user.count() == 16

    def test_share_the_background_thread(self, client: Any, make_client: Any) -> None:
        """However many clients there are, one thread serves them."""
        others = [make_client() for _ in range(3)]
        for other in others:
            other.connect()
        assert [thread.name for thread in threading.enumerate()].count("agentdb-engine") == 1
        for other in others:
            other.disconnect()


class TestLifecycle:
    def test_connect_and_disconnect(self, make_client: Any, package: ModuleType) -> None:
        """A client connects once, may be disconnected twice, and connected again."""
        errors = importlib.import_module(f"{package.__name__}.engine.errors")
        client = make_client()
        with pytest.raises(package.errors.ClientNotConnectedError, match="connect"):
            client.user.count()
        for _ in range(2):
            client.connect()
            with pytest.raises(errors.AlreadyConnectedError):
                client.connect()
            assert client.user.count() >= 0
            client.disconnect()
            client.disconnect()
            assert not client.is_connected()

    def test_cannot_connect(self, package: ModuleType) -> None:
        """A server that cannot be reached is the package's EngineConnectionError, and the client stays usable."""
        errors = importlib.import_module(f"{package.__name__}.engine.errors")
        client = with_engine(package.Prisma)(datasource={"url": "postgresql://u@127.0.0.1:1/d"}, use_dotenv=False)
        with pytest.raises(errors.EngineConnectionError):
            client.connect()
        assert not client.is_connected()

    async def test_forgotten(self, make_client: Any, raw: asyncpg.Connection[asyncpg.Record]) -> None:
        """A client that is dropped closes its connections by itself."""
        client = make_client()
        client.connect()
        assert await connections(raw) == 1
        del client
        gc.collect()
        for _ in range(40):
            if not await connections(raw):
                break
            await asyncio.sleep(0.05)
        assert await connections(raw) == 0

    def test_a_driver_is_refused(self, make_client: Any) -> None:
        """It cannot borrow a driver, which belongs to an event loop."""
        with pytest.raises(TypeError, match="event loop"):
            make_client(driver=object())


class TestProcesses:
    def test_an_interrupt_stops_the_statement(self, client: Any) -> None:
        """^C ends the wait at once and the statement in the server, and the client goes on working."""
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.query_raw("SELECT pg_sleep(20)")
        timer.join()
        running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'"
        for _ in range(40):
            if not client.query_raw(running):
                break
            time.sleep(0.05)
        assert client.query_raw(running) == []

    def test_a_forked_process(self, client: Any) -> None:
        """A forked process connects by itself on first use, and leaves the parent's connections alone."""
        client.user.create({"email": "parent"})
        code = run_in_a_fork(lambda: client.user.create({"email": "child"}) and client.disconnect())
        assert code == 0
        assert [user.email for user in client.user.find_many(order={"id": "asc"})] == ["parent", "child"]

    @pytest.mark.parametrize("end", ["pass", "raise KeyboardInterrupt", "client = None"])
    def test_exit_with_an_open_client(self, generated: Path, url: str, end: str) -> None:
        """A program that ends without disconnecting ends at once, without a warning, a transaction open or not."""
        program = f"""
import sys
from {SYNCHRONOUS_PACKAGE} import Prisma
from agentdb.engine import with_engine
client = with_engine(Prisma)(datasource={{"url": sys.argv[1]}}, use_dotenv=False)
client.connect()
tx = client.tx().start()
tx.user.count()
{end}
"""
        done = subprocess.run(
            [sys.executable, "-P", "-X", "dev", "-c", program, url],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(generated), *sys.path])},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if "Interrupt" in end:
            assert "KeyboardInterrupt" in done.stderr
        else:
            assert (done.returncode, done.stderr) == (0, "")
        assert "Warning" not in done.stderr


def run_in_a_fork(work: Any) -> int:
    """Run *work* in a forked process and return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)
