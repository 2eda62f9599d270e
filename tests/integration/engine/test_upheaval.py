"""The database changes under a client that is busy: tables, types, connections, the server itself."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import start_embedded
from tests.integration.engine.resting import rest

pytestmark = pytest.mark.postgres


class Hammer:
    """
    Keeps tasks busy with queries whose statements are prepared already, until it is stopped.

    Attributes:
        errors: What went wrong since the last look, by the words of it.
    """

    def __init__(self, *works: Callable[[], Awaitable[Any]]) -> None:
        self._works = works
        self._tasks: list[asyncio.Task[None]] = []
        self.errors: set[str] = set()

    async def __aenter__(self) -> Hammer:
        self._tasks = [asyncio.create_task(self._go_on(work)) for work in self._works]
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _go_on(self, work: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                self.errors.add(f"{type(error).__name__} {getattr(error, 'code', '')}: {error}"[:200])
            await asyncio.sleep(0)

    async def after(self, change: Awaitable[Any]) -> set[str]:
        """Return the errors that come while, and for a moment after, something is changed."""
        self.errors.clear()
        await change
        await asyncio.sleep(0.1)
        return set(self.errors)

    async def quiet(self) -> set[str]:
        """Return the errors of a tenth of a second, without those of queries that are under way now."""
        await asyncio.sleep(0.05)
        return await self.after(asyncio.sleep(0))


class TestChangedTables:
    """Tables change under a stream of queries: what is still possible goes on working, without a reconnect."""

    @pytest.fixture
    async def hammer(self, db: Any, raw: Any) -> AsyncIterator[Hammer]:
        """Reads, writes and transactions on Category and User."""
        await db.user.create({"email": "a", "posts": {"create": {"title": "t"}}})

        async def in_a_transaction() -> None:
            async with db.tx() as tx:
                await tx.user.find_many(include={"posts": True})
                await tx.user.update(where={"email": "a"}, data={"visits": {"increment": 1}})

        async with Hammer(
            lambda: db.user.find_unique({"email": "a"}),
            lambda: db.user.find_many(where={"visits": {"gte": 0}}, include={"posts": True}),
            lambda: db.user.update_many(where={"email": "a"}, data={"name": "x", "role": "GUEST"}),
            lambda: db.query_raw("SELECT * FROM users WHERE visits >= $1", 0),
            in_a_transaction,
        ) as hammer:
            yield hammer
        assert await rest(db, raw) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("change", "back"),
        [
            ("ALTER TABLE users ADD COLUMN scratch text DEFAULT 'x'", "ALTER TABLE users DROP COLUMN scratch"),
            (
                "ALTER TABLE users ALTER COLUMN visits TYPE bigint",
                "ALTER TABLE users ALTER COLUMN visits TYPE integer",
            ),
            (
                "ALTER TABLE users ALTER COLUMN name TYPE varchar(100)",
                "ALTER TABLE users ALTER COLUMN name TYPE text",
            ),
            (
                "ALTER TABLE users ALTER COLUMN email TYPE citext",
                "ALTER TABLE users ALTER COLUMN email TYPE text",
            ),
            ("CREATE INDEX scratch ON users (name)", "DROP INDEX scratch"),
            ("DISCARD ALL", "DISCARD ALL"),
        ],
    )
    async def test_that_do_not_matter(self, hammer: Hammer, db: Any, raw: Any, change: str, back: str) -> None:
        """After a change that the schema need not know everything works; at most a transaction must be tried again."""
        for statement in (change, back):
            errors = await hammer.after(raw.execute(statement))
            assert all("TransactionE" in error or "P2034" in error for error in errors), errors
            assert not await hammer.quiet()
            user = await db.user.find_unique({"email": "a"}, include={"posts": True})
            assert (user.email, user.name, len(user.posts)) == ("a", "x", 1)

    @pytest.mark.parametrize(
        ("change", "back", "code"),
        [
            ("ALTER TABLE users RENAME COLUMN name TO gone", "ALTER TABLE users RENAME COLUMN gone TO name", "P2022"),
            ("ALTER TABLE users RENAME TO gone", "ALTER TABLE gone RENAME TO users", "P2021"),
            ("ALTER TABLE users DROP COLUMN name", "ALTER TABLE users ADD COLUMN name text", "P2022"),
        ],
    )
    async def test_that_take_something_away(
        self, hammer: Hammer, db: Any, raw: Any, change: str, back: str, code: str
    ) -> None:
        """What is missing is named; when it is back, so is the rest."""
        errors = await hammer.after(raw.execute(change))
        assert any(code in error for error in errors), errors
        await hammer.after(raw.execute(back))
        assert not await hammer.quiet()
        assert (await db.user.find_unique({"email": "a"})).email == "a"

    async def test_a_new_value_of_an_enum(self, hammer: Hammer, db: Any, raw: Any) -> None:
        """A value that the schema does not know disturbs nobody who does not read it, and can be filtered away."""
        assert not await hammer.after(raw.execute("ALTER TYPE user_role ADD VALUE IF NOT EXISTS 'GHOST'"))
        await raw.execute("INSERT INTO users (email, role, \"updatedAt\") VALUES ('ghost', 'GHOST', now())")
        errors = await hammer.after(asyncio.sleep(0))
        assert all("P2023" in error and "GHOST" in error for error in errors if "Transaction" not in error), errors
        assert (await db.user.find_first(where={"role": "GUEST"})).email == "a"
        await raw.execute("DELETE FROM users WHERE email = 'ghost'")
        assert not await hammer.quiet()

    async def test_an_enum_made_anew(self, hammer: Hammer, db: Any, raw: Any) -> None:
        """A type that was dropped and made again has another number; every statement with it is prepared again."""
        await raw.execute("""
            BEGIN;
            CREATE TYPE anew AS ENUM ('administrator', 'MEMBER', 'GUEST');
            ALTER TABLE users ALTER role DROP DEFAULT, ALTER role TYPE anew USING role::text::anew,
                              ALTER roles TYPE anew[] USING roles::text[]::anew[];
            ALTER TABLE "Types" ALTER role TYPE anew USING role::text::anew;
            ALTER TABLE "Lists" ALTER roles TYPE anew[] USING roles::text[]::anew[];
            ALTER TABLE "Defaults" ALTER role DROP DEFAULT, ALTER roles DROP DEFAULT,
                                   ALTER role TYPE anew USING role::text::anew,
                                   ALTER roles TYPE anew[] USING roles::text[]::anew[];
            DROP TYPE user_role;
            ALTER TYPE anew RENAME TO user_role;
            ALTER TABLE users ALTER role SET DEFAULT 'MEMBER';
            ALTER TABLE "Defaults" ALTER role SET DEFAULT 'administrator',
                                   ALTER roles SET DEFAULT ARRAY['GUEST', 'administrator']::user_role[];
            COMMIT""")
        await asyncio.sleep(0.1)
        assert not await hammer.quiet()
        assert await db.user.create({"email": "b", "role": "ADMIN", "roles": ["ADMIN", "GUEST"]})
        assert await db.user.count(where={"role": "ADMIN", "roles": {"has": "GUEST"}}) == 1

    async def test_a_table_made_anew(self, db: Any, raw: Any) -> None:
        """A table that was dropped and made again is read again by the statements of the old one."""
        for number in range(3):
            await db.moment.create({"at": f"202{number}-01-01T00:00:00Z", "label": "x"})
            assert (await db.moment.find_unique({"label": "x"})).label == "x"
            await raw.execute("""
                CREATE TABLE anew (LIKE "Moment" INCLUDING ALL);
                DROP TABLE "Moment";
                ALTER TABLE anew RENAME TO "Moment" """)
            assert await db.moment.count() == 0

    async def test_in_a_transaction(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """A transaction that holds a statement of a table that changed fails with P2034, and works the next time."""
        await db.types.create({"id": 1, "whole": 1})

        async def read() -> Any:
            async with db.tx() as tx:
                await tx.query_raw("SELECT 1")
                if is_changing:
                    await raw.execute('ALTER TABLE "Types" ALTER COLUMN whole TYPE bigint')
                return await tx.types.find_unique({"id": 1})

        is_changing = False
        assert (await read()).whole == 1
        is_changing = True
        with pytest.raises(client_package.errors.DataError) as caught:
            await read()
        is_changing = False
        assert caught.value.code == "P2034"
        try:
            assert (await read()).whole == 1
        finally:
            await raw.execute('ALTER TABLE "Types" ALTER COLUMN whole TYPE integer')


class TestLostConnections:
    KILL = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'agentdb'"
    )

    async def test_under_load(self, db: Any, raw: Any) -> None:
        """Connections that are killed all the time cost the queries they were running, and nothing more."""
        await db.user.create({"email": "a"})
        works = [lambda: db.user.find_unique({"email": "a"}), lambda: db.user.update_many({"name": "x"}, {})]
        async with Hammer(*works, *works) as hammer:
            for _ in range(5):
                errors = await hammer.after(raw.execute(self.KILL))
                assert all("P1017" in error for error in errors), errors
            assert not await hammer.quiet()
        assert await rest(db, raw) == (0, 0, 0)

    @pytest.mark.parametrize("moment", ["before a query", "during a query", "before the commit"])
    async def test_in_a_transaction(self, db: Any, raw: Any, client_package: ModuleType, moment: str) -> None:
        """A transaction whose connection is killed did nothing, says so, and does not go on on another connection."""
        errors = client_package.errors
        with pytest.raises((errors.DataError, errors.TransactionExpiredError)) as caught:
            async with db.tx() as tx:
                await tx.user.create({"email": "a"})
                if moment == "during a query":
                    task = asyncio.create_task(tx.query_raw("SELECT pg_sleep(20)"))
                    await asyncio.sleep(0.05)
                await raw.execute(self.KILL)
                if moment == "during a query":
                    with pytest.raises(errors.DataError):
                        await task
                if moment == "before a query":
                    with pytest.raises(errors.DataError):
                        await tx.user.create({"email": "b"})
                    with pytest.raises(errors.TransactionExpiredError, match="Transaction already closed"):
                        await tx.user.create({"email": "c"})
        assert isinstance(caught.value, errors.TransactionExpiredError) or caught.value.code == "P1017"
        assert await rest(db, raw) == (0, 0, 0)
        assert await db.user.count() == 0

    async def test_of_the_whole_server(self, prisma_class: type[Any], client_package: ModuleType) -> None:
        """A server that is restarted fails what it was doing; afterwards the same client goes on."""
        directory = Path(tempfile.mkdtemp(prefix="agentdb-test-"))
        server = await start_embedded(directory, durable=False)
        try:
            async with prisma_class(
                datasource={"url": server.url_for(SUPERUSER, "postgres")}, use_dotenv=False
            ) as client:
                manager = client.tx(timeout=timedelta(minutes=1))
                tx = await manager.start()
                task = asyncio.create_task(client.query_raw("SELECT pg_sleep(20)"))
                await asyncio.sleep(0.1)
                await asyncio.to_thread(server.stop)
                for work in (task, client.query_raw("SELECT 1"), client.tx().start(), tx.query_raw("SELECT 1")):
                    async with asyncio.timeout(5):
                        with pytest.raises(client_package.errors.DataError) as caught:
                            await work
                        assert caught.value.code == "P1017"
                server = await start_embedded(directory, durable=False)
                assert await client.query_raw("SELECT 1 AS one") == [{"one": 1}]
                with pytest.raises(client_package.errors.TransactionExpiredError):
                    await manager.commit()
        finally:
            server.stop()
            shutil.rmtree(directory)
