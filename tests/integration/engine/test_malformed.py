"""
Whatever is thrown at the client, it answers with an error of its own, writes nothing, and goes on working.

`MALFORMED_CALLS` sets how many calls the property test makes; ten thousand take about a minute.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.engine.junk import cyclic_list, junk, parameter
from tests.integration.engine.malformed import KEYS, KINDS, Fault, Template, templates
from tests.integration.engine.resting import lent

pytestmark = pytest.mark.postgres

CALLS = int(os.environ.get("MALFORMED_CALLS", "1500"))
LONGEST_TEXT = 4_500
LONGEST_SECONDS = 1.0
WRITES = {"create", "create_many", "update", "update_many", "upsert", "delete", "delete_many"}

TABLES = (
    'users, "Profile", "Post", "Category", "_CategoryToPost", _tree, "Comment", "Reaction", "Types", "Lists", "Moment"'
)


class Sent(Exception):
    """The generated client found nothing wrong with a call."""


@pytest.fixture(scope="session")
def alone(client_package: ModuleType) -> Any:
    """The generated client by itself: it builds what it would send to the Rust engine, and raises `Sent`."""
    builder = import_module(f"{client_package.__name__}._builder").QueryBuilder
    metadata = import_module(f"{client_package.__name__}.metadata")

    class Alone(client_package.Prisma):  # type: ignore[misc, name-defined]
        async def _execute(self, **call: Any) -> Any:
            builder(
                **call,
                prisma_models=metadata.PRISMA_MODELS,
                relational_field_mappings=metadata.RELATIONAL_FIELD_MAPPINGS,
            ).build()
            raise Sent

    return Alone(use_dotenv=False)


class Watch:
    """Sees whether anything was written, and puts back what was there before."""

    def __init__(self, db: Any, raw: Any) -> None:
        self._db = db
        self._raw = raw

    async def begin(self) -> None:
        await self._raw.execute("""
            CREATE SCHEMA watch;
            CREATE TABLE watch.written ();
            CREATE FUNCTION watch.note() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO watch.written DEFAULT VALUES; RETURN NULL; END';
            DO $$ DECLARE name text; BEGIN
                FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                    EXECUTE format('CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON %I
                                    FOR EACH ROW EXECUTE FUNCTION watch.note()', name);
                END LOOP;
            END $$""")
        await self.restore()

    async def end(self) -> None:
        await self._raw.execute("DROP SCHEMA watch CASCADE")

    async def has_seen_something(self) -> bool:
        """Whether anything was written. Asked by the client itself: it has to work."""
        rows = await self._db.query_raw("SELECT count(*)::int AS count FROM watch.written")
        return bool(rows[0]["count"])

    async def restore(self) -> None:
        await self._raw.execute(f"""
            TRUNCATE {TABLES} RESTART IDENTITY;
            INSERT INTO users (email, name, "updatedAt") VALUES ('a', 'a', now()), ('b', NULL, now());
            INSERT INTO "Category" (name) VALUES ('c');
            INSERT INTO "Post" (id, title, author_id) VALUES ('p', 't', 1);
            INSERT INTO "Comment" (post_id, number, text) VALUES ('p', 1, 'x');
            INSERT INTO "Reaction" (kind, post_id, number) VALUES ('k', 'p', 1);
            INSERT INTO "Types" DEFAULT VALUES;
            INSERT INTO "Lists" DEFAULT VALUES;
            TRUNCATE watch.written""")


@pytest.fixture
async def watch(db: Any, raw: Any) -> AsyncIterator[Watch]:
    """A watch over all tables."""
    watch = Watch(db, raw)
    await watch.begin()
    yield watch
    await watch.end()


async def call(client: Any, template: Template, arguments: dict[str, Any], way: str = "") -> Any:
    """Make a call in a batch or a transaction, if *way* says so and it can be."""
    if way == "batch" and template.method in WRITES:
        async with client.batch_() as batch:
            getattr(getattr(batch, template.model), template.method)(**arguments)
        return None
    if way == "transaction":
        async with client.tx() as tx:
            return await getattr(getattr(tx, template.model), template.method)(**arguments)
    return await getattr(getattr(client, template.model), template.method)(**arguments)


async def judge(error: BaseException, package: ModuleType, alone: Any, again: Any) -> None:
    """
    Check that *error* is one that a user may get.

    Either it is an error of the package, with words and of bearable length; or it is the generated client's own, raised
    by its files or for the same call with no engine at all.
    """
    if isinstance(error, package.errors.PrismaError):
        text = str(error)
        assert text.strip()
        assert len(text) <= LONGEST_TEXT, text[:500]
        if isinstance(error, package.errors.DataError):
            assert error.code is not None
            assert error.code.startswith("P2")
        return
    if traceback.extract_tb(error.__traceback__)[-1].filename.startswith(str(package.__path__[0])):
        return
    try:
        await again(alone)
    except Exception as own:
        is_same = type(own) is type(error)
        # With two mistakes in a call each may find another one first; what no field can hold is a TypeError.
        is_alike = type(error) is TypeError and not isinstance(own, Sent)
        assert is_same or is_alike, "".join(traceback.format_exception(error))


faults = st.builds(
    Fault,
    kind=st.sampled_from(KINDS),
    place=st.integers(0, 1 << 16),
    key=st.sampled_from(KEYS),
    value=st.integers(0, 1 << 16),
)


class TestCalls:
    async def test_templates(self, db: Any, watch: Watch, client_package: ModuleType) -> None:
        """The calls that are damaged below are good ones."""
        for template in templates(client_package):
            await call(db, template, template.arguments)
            await watch.restore()

    @settings(
        max_examples=CALLS,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a damaged call is small enough; to shrink it takes minutes
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        number=st.integers(0, 1 << 16),
        damage=st.lists(faults, min_size=1, max_size=2),
        way=st.sampled_from(["alone", "alone", "after the good one", "transaction", "batch"]),
    )
    async def test_damaged(
        self,
        db: Any,
        watch: Watch,
        client_package: ModuleType,
        alone: Any,
        number: int,
        damage: list[Fault],
        way: str,
    ) -> None:
        """A call that is wrong somewhere raises an error with words, soon, and writes nothing; the next one works."""
        calls = templates(client_package)
        template, values = calls[number % len(calls)], junk(client_package)
        arguments = template.arguments
        for fault in damage:
            arguments = fault.apply(arguments, values)
        if way == "after the good one":  # what was remembered of that one must not serve this one
            await call(db, template, template.arguments)
            await watch.restore()
        error: BaseException | None = None
        started = time.process_time()  # of this process alone: others are busy too
        try:
            await call(db, template, arguments, way)
        except Exception as caught:
            error = caught
        seconds = time.process_time() - started
        is_changed = await watch.has_seen_something()
        if is_changed:
            await watch.restore()
        if error is not None:
            assert not is_changed
            assert seconds < LONGEST_SECONDS
            await judge(error, client_package, alone, lambda client: call(client, template, arguments))
        assert await lent(db) == 0


class TestTricks:
    """Arguments that once did harm, each by itself."""

    @pytest.mark.parametrize("name", ["%0", "%1", "%99"])
    async def test_a_placeholder(self, db: Any, client_package: ModuleType, name: str) -> None:
        """A dict cannot pass for a placeholder, and so not ask for another value of the request."""
        await db.user.create({"email": "a", "name": "a"})
        tricks = [{"email": "a", "name": parameter(name)}, {"email": "a", "AND": parameter(name)}]
        tricks += [{"email": "a", **parameter(name)}, {"email": "a", "name": {"in": [parameter(name)]}}]
        for where in tricks:
            with pytest.raises(client_package.errors.FieldNotFoundError, match=r"\$type"):
                await db.user.find_first(where=where)

    @pytest.mark.parametrize("text", ["1E+10000000", "1E-10000000"])
    @pytest.mark.parametrize("kind", [str, Decimal])
    async def test_a_decimal_of_many_digits(
        self, db: Any, client_package: ModuleType, kind: Callable[[str], Any], text: str
    ) -> None:
        """A few characters that stand for millions of digits are not written out."""
        value = kind(text)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: db.types.create({"exact": value}),
            lambda: db.types.find_first(where={"exact": value}),
            lambda: db.types.find_first(where={"exact": {"in": [value]}, "text": "x"}),
            lambda: db.types.find_first(where={"whole": value}),
            lambda: db.lists.create({"exacts": [value]}),
            lambda: db.query_raw("SELECT $1::numeric", value),
        ]
        started = time.process_time()
        for make in calls:
            with pytest.raises(client_package.errors.DataError):
                await make()
        with suppress(client_package.errors.RawQueryError):  # the small one is as good as zero
            await db.query_raw("SELECT $1::int", value)
        assert time.process_time() - started < LONGEST_SECONDS

    async def test_an_object_in_raw_sql(self, db: Any) -> None:
        """What is no value is not stored as the text that Python would print for it."""
        for value in (object(), object, len, ValueError("x"), iter([1]), 1j):
            with pytest.raises(TypeError, match="not serializable"):
                await db.query_raw("SELECT $1::text AS value", value)

    async def test_a_cycle_in_a_batch(self, db: Any, client_package: ModuleType) -> None:
        """A batch refuses at once what has no end."""
        batch = db.batch_()
        with pytest.raises(client_package.errors.DataError, match="too deeply"):
            batch.user.create({"email": "a", "tags": cyclic_list()})

    @pytest.mark.parametrize("by", [[1], [{}], [["name"]], ["name", None], ["a b"], [""]])
    async def test_names_that_are_none(self, db: Any, client_package: ModuleType, by: list[Any]) -> None:
        """What groups are made by has to be names, and names of fields."""
        with pytest.raises((TypeError, client_package.errors.FieldNotFoundError), match=r"field|Field"):
            await db.user.group_by(by=by)


class TestRawArguments:
    TYPES = (
        *(
            "text",
            "varchar(3)",
            "char(3)",
            "citext",
            "bool",
            "int2",
            "int4",
            "int8",
            "oid",
            "float4",
            "float8",
            "numeric",
        ),
        *("money", "json", "jsonb", "bytea", "uuid", "inet", "bit(4)", "varbit", "date", "time", "timetz", "timestamp"),
        *("timestamptz", "interval", "user_role", "text[]", "int4[]", "numeric[]", "jsonb[]", "user_role[]", "xml"),
    )

    @pytest.mark.parametrize("type_", TYPES)
    async def test_of_every_type(self, db: Any, client_package: ModuleType, alone: Any, type_: str) -> None:
        """Bad arguments of raw SQL are RawQueryError, or the generated client's own TypeError."""
        for make in junk(client_package).values():
            value = make()
            sql = f"SELECT $1::{type_} AS value"
            try:
                await db.query_raw(sql, value)
            except Exception as error:
                await judge(error, client_package, alone, lambda client: client.query_raw(sql, value))  # noqa: B023
        assert await db.query_raw("SELECT 1 AS one") == [{"one": 1}]

    @pytest.mark.parametrize("method", ["query_raw", "query_first", "execute_raw"])
    async def test_statements(self, db: Any, client_package: ModuleType, alone: Any, method: str) -> None:
        """What is no SQL, or takes other arguments than are given, is an error too."""
        texts: list[Any] = [
            "",
            ";",
            "x",
            "SELECT",
            "SELECT 1; SELECT 2",
            "SELECT $2::int",
            "SELECT \0",
            "SELECT '\ud800'",
        ]
        texts += [
            "SELECT 1/0",
            "SELECT * FROM nowhere",
            "x" * (1 << 20),
            "COMMIT",
            "ROLLBACK",
            "SELECT $1",
            None,
            1,
            b"x",
        ]
        for text in texts:
            for arguments in ((), (1,), (1, "x", None)):
                try:
                    await getattr(db, method)(text, *arguments)
                except Exception as error:
                    await judge(error, client_package, alone, lambda c: getattr(c, method)(text, *arguments))  # noqa: B023
        assert await db.query_raw("SELECT 1 AS one") == [{"one": 1}]
        await asyncio.sleep(0)
        assert await lent(db) == 0
