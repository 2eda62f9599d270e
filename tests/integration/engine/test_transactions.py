"""Batches and interactive transactions: all or nothing, timeouts, concurrency and cancellation."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import ModuleType
from typing import Any

import asyncpg
import pytest

pytestmark = pytest.mark.postgres

SHORT = timedelta(milliseconds=150)


async def idle_in_transaction(raw: asyncpg.Connection[asyncpg.Record]) -> int:
    """Return how many sessions, after a moment, sit in a transaction that nobody is working in."""
    for _ in range(40):
        count = await raw.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
        if not count:
            break
        await asyncio.sleep(0.05)
    return int(count)


async def in_use(db: Any) -> int:
    """Return how many connections are, after a moment, still lent."""
    pool = db._engine._pool
    for _ in range(40):
        if not pool.stats.in_use:
            break
        await asyncio.sleep(0.05)
    return int(pool.stats.in_use)


async def test_changes_of_tables(db: Any) -> None:
    """A transaction that changes a table goes on with the queries that it made before."""
    async with db.tx() as tx:
        await tx.category.create({"name": "a"})
        assert list((await tx.query_raw('SELECT * FROM "Category"'))[0]) == ["id", "name"]
        await tx.execute_raw('ALTER TABLE "Category" ADD COLUMN "scratch" int')
        assert list((await tx.query_raw('SELECT * FROM "Category"'))[0]) == ["id", "name", "scratch"]
        await tx.execute_raw('ALTER TABLE "Category" DROP COLUMN "scratch"')
        assert list((await tx.query_raw('SELECT * FROM "Category"'))[0]) == ["id", "name"]


class TestBatch:
    async def test_all_together(self, db: Any, statements: list[str]) -> None:
        """The queries of a batch are sent when its block ends, in one transaction."""
        async with db.batch_() as batch:
            batch.user.create({"email": "a"})
            batch.user.create({"email": "b", "posts": {"create": {"title": "t"}}})
            batch.user.update_many(where={}, data={"visits": 1})
            batch.execute_raw("UPDATE users SET name = $1", "x")
            assert statements == []
        assert (statements[0], statements[-1], statements.count("BEGIN")) == ("BEGIN", "COMMIT", 1)
        assert await db.user.count(where={"visits": 1, "name": "x"}) == 2

    async def test_none_if_one_fails(self, db: Any, client_package: ModuleType) -> None:
        """One query that fails undoes all; the error is that query's own."""
        with pytest.raises(client_package.errors.UniqueViolationError) as caught:
            async with db.batch_() as batch:
                batch.user.create({"email": "a"})
                batch.post.create({"title": "t", "author": {"create": {"email": "a"}}})
        assert caught.value.meta["target"] == ["email"]
        assert await db.user.count() == 0

    async def test_not_sent_after_an_error(self, db: Any) -> None:
        """A block that is left with an error sends nothing."""
        with pytest.raises(ValueError, match="mine"):
            async with db.batch_() as batch:
                batch.user.create({"email": "a"})
                raise ValueError("mine")
        assert await db.user.count() == 0

    async def test_twice(self, db: Any, statements: list[str]) -> None:
        """A batch starts anew after its commit, and an empty one sends nothing."""
        batch = db.batch_()
        batch.user.create({"email": "a"})
        await batch.commit()
        await batch.commit()
        batch.user.create({"email": "b"})
        await batch.commit()
        assert await db.user.count() == 2
        assert statements.count("BEGIN") == 2

    async def test_arguments_may_be_used_again(self, db: Any, client_package: ModuleType) -> None:
        """A query is what its arguments were when it was added, whatever becomes of them until the commit."""
        tags, document = ["first"], {"n": [1]}
        data = {"email": "a", "tags": tags, "settings": client_package.Json(document)}
        async with db.batch_() as batch:
            batch.user.create(data)
            data["email"] = "b"
            tags.append("second")
            document["n"].append(2)
            batch.user.create(data)
        users = await db.user.find_many(order={"email": "asc"})
        assert [(user.email, user.tags, user.settings) for user in users] == [
            ("a", ["first"], {"n": [1]}),
            ("b", ["first", "second"], {"n": [1, 2]}),
        ]

    async def test_inside_a_transaction(self, db: Any, client_package: ModuleType) -> None:
        """A batch in a transaction is undone alone, and goes with it if that is undone."""
        async with db.tx() as tx:
            await tx.user.create({"email": "a"})
            with pytest.raises(client_package.errors.UniqueViolationError):
                async with tx.batch_() as batch:
                    batch.user.create({"email": "b"})
                    batch.user.create({"email": "a"})
            async with tx.batch_() as batch:
                batch.user.create({"email": "c"})
        assert [user.email for user in await db.user.find_many(order={"email": "asc"})] == ["a", "c"]


class TestCommitAndRollback:
    async def test_commit(self, db: Any) -> None:
        """What is done in the block is seen outside when it has ended, not before."""
        async with db.tx() as tx:
            assert tx.is_transaction()
            assert not db.is_transaction()
            await tx.user.create({"email": "a", "posts": {"create": {"title": "t"}}})
            assert await tx.user.count() == 1
            assert await db.user.count() == 0
        assert await db.user.count() == 1

    async def test_rollback_on_error(self, db: Any) -> None:
        """An error leaves nothing, and is the one that was raised."""
        with pytest.raises(ValueError, match="mine"):
            async with db.tx() as tx:
                await tx.user.create({"email": "a"})
                raise ValueError("mine")
        assert await db.user.count() == 0

    async def test_by_hand(self, db: Any) -> None:
        """A transaction can be started and ended without a block."""
        for end, count in (("rollback", 0), ("commit", 1)):
            manager = db.tx()
            tx = await manager.start()
            await tx.user.create({"email": "a"})
            await getattr(manager, end)()
            assert await db.user.count() == count

    async def test_raw_queries_are_inside(self, db: Any) -> None:
        """Raw SQL runs on the transaction's connection: a local setting holds until its end."""
        async with db.tx() as tx:
            await tx.execute_raw("SELECT set_config('test.name', 'x', true)")
            assert await tx.query_raw("SELECT current_setting('test.name', true) AS name") == [{"name": "x"}]
        assert await db.query_raw("SELECT current_setting('test.name', true) AS name") in (
            [{"name": ""}],
            [{"name": None}],
        )

    async def test_model_queries_take_the_transaction(self, db: Any, client_package: ModuleType) -> None:
        """A model's own queries run in the transaction that they are given."""
        async with db.tx() as tx:
            await client_package.models.User.prisma(tx).create({"email": "a"})
            assert await client_package.models.User.prisma(db).count() == 0

    async def test_nested_writes_are_inside(self, db: Any, statements: list[str]) -> None:
        """A write of several statements opens no transaction of its own within one."""
        async with db.tx() as tx:
            await tx.user.create({"email": "a", "posts": {"create": {"title": "t"}}})
        assert statements.count("BEGIN") == 1
        assert not any("SAVEPOINT" in statement for statement in statements)

    async def test_a_second_one_inside(self, db: Any) -> None:
        """A transaction of a transaction's client is one of its own, with a warning."""
        async with db.tx() as outer:
            await outer.user.create({"email": "a"})
            with pytest.warns(UserWarning, match="already in a transaction"):
                inner = await outer.tx().start()
            await inner.user.create({"email": "b"})
            assert await inner.user.count() == 1
            await inner._engine.commit_transaction(inner._tx_id)
        assert await db.user.count() == 2

    async def test_gather_inside(self, db: Any) -> None:
        """Concurrent queries in a transaction take turns."""
        async with db.tx() as tx:
            await asyncio.gather(*(tx.user.create({"email": str(number)}) for number in range(20)))
            counts = await asyncio.gather(*(tx.user.count() for _ in range(5)))
        assert counts == [20] * 5

    async def test_side_by_side(self, db: Any) -> None:
        """Many transactions at once keep apart."""

        async def one(number: int) -> None:
            async with db.tx(max_wait=timedelta(seconds=20)) as tx:
                await tx.user.create({"email": str(number)})
                assert await tx.user.count(where={"email": str(number)}) == 1
                if number % 2:
                    raise ValueError

        results = await asyncio.gather(*(one(number) for number in range(30)), return_exceptions=True)
        assert sum(result is None for result in results) == 15
        assert await db.user.count() == 15

    async def test_after_a_failed_statement(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """A statement that fails spoils its transaction: nothing of it is kept, and nobody is told it was."""
        with pytest.raises(client_package.errors.TransactionError, match="rolled back"):
            async with db.tx() as tx:
                await tx.user.create({"email": "a"})
                with pytest.raises(client_package.errors.UniqueViolationError):
                    await tx.user.create({"email": "a"})
                with pytest.raises(client_package.errors.DataError, match="aborted"):
                    await tx.user.count()
        assert await db.user.count() == 0
        assert await idle_in_transaction(raw) == 0

    async def test_a_commit_that_is_refused(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """What the server finds only at the end is an error of the commit, and nothing is kept."""
        await raw.execute('ALTER TABLE "Profile" ALTER CONSTRAINT "Profile_user_id_fkey" DEFERRABLE INITIALLY DEFERRED')
        try:
            with pytest.raises(client_package.errors.ForeignKeyViolationError):
                async with db.tx() as tx:
                    await tx.profile.create({"user_id": 99})
        finally:
            await raw.execute('ALTER TABLE "Profile" ALTER CONSTRAINT "Profile_user_id_fkey" NOT DEFERRABLE')
        assert await db.profile.count() == 0
        assert await in_use(db) == 0


class TestUseAfterTheEnd:
    @pytest.mark.parametrize(
        ("end", "words"),
        [("commit", "A query cannot be executed on a committed transaction"), ("rollback", "that was rolled back")],
    )
    async def test_queries(self, db: Any, client_package: ModuleType, end: str, words: str) -> None:
        """The client of an ended transaction says how it ended."""
        manager = db.tx()
        tx = await manager.start()
        await getattr(manager, end)()
        for query in (tx.user.count, lambda: tx.query_raw("SELECT 1"), lambda: tx.execute_raw("SELECT 1")):
            with pytest.raises(client_package.errors.TransactionExpiredError, match=words) as caught:
                await query()
            assert str(caught.value).startswith("Transaction already closed")

    async def test_ends(self, db: Any, client_package: ModuleType) -> None:
        """It cannot be ended twice."""
        manager = db.tx()
        await manager.start()
        await manager.commit()
        for end in (manager.commit, manager.rollback):
            with pytest.raises(client_package.errors.TransactionExpiredError, match="Transaction already closed"):
                await end()

    async def test_never_started(self, db: Any, client_package: ModuleType) -> None:
        """Nor before it has begun."""
        with pytest.raises(client_package.errors.TransactionNotStartedError):
            await db.tx().commit()

    async def test_unknown(self, db: Any, client_package: ModuleType) -> None:
        """An id that this client never gave is not found."""
        with pytest.raises(client_package.errors.TransactionError, match="Transaction not found"):
            await db._engine.commit_transaction("tx99")


class TestTimeout:
    async def test_idle(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """A transaction whose time has passed is rolled back, though nobody asks it for anything."""
        manager = db.tx(timeout=SHORT)
        tx = await manager.start()
        await tx.user.create({"email": "a"})
        await asyncio.sleep(0.3)
        assert await in_use(db) == 0
        assert await idle_in_transaction(raw) == 0
        words = "cannot be executed on an expired transaction. The timeout for this transaction was 150 ms"
        for use in (tx.user.count, manager.commit, manager.rollback):
            with pytest.raises(client_package.errors.TransactionExpiredError, match=words) as caught:
                await use()
            assert str(caught.value).startswith("Transaction already closed")
        assert await db.user.count() == 0

    async def test_in_a_block(self, db: Any, client_package: ModuleType) -> None:
        """The block's end says so, too."""
        with pytest.raises(client_package.errors.TransactionExpiredError, match="A commit cannot be executed"):
            async with db.tx(timeout=SHORT) as tx:
                await tx.user.create({"email": "a"})
                await asyncio.sleep(0.3)
        assert await db.user.count() == 0

    async def test_while_a_statement_runs(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """A statement that runs when time is up is cancelled, in the server as well."""
        started = asyncio.get_running_loop().time()
        with pytest.raises(client_package.errors.TransactionExpiredError, match="expired transaction"):
            async with db.tx(timeout=SHORT) as tx:
                await tx.user.create({"email": "a"})
                await tx.query_raw("SELECT pg_sleep(20)")
        assert asyncio.get_running_loop().time() - started < 5
        assert await in_use(db) == 0
        running = await raw.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE query LIKE '%pg_sleep(20)%' AND state = 'active' AND pid <> pg_backend_pid()"
        )
        assert running == 0
        assert await db.user.count() == 0

    async def test_while_statements_queue(self, db: Any, client_package: ModuleType) -> None:
        """Those that wait for their turn are told, too."""
        manager = db.tx(timeout=SHORT)
        tx = await manager.start()
        results = await asyncio.gather(
            tx.query_raw("SELECT pg_sleep(20)"), tx.user.count(), tx.user.create({"email": "a"}), return_exceptions=True
        )
        assert {type(result) for result in results} == {client_package.errors.TransactionExpiredError}
        assert await in_use(db) == 0
        assert await db.user.count() == 0

    async def test_while_waiting_for_a_lock(self, db: Any, client_package: ModuleType) -> None:
        """A transaction that waits for another one's lock lets go when its time is up, and the other goes on."""
        await db.user.create({"email": "a"})
        async with db.tx() as first:
            await first.user.update(where={"id": 1}, data={"name": "first"})
            with pytest.raises(client_package.errors.TransactionExpiredError):
                async with db.tx(timeout=SHORT) as second:
                    await second.user.update(where={"id": 1}, data={"name": "second"})
        assert (await db.user.find_unique({"id": 1})).name == "first"

    async def test_of_the_user(self, db: Any, client_package: ModuleType) -> None:
        """A timeout around a query is the user's own TimeoutError; the transaction is spoiled by it."""
        with pytest.raises(client_package.errors.TransactionError, match="rolled back"):
            async with db.tx() as tx:
                await tx.user.create({"email": "a"})
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await tx.query_raw("SELECT pg_sleep(20)")
        assert await db.user.count() == 0


class TestWaiting:
    @pytest.fixture
    async def small(self, prisma_class: type[Any], url: str, db: Any) -> Any:
        """A client with a single connection."""
        separator = "&" if "?" in url else "?"
        async with prisma_class(datasource={"url": f"{url}{separator}connection_limit=1"}, use_dotenv=False) as client:
            yield client

    async def test_too_long(self, small: Any, client_package: ModuleType) -> None:
        """Who waits for a connection longer than max_wait gets none, and takes none away."""
        async with small.tx():
            with pytest.raises(client_package.errors.TransactionError, match="Unable to start a transaction") as caught:
                async with small.tx(max_wait=SHORT):
                    pass
            assert not isinstance(caught.value, client_package.errors.TransactionExpiredError)
        async with small.tx(max_wait=SHORT) as tx:
            await tx.user.count()

    async def test_long_enough(self, small: Any) -> None:
        """Those that wait get their turn."""

        async def one(number: int) -> None:
            async with small.tx(max_wait=timedelta(seconds=10)) as tx:
                await tx.user.create({"email": str(number)})

        await asyncio.gather(*(one(number) for number in range(10)))
        assert await small.user.count() == 10


class TestCancellation:
    """Wherever the caller is cancelled, no connection stays lent or in a transaction, and nothing is half done."""

    async def test_of_a_query(self, db: Any, raw: Any) -> None:
        """A cancelled query gives its connection back."""
        task = asyncio.create_task(db.query_raw("SELECT pg_sleep(20)"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await in_use(db) == 0
        assert await db.user.count() == 0

    @pytest.mark.parametrize("at", [0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06])
    async def test_of_a_transaction(self, db: Any, raw: Any, at: float) -> None:
        """A block that is cancelled is rolled back: while it starts, works, waits, or ends."""

        async def work() -> None:
            async with db.tx() as tx:
                await asyncio.gather(*(tx.user.create({"email": str(number)}) for number in range(5)))
                await tx.query_raw("SELECT pg_sleep(0.2)")
                await tx.post.create({"title": "t", "author": {"connect": {"email": "1"}}})

        task = asyncio.create_task(work())
        await asyncio.sleep(at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await in_use(db) == 0
        assert await idle_in_transaction(raw) == 0
        # Cancelled at the very end, the commit may have been on its way: all or nothing, then.
        assert (await db.user.count(), await db.post.count()) in ((0, 0), (5, 1))

    async def test_of_a_rollback_that_waits(self, db: Any, raw: Any) -> None:
        """A rollback that is cancelled while another statement runs still happens."""
        manager = db.tx()
        tx = await manager.start()
        await tx.user.create({"email": "a"})
        other = asyncio.create_task(tx.query_raw("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
        rollback = asyncio.create_task(manager.rollback())
        await asyncio.sleep(0.05)
        rollback.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rollback
        await asyncio.gather(other, return_exceptions=True)
        assert await in_use(db) == 0
        assert await db.user.count() == 0

    async def test_of_a_commit_that_waits(self, db: Any, raw: Any) -> None:
        """A commit that is cancelled before it was sent is a rollback."""
        manager = db.tx()
        tx = await manager.start()
        await tx.user.create({"email": "a"})
        other = asyncio.create_task(tx.query_raw("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(0.05)
        commit = asyncio.create_task(manager.commit())
        await asyncio.sleep(0.05)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        await asyncio.gather(other, return_exceptions=True)
        assert await in_use(db) == 0
        assert await db.user.count() == 0

    async def test_of_a_nested_write(self, db: Any, raw: Any) -> None:
        """A write of several statements that is cancelled leaves none of them."""
        await raw.execute('BEGIN; LOCK TABLE "Post" IN ACCESS EXCLUSIVE MODE')
        task = asyncio.create_task(db.user.create({"email": "a", "posts": {"create": {"title": "t"}}}))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await raw.execute("ROLLBACK")
        assert await in_use(db) == 0
        assert await db.user.count() == 0

    async def test_disconnect_with_a_transaction_open(
        self, prisma_class: type[Any], url: str, db: Any, raw: Any
    ) -> None:
        """Disconnecting rolls back what is open."""
        client = prisma_class(datasource={"url": url}, use_dotenv=False)
        await client.connect()
        tx = await client.tx().start()
        await tx.user.create({"email": "a"})
        await client.disconnect()
        assert await db.user.count() == 0
