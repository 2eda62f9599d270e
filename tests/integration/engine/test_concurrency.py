"""Nothing that happens at the wrong moment leaves anything half done: cancellation, expiry, disconnecting, threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from datetime import timedelta
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from agentdb.engine.compiler import planner_for
from tests.integration.engine.resting import lent, rest

pytestmark = pytest.mark.postgres

Work = Callable[[Any], Awaitable[Any]]


# -- cancellation at every await --------------------------------------------------------------------------------------


class CancelledAt:
    """
    Awaits *work* and cancels the task at one of its suspensions.

    Args:
        work: What is awaited.
        number: At which suspension, counted from 0.
        late: Cancel when what is waited for has come already, but the task has not gone on yet.
    """

    def __init__(self, work: Awaitable[Any], number: int, *, late: bool) -> None:
        self._work = work
        self._number = number
        self._late = late
        self.has_cancelled = False

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        for number in count():
            try:
                waiting = steps.send(None)
            except StopIteration as end:
                return end.value
            if number == self._number:
                self._cancel(waiting)
            try:
                yield waiting
            except BaseException as error:
                # Thrown in here it has to go on in there; and whatever that waits for then, it may.
                return (yield from _thrown(steps, error))
        return None

    def _cancel(self, waiting: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.has_cancelled = True
        if not self._late:
            task.cancel()
        elif waiting is None:  # sleep(0)
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            waiting.add_done_callback(lambda _: task.cancel())


def _thrown(steps: Generator[Any, Any, Any], error: BaseException) -> Generator[Any, Any, Any]:
    try:
        waiting = steps.throw(error)
    except StopIteration as end:
        return end.value
    while True:
        try:
            yield waiting
        except BaseException as another:
            return (yield from _thrown(steps, another))
        try:
            waiting = steps.send(None)
        except StopIteration as end:
            return end.value


async def in_a_block(db: Any) -> None:
    async with db.tx() as tx:
        await tx.user.create({"email": "b"})
        await asyncio.gather(*(tx.post.create({"title": title, "author_id": 1}) for title in "xy"))
        await tx.execute_raw("UPDATE users SET name = $1 WHERE email = 'b'", "x")


async def by_hand(db: Any) -> None:
    manager = db.tx()
    tx = await manager.start()
    try:
        await tx.user.create({"email": "b"})
        await tx.post.create({"title": "x", "author_id": 1})
    except asyncio.CancelledError:
        await manager.rollback()
        raise
    await manager.commit()


async def rolled_back(db: Any) -> None:
    manager = db.tx()
    tx = await manager.start()
    try:
        await tx.user.create({"email": "b"})
    finally:
        await manager.rollback()


async def in_a_batch(db: Any) -> None:
    async with db.batch_() as batch:
        batch.user.create({"email": "b"})
        batch.post.create_many([{"title": title, "author_id": 1} for title in "xy"])


async def a_batch_in_a_block(db: Any) -> None:
    async with db.tx() as tx:
        await tx.user.create({"email": "b"})
        async with tx.batch_() as batch:
            batch.post.create({"title": "x", "author_id": 1})
            batch.post.create({"title": "y", "author_id": 1})


CALLS: dict[str, Work] = {
    "find_unique": lambda db: db.user.find_unique({"id": 1}),
    "find_many": lambda db: db.user.find_many(include={"posts": {"include": {"categories": True}}}),
    "count": lambda db: db.user.count(),
    "create": lambda db: db.user.create({"email": "b"}),
    "nested create": lambda db: db.user.create({"email": "b", "posts": {"create": [{"title": "x"}, {"title": "y"}]}}),
    "create_many": lambda db: db.user.create_many([{"email": "b"}, {"email": "c", "name": "x"}]),
    "update": lambda db: db.user.update({"name": "x", "posts": {"create": {"title": "x"}}}, {"id": 1}),
    "update_many": lambda db: db.user.update_many({"visits": {"increment": 1}}, {}),
    "upsert": lambda db: db.user.upsert({"email": "b"}, {"create": {"email": "b"}, "update": {"name": "x"}}),
    "delete": lambda db: db.post.delete({"id": "p"}, include={"author": True}),
    "delete_many": lambda db: db.post.delete_many(),
    "query_raw": lambda db: db.query_raw("INSERT INTO users (email, \"updatedAt\") VALUES ('b', now()) RETURNING id"),
    "execute_raw": lambda db: db.execute_raw("UPDATE users SET name = 'x'; DELETE FROM \"Post\""),
    "block": in_a_block,
    "by hand": by_hand,
    "rolled back": rolled_back,
    "batch": in_a_batch,
    "batch in a block": a_batch_in_a_block,
}

STATE = """
    SELECT (SELECT string_agg(concat(email, name, visits), ',' ORDER BY email) FROM users),
           (SELECT string_agg(title, ',' ORDER BY title) FROM "Post")"""


class TestCancellation:
    @pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
    @pytest.mark.parametrize("name", CALLS)
    async def test_at_every_await(self, db: Any, raw: Any, name: str, late: bool) -> None:
        """A call that is cancelled at any of its awaits is done or undone as a whole, and holds nothing any more."""

        async def prepare() -> None:
            await raw.execute("""
                TRUNCATE users, "Post" RESTART IDENTITY CASCADE;
                INSERT INTO users (email, "updatedAt") VALUES ('a', now());
                INSERT INTO "Post" (id, title, author_id) VALUES ('p', 't', 1)""")

        work = CALLS[name]
        await prepare()
        before = await raw.fetchrow(STATE)
        await work(db)
        after = await raw.fetchrow(STATE)
        size = db._engine._pool.stats.size
        for number in count():
            await prepare()
            attempt = CancelledAt(work(db), number, late=late)
            task = asyncio.ensure_future(attempt)
            await asyncio.wait([task])
            if not attempt.has_cancelled:
                task.result()
                break
            assert task.cancelled() or task.exception() is None
            assert await rest(db, raw) == (0, 0, 0)
            assert await raw.fetchrow(STATE) in (before, after)
            assert not db._engine._transactions._open
            assert await db.user.count() == await raw.fetchval("SELECT count(*) FROM users")
        assert number > 0
        assert db._engine._pool.stats.size <= size

    @pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
    async def test_of_connecting(self, prisma_class: type[Any], url: str, db: Any, raw: Any, late: bool) -> None:
        """Connecting and disconnecting may be cancelled anywhere; nothing stays connected."""

        async def use(client: Any) -> None:
            async with client:
                await client.user.count()

        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled'"
        for number in count():
            client = prisma_class(datasource={"url": f"{url}&application_name=cancelled"}, use_dotenv=False)
            attempt = CancelledAt(use(client), number, late=late)
            task = asyncio.ensure_future(attempt)
            await asyncio.wait([task])
            await client.disconnect()
            for _ in range(100):
                if not (left := await raw.fetchval(sessions)):
                    break
                await asyncio.sleep(0.01)
            assert left == 0
            if not attempt.has_cancelled:
                break
        assert number > 3
        async with client:
            assert await client.user.count() == 0

    async def test_of_one_of_many(self, db: Any, client_package: ModuleType) -> None:
        """One task that is cancelled in a transaction spoils it for all, and says so; the next one is fine."""
        await db.user.create({"email": "a"})
        with pytest.raises(client_package.errors.TransactionError, match="rolled back"):
            async with db.tx() as tx:
                slow = asyncio.create_task(tx.query_raw("SELECT pg_sleep(20)"))
                others = [asyncio.create_task(tx.user.create({"email": str(number)})) for number in range(3)]
                await asyncio.sleep(0.05)
                slow.cancel()
                results = await asyncio.gather(slow, *others, return_exceptions=True)
                assert isinstance(results[0], asyncio.CancelledError)
                assert all(isinstance(each, client_package.errors.PrismaError) for each in results[1:])
        async with db.tx() as tx:
            assert await tx.user.count() == 1


# -- transactions -----------------------------------------------------------------------------------------------------


class TestTransactions:
    async def test_commit_and_timeout_race(self, db: Any, client_package: ModuleType) -> None:
        """Whoever wins, a commit that reports success has happened, and one that does not has not."""
        outcomes = set()
        for number in range(40):
            manager = db.tx(timeout=timedelta(milliseconds=20))
            tx = await manager.start()
            try:
                await tx.user.create({"email": str(number)})
                await asyncio.sleep(0.014 + number * 0.000_2)
                await manager.commit()
                is_done = True
            except client_package.errors.TransactionExpiredError:
                is_done = False
            outcomes.add(is_done)
            assert await db.user.count(where={"email": str(number)}) == is_done
        assert await lent(db) == 0
        assert outcomes

    @pytest.fixture
    async def single(self, prisma_class: type[Any], url: str, db: Any) -> AsyncIterator[Any]:
        """A client with one connection, which waits half a second for it."""
        options = "connection_limit=1&pool_timeout=0.5"
        async with prisma_class(datasource={"url": f"{url}&{options}"}, use_dotenv=False) as client:
            yield client

    async def test_the_wrong_client_inside(self, single: Any, client_package: ModuleType) -> None:
        """A query past the transaction that holds the only connection times out instead of waiting for itself."""
        async with single.tx() as tx:
            await tx.user.create({"email": "a"})
            with pytest.raises(client_package.errors.DataError) as caught:
                await single.user.count()
            assert caught.value.code == "P2024"
            with (
                pytest.warns(UserWarning, match="already in a transaction"),
                pytest.raises(client_package.errors.TransactionError, match="Unable to start"),
            ):
                await tx.tx(max_wait=timedelta(milliseconds=50)).start()
            await tx.user.create({"email": "b"})
        assert await single.user.count() == 2

    async def test_kept_beyond_the_end(self, db: Any, client_package: ModuleType) -> None:
        """A task that goes on after the block has ended is refused, and does nothing outside of it."""

        async def late(tx: Any) -> None:
            await ended.wait()
            await tx.user.create({"email": "late"})

        ended = asyncio.Event()
        async with db.tx() as tx:
            task = asyncio.create_task(late(tx))
            await tx.user.create({"email": "a"})
        ended.set()
        with pytest.raises(client_package.errors.TransactionExpiredError, match="committed transaction"):
            await task
        with pytest.raises(client_package.errors.TransactionExpiredError):
            async with tx.batch_() as batch:
                batch.user.create({"email": "late"})
        assert await db.user.count() == 1

    @pytest.mark.parametrize(("statement", "kept"), [("COMMIT", 1), ("ROLLBACK", 0)])
    async def test_raw_sql_that_ends_it(
        self, db: Any, raw: Any, client_package: ModuleType, statement: str, kept: int
    ) -> None:
        """COMMIT or ROLLBACK in raw SQL ends it: what follows is refused, and so is the commit."""
        closed = client_package.errors.TransactionExpiredError
        with pytest.raises(closed, match="Transaction already closed"):
            async with db.tx() as tx:
                await tx.user.create({"email": "a"})
                await tx.execute_raw(statement)
                with pytest.raises(closed, match="Transaction already closed"):
                    await tx.user.create({"email": "b"})
        assert await rest(db, raw) == (0, 0, 0)
        assert await db.user.count() == kept

    async def test_disconnecting_under_load(
        self, prisma_class: type[Any], client_package: ModuleType, url: str, db: Any, raw: Any
    ) -> None:
        """Queries that run when their client disconnects end well or with an error of the client; none hangs."""
        client = prisma_class(datasource={"url": f"{url}&connection_limit=3"}, use_dotenv=False)
        await client.connect()
        tx = await client.tx().start()
        await tx.user.create({"email": "lost"})
        tasks = [asyncio.create_task(client.query_raw("SELECT pg_sleep(0.2)")) for _ in range(6)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(4):
            await client.disconnect()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in results} <= {list, client_package.errors.ClientNotConnectedError}
        with pytest.raises(client_package.errors.PrismaError):
            await tx.user.count()
        assert await db.user.count() == 0


# -- threads ----------------------------------------------------------------------------------------------------------


def in_threads(works: list[Callable[[], Awaitable[None]]]) -> list[BaseException]:
    """Run each in a thread with an event loop of its own, all at once; return what went wrong."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Awaitable[None]]) -> None:
        async def started() -> None:
            start.wait(30)
            await work()

        try:
            asyncio.run(started())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


class TestThreads:
    def test_share_the_plans(
        self, prisma_class: type[Any], client_package: ModuleType, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Clients in eight event loops share one plan cache, cold and warm, while it throws plans away."""
        schema = prisma_class()._packaged_schema_path.read_text(encoding="utf-8")
        planner = planner_for(schema, "public")
        monkeypatch.setattr(planner, "_max_plans", 12)
        planner._plans.clear()

        async def work(thread: int) -> None:
            async with prisma_class(datasource={"url": f"{url}&connection_limit=2"}, use_dotenv=False) as client:
                for number in range(60):
                    at = f"{thread}-{number}"
                    await client.category.create({"name": at})
                    # one shape for all, one that another thread makes at about the same time, one of its own
                    found = await client.category.find_unique({"name": at})
                    assert found is not None
                    assert found.name == at
                    many = await client.category.find_many(where={"name": at}, take=number + 1)
                    assert [each.name for each in many] == [at]
                    own = await client.category.find_many(where={"name": at}, skip=0, take=1000 * thread + number + 1)
                    assert [each.name for each in own] == [at]
                    with pytest.raises(client_package.errors.FieldNotFoundError, match="nope"):
                        await client.category.find_first(where={"name": at, "nope": number})

        assert in_threads([partial(work, thread) for thread in range(8)]) == []
        assert len(planner) <= 12

    def test_a_transaction_in_another_event_loop(
        self, prisma_class: type[Any], client_package: ModuleType, url: str
    ) -> None:
        """A client, and its transaction, refuse to be used in another loop, and go on working in their own."""

        async def use() -> None:
            async with prisma_class(datasource={"url": url}, use_dotenv=False) as client:
                async with client.tx() as tx:
                    await tx.query_raw("SELECT 1")
                    elsewhere: list[Work] = [
                        lambda _: tx.query_raw("SELECT 1"),
                        lambda _: client.query_raw("SELECT 1"),
                        lambda _: client.tx().start(),
                    ]
                    for work in elsewhere:
                        errors = await asyncio.to_thread(in_threads, [partial(work, None)])
                        assert [type(each) for each in errors] == [client_package.errors.ClientNotConnectedError]
                        assert "event loop" in str(errors[0])
                    assert await tx.query_raw("SELECT 1 AS one") == [{"one": 1}]
                assert await client.query_raw("SELECT 1 AS one") == [{"one": 1}]

        asyncio.run(use())
