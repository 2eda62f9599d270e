"""Connecting and disconnecting, with a pool of the client's own and with a driver that it borrows."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from agentdb.engine import with_engine
from agentdb.errors import ConfigurationError, ConnectionFailedError
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url

pytestmark = pytest.mark.postgres

# The sockets of an event loop that is closed can be closed by nobody else.
left_to_the_garbage_collector = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class TestOwnPool:
    async def test_connect_and_disconnect(
        self, prisma_class: type[Any], client_package: ModuleType, url: str, db: Any
    ) -> None:
        """A client may be connected again after it was disconnected, and not before; disconnecting may be repeated."""
        errors = import_module(f"{client_package.__name__}.engine.errors")
        client = prisma_class(datasource={"url": url}, use_dotenv=False)
        assert not client.is_connected()
        for _ in range(2):
            await client.connect()
            with pytest.raises(errors.AlreadyConnectedError, match="Already connected to the query engine"):
                await client.connect()
            assert client.is_connected()
            assert await client.user.count() == 0
            await client.disconnect()
            await client.disconnect()
            assert not client.is_connected()

    async def test_connecting_twice_at_once(
        self, prisma_class: type[Any], client_package: ModuleType, url: str, db: Any, raw: Any
    ) -> None:
        """Of tasks that connect one client at the same time the first does, and the others make no connection."""
        errors = import_module(f"{client_package.__name__}.engine.errors")
        client = prisma_class(datasource={"url": f"{url}&application_name=twice"}, use_dotenv=False)
        answers = await asyncio.gather(client.connect(), client.connect(), return_exceptions=True)
        assert answers[0] is None
        assert isinstance(answers[1], errors.AlreadyConnectedError)
        assert await client.user.count() == 0
        assert await raw.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'twice'") == 1
        await client.disconnect()

    async def test_url_from_the_environment(
        self, prisma_class: type[Any], url: str, db: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without an argument the URL is the one that the schema names."""
        monkeypatch.setenv("DATABASE_URL", url)
        async with prisma_class(use_dotenv=False) as client:
            assert await client.user.count() == 0

    async def test_no_url(self, prisma_class: type[Any], client_package: ModuleType) -> None:
        """Where the variable is not set that the schema names, connecting fails and names it."""
        errors = import_module(f"{client_package.__name__}.engine.errors")
        with pytest.raises(errors.EngineConnectionError, match="DATABASE_URL"):
            await prisma_class(use_dotenv=False).connect()

    async def test_not_connected(self, prisma_class: type[Any], client_package: ModuleType) -> None:
        """Before, every kind of query says that connect() is missing."""
        client = prisma_class(use_dotenv=False)
        for use in (
            client.user.count,
            lambda: client.query_raw("SELECT 1"),
            lambda: client.tx().start(),
            lambda: client.user.create({"email": "a"}),
        ):
            with pytest.raises(client_package.errors.ClientNotConnectedError, match="connect"):
                await use()
        batch = client.batch_()
        batch.user.create({"email": "a"})
        with pytest.raises(client_package.errors.ClientNotConnectedError):
            await batch.commit()

    @pytest.mark.parametrize(
        ("url", "cause", "words"),
        [
            ("postgresql://user:secret@127.0.0.1:1/nowhere", ConnectionFailedError, "Cannot connect to PostgreSQL"),
            ("mysql://user:secret@127.0.0.1/nowhere", ConfigurationError, "DATABASE_URL"),
        ],
    )
    async def test_cannot_connect(
        self, prisma_class: type[Any], client_package: ModuleType, url: str, cause: type[Exception], words: str
    ) -> None:
        """A server that cannot be reached, or a URL that is none, is the package's EngineConnectionError."""
        client = prisma_class(datasource={"url": url}, use_dotenv=False)
        errors = import_module(f"{client_package.__name__}.engine.errors")
        with pytest.raises(errors.EngineConnectionError, match=words) as caught:
            await client.connect()
        assert isinstance(caught.value, client_package.errors.PrismaError)
        assert isinstance(caught.value.__cause__, cause)
        assert "secret" not in str(caught.value)
        assert not client.is_connected()
        with pytest.raises(client_package.errors.ClientNotConnectedError):
            await client.user.count()

    async def test_connect_timeout(self, prisma_class: type[Any], client_package: ModuleType) -> None:
        """A server that never answers is given up after connect_timeout."""

        hung_up = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            hung_up.set()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        host, port = silent.sockets[0].getsockname()
        client = prisma_class(
            datasource={"url": f"postgresql://u@{host}:{port}/d"},
            use_dotenv=False,
            connect_timeout=timedelta(milliseconds=200),
        )
        errors = import_module(f"{client_package.__name__}.engine.errors")
        with pytest.raises(errors.EngineConnectionError):
            await client.connect()
        assert not client.is_connected()
        async with asyncio.timeout(5):
            await hung_up.wait()
        silent.close()

    async def test_the_server_goes_away(self, db: Any, raw: Any, client_package: ModuleType) -> None:
        """A connection that is cut off in the middle is P1017, and the next query gets another one."""
        task = asyncio.create_task(db.query_raw("SELECT pg_sleep(20)"))
        await asyncio.sleep(0.1)
        await raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE '%pg_sleep(20)%' AND pid <> pg_backend_pid()"
        )
        with pytest.raises(client_package.errors.DataError) as caught:
            await task
        assert caught.value.code == "P1017"
        assert await db.user.count() == 0

    async def test_forgotten(self, prisma_class: type[Any], url: str, db: Any, raw: Any) -> None:
        """A client that is dropped without disconnecting closes its connections by itself."""
        client = prisma_class(datasource={"url": f"{url}&application_name=forgotten"}, use_dotenv=False)
        await client.connect()
        await client.user.count()
        del client
        gc.collect()
        for _ in range(40):
            count = await raw.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forgotten'")
            if not count:
                break
            await asyncio.sleep(0.05)
        assert count == 0

    @left_to_the_garbage_collector
    def test_in_another_event_loop(self, prisma_class: type[Any], url: str, client_package: ModuleType) -> None:
        """A client works in the event loop that it was connected in, and says so elsewhere."""
        client = prisma_class(datasource={"url": url}, use_dotenv=False)

        async def connect() -> None:
            await client.connect()
            await client.user.count()

        async def use() -> None:
            with pytest.raises(client_package.errors.ClientNotConnectedError, match="event loop"):
                await client.user.count()
            await client.disconnect()

        asyncio.run(connect())
        asyncio.run(use())
        gc.collect()

    def test_again_in_another_event_loop(self, prisma_class: type[Any], url: str) -> None:
        """One client may serve one event loop after the other, if it is connected in each."""
        client = prisma_class(datasource={"url": url}, use_dotenv=False)

        async def use() -> None:
            async with client:
                await client.query_raw("SELECT 1")

        for _ in range(2):
            asyncio.run(use())

    @left_to_the_garbage_collector
    def test_connected_again_in_the_next_event_loop(self, prisma_class: type[Any], url: str) -> None:
        """A client that was never disconnected may be connected again once its event loop is closed."""
        client = prisma_class(datasource={"url": url}, use_dotenv=False)

        async def use() -> None:
            await client.connect()
            await client.query_raw("SELECT 1")

        for _ in range(3):
            asyncio.run(use())
        asyncio.run(client.disconnect())
        assert not client.is_connected()
        gc.collect()


class TestBorrowedDriver:
    @pytest.fixture
    async def pool(self, url: str, db: Any) -> Any:
        pool = Pool(parse_url(url))
        await pool.open()
        yield pool
        await pool.close()

    async def test_is_left_open(self, prisma_class: type[Any], pool: Pool) -> None:
        """Disconnecting leaves the pool to its owner."""
        async with prisma_class(driver=pool.driver(), use_dotenv=False) as client:
            await client.user.create({"email": "a"})
            async with client.tx() as tx:
                await tx.user.create({"email": "b"})
        assert pool.is_open
        assert len(await pool.driver().fetch("SELECT * FROM users")) == 2

    async def test_needs_no_connect(self, prisma_class: type[Any], pool: Pool) -> None:
        """A client on a driver can be used at once, by many tasks, and connecting or disconnecting changes nothing."""
        client = prisma_class(driver=pool.driver(), use_dotenv=False)
        assert await asyncio.gather(*(client.user.count() for _ in range(5))) == [0] * 5
        await client.connect()
        await client.disconnect()
        assert await client.user.count() == 0

    async def test_its_own_transactions_end(
        self, prisma_class: type[Any], client_package: ModuleType, pool: Pool
    ) -> None:
        """Disconnecting rolls back the transactions that this client has open, and no others."""
        mine = prisma_class(driver=pool.driver(), use_dotenv=False)
        other = prisma_class(driver=pool.driver(), use_dotenv=False)
        async with other.tx() as kept:
            lost = await mine.tx().start()
            await lost.user.create({"email": "lost"})
            await kept.user.create({"email": "kept"})
            await mine.disconnect()
            assert pool.stats.in_use == 1
            with pytest.raises(client_package.errors.TransactionExpiredError, match="when its client disconnected"):
                await lost.user.count()
        assert [user.email for user in await mine.user.find_many()] == ["kept"]

    async def test_of_a_transaction(self, prisma_class: type[Any], pool: Pool) -> None:
        """On an open transaction everything is part of it; a transaction inside is a savepoint."""
        transaction = await pool.driver().begin()
        async with prisma_class(driver=transaction, use_dotenv=False) as client:
            await client.user.create({"email": "a", "posts": {"create": {"title": "t"}}})
            with pytest.raises(ValueError, match="mine"):
                async with client.tx() as inner:
                    await inner.user.create({"email": "b"})
                    raise ValueError("mine")
            assert await client.user.count() == 1
        assert len(await pool.driver().fetch("SELECT * FROM users")) == 0
        await transaction.commit()
        assert len(await pool.driver().fetch("SELECT * FROM users")) == 1

    async def test_two_clients_on_one_pool(self, prisma_class: type[Any], pool: Pool) -> None:
        """Any number of clients may share a pool, and they share the plans too."""
        async with (
            prisma_class(driver=pool.driver(), use_dotenv=False) as first,
            prisma_class(driver=pool.driver(), use_dotenv=False) as second,
        ):
            await first.user.create({"email": "a"})
            assert await second.user.count() == 1
            assert first._engine._planner is second._engine._planner


class TestWithEngine:
    def test_is_a_subclass(self, client_package: ModuleType, prisma_class: type[Any]) -> None:
        """The result is the same class by name, a subclass, and made once."""
        assert issubclass(prisma_class, client_package.Prisma)
        assert prisma_class.__name__ == "Prisma"
        assert with_engine(client_package.Prisma) is prisma_class
        assert with_engine(prisma_class) is prisma_class

    async def test_of_a_user_s_subclass(self, client_package: ModuleType, url: str, db: Any) -> None:
        """A subclass that adds to the client keeps what it adds."""

        class Mine(client_package.Prisma):  # type: ignore[misc, name-defined]
            async def users(self) -> int:
                return int(await self.user.count())

        async with with_engine(Mine)(datasource={"url": url}, use_dotenv=False) as client:
            assert await client.users() == 0

    @pytest.mark.parametrize("other", [int, object, Pool, asyncio.Lock])
    def test_of_something_else(self, other: Any) -> None:
        """Any other class is refused."""
        with pytest.raises(TypeError, match="generated prisma-client-py package"):
            with_engine(other)

    async def test_hooks_of_a_subclass(self, client_package: ModuleType, url: str, db: Any) -> None:
        """What a subclass overrides stays in force, and its super() is the engine."""
        seen: list[str] = []

        class Mine(client_package.Prisma):  # type: ignore[misc, name-defined]
            async def connect(self, *arguments: Any, **options: Any) -> None:
                seen.append("connect")
                await super().connect(*arguments, **options)

            async def _execute(self, method: str, arguments: dict[str, Any], *rest: Any, **options: Any) -> Any:
                seen.append(method)
                return await super()._execute(method, arguments, *rest, **options)

        async with with_engine(Mine)(datasource={"url": url}, use_dotenv=False) as client:
            await client.user.create({"email": "a"})
            async with client.tx() as tx:
                assert isinstance(tx, Mine)
                assert await tx.query_raw("SELECT 1 AS n") == [{"n": 1}]
        assert seen == ["connect", "create", "query_raw"]


class TestParsing:
    async def test_an_execute_of_one_s_own(self, client_package: ModuleType, url: str, db: Any) -> None:
        """What overrides `_execute`, in whichever of its classes, gets records, as it always did."""
        await db.user.create({"email": "a"})
        seen: list[type] = []

        class Noting:
            async def _execute(self, **call: Any) -> Any:
                answer = await super()._execute(**call)  # type: ignore[misc]
                seen.extend(map(type, answer["data"]["result"]))
                return answer

        class Mine(Noting, client_package.Prisma):  # type: ignore[misc, name-defined]
            pass

        async with with_engine(Mine)(datasource={"url": url}, use_dotenv=False) as client:
            assert (await client.user.find_many())[0].email == "a"
        assert seen == [dict]

    async def test_validators_see_each_record_once(self, db: Any, client_package: ModuleType) -> None:
        """A model with validators parses its records one by one, and its error is raised as it is."""
        from pydantic import ValidationError, field_validator, model_validator

        seen: list[str] = []

        class Counting(client_package.models.User):  # type: ignore[misc, name-defined]
            @model_validator(mode="before")
            @classmethod
            def count(cls, record: Any) -> Any:
                seen.append(record["email"])
                del record["manager_id"]
                return record

            @field_validator("email")
            @classmethod
            def refuse(cls, email: str) -> str:
                if email == "c":
                    raise ValueError("not this one")
                return email

        await db.user.create_many([{"email": email} for email in "abc"])
        actions = type(db.user)(db, Counting)
        with pytest.raises(ValidationError, match="not this one"):
            await actions.find_many(order={"id": "asc"})
        assert seen == ["a", "b", "c"]

    async def test_a_model_that_was_rebuilt(self, db: Any, client_package: ModuleType) -> None:
        """A model that changes is parsed into as it is now."""
        from pydantic import AfterValidator

        class Changing(client_package.models.User):  # type: ignore[misc, name-defined]
            pass

        await db.user.create({"email": "a"})
        actions = type(db.user)(db, Changing)
        assert (await actions.find_many())[0].email == "a"
        Changing.model_fields["email"].metadata.append(AfterValidator(str.upper))
        Changing.model_rebuild(force=True)
        assert (await actions.find_many())[0].email == "A"


class TestModels:
    async def test_own_models(self, db: Any, client_package: ModuleType) -> None:
        """A model of the user's own selects its own fields, and only these."""
        bases = import_module(f"{client_package.__name__}.bases")

        class Title(bases.BasePost):  # type: ignore[misc, name-defined]
            title: str

        class Author(bases.BaseUser):  # type: ignore[misc, name-defined]
            email: str
            posts: list[Title] | None = None

        await db.user.create({"email": "a", "posts": {"create": {"title": "t", "views": 3}}})
        author = await Author.prisma(db).find_first(include={"posts": True})
        assert author == Author(email="a", posts=[Title(title="t")])
        assert await Author.prisma(db).update(where={"id": 1}, data={"name": "x"}) == Author(email="a")
        assert (await Author.prisma(db).create({"email": "b"})).email == "b"

    @pytest.fixture
    def unregistered(self, client_package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        """No client is registered, and none will be after the test."""
        monkeypatch.setattr(import_module(f"{client_package.__name__}._registry"), "_registered_client", None)

    @pytest.mark.usefixtures("unregistered")
    async def test_registered_client(self, db: Any, client_package: ModuleType) -> None:
        """Models query through the registered client, which knows that it is."""
        assert not db.is_registered()
        client_package.register(db)
        await client_package.models.User.prisma().create({"email": "a"})
        assert await client_package.models.User.prisma().count() == 1
        assert db.is_registered()
        async with db.tx() as tx:
            assert tx.is_transaction()
            assert not tx.is_registered()

    @pytest.mark.usefixtures("unregistered")
    async def test_registers_itself(self, prisma_class: type[Any], client_package: ModuleType) -> None:
        """…or the one that was made with auto_register; a second one is refused."""
        client = prisma_class(use_dotenv=False, auto_register=True)
        assert client_package.get_client() is client
        with pytest.raises(client_package.errors.ClientAlreadyRegisteredError):
            client_package.register(client)
