"""`with_engine`: any client that prisma-client-py generated for PostgreSQL, running on this engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from agentdb.engine.engine import Engine
from agentdb.engine.package import Package
from agentdb.engine.parsing import parse_all
from agentdb.engine.request import Call
from agentdb.engine.synchronous import SynchronousEngine
from agentdb.postgres.driver import Driver

ClientT = TypeVar("ClientT")


def with_engine(client_class: type[ClientT]) -> type[ClientT]:
    """
    Return *client_class* running in process: Prisma's query compiler plans, asyncpg executes.

    The result is a subclass and is used as before, asynchronous or synchronous: no binary is looked for, nothing is
    downloaded. An asynchronous one's constructor takes two arguments more: ``driver``, a `Driver` to run on instead of
    a connection pool of its own, with which it can be used at once, and ``schema_name``, the database schema of the
    driver's tables ("public" if not said).

    Args:
        client_class: The ``Prisma`` of a package that prisma-client-py 0.15 generated for PostgreSQL, wherever the
            package lives; or a subclass of it, whose own methods stay in force.

    Raises:
        TypeError: The class is none of these.
    """
    # Not cached itself, or the type checker would no longer know what it returns.
    base: Any = client_class
    made: type[ClientT] = base if issubclass(base, InProcessClient) else _in_process(base)
    return made


@lru_cache(maxsize=64)
def _in_process(client_class: type) -> type:
    package, generated = _package_of(client_class)
    flavour = _Asynchronous if hasattr(generated, "__aenter__") else _Synchronous
    made = _class_like(generated, (flavour, generated), _package=package, _batch_class=_batch_class(package, flavour))
    # What a subclass overrides comes before what we do, so that its super() leads here.
    return made if client_class is generated else _class_like(client_class, (client_class, made))


def _class_like(model: type, bases: tuple[type, ...], **attributes: Any) -> type:
    names = {"__module__": model.__module__, "__qualname__": model.__qualname__, "__doc__": model.__doc__}
    return type(model.__name__, bases, names | attributes)


class InProcessClient:
    """What a generated client does otherwise on this engine, asynchronous or not. Stands before the client itself."""

    _package: Package
    _batch_class: type[Any]
    _driver: Driver | None
    _schema_name: str | None
    _internal_engine: Any
    _engine: Any  # of the client: raises when it is not connected
    _tx_id: str | None
    _parsed: str | None = "find_many"  # what is answered in models already

    def __init_subclass__(cls) -> None:
        # A subclass with an `_execute` of its own, or of its parents, gets what it always got: records.
        owner = next((each for each in cls.__mro__ if "_execute" in vars(each)), InProcessClient)
        if InProcessClient not in owner.__bases__:
            cls._parsed = None

    def __init__(self, *, driver: Driver | None = None, schema_name: str | None = None, **options: Any) -> None:
        self._driver = driver
        self._schema_name = schema_name
        super().__init__(**options)
        if driver is not None:
            self._internal_engine = self._create_engine()

    def _copy(self) -> Any:
        copy = super()._copy()  # type: ignore[misc]
        copy._driver = self._driver
        copy._schema_name = self._schema_name
        return copy

    def _create_engine(self, dml_path: Path | None = None) -> Any:
        client: Any = self
        schema = (dml_path or client._packaged_schema_path).read_text(encoding="utf-8")
        return Engine(
            self._package,
            schema,
            self._default_url,
            driver=self._driver,
            schema_name=self._schema_name,
            log_queries=client._log_queries,
        )

    def _default_url(self) -> str:
        try:
            return cast(str, cast(Any, self)._default_datasource["url"])
        except RuntimeError as error:  # the environment variable that the schema names is not set
            raise self._package.connection_error(str(error)) from error

    @property
    def _engine_class(self) -> type[Any]:
        return Engine

    def _prepare(self, method: str, model: type | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Called once for every query of every kind before anything else: what a subclass overrides to bind it."""
        return arguments

    def _refuse_second_connect(self) -> None:
        if self._internal_engine is not None and self._driver is None:
            raise self._package.already_connected()

    def batch_(self) -> Any:
        """Return a batcher, which collects write queries and sends them in one transaction."""
        return self._batch_class(self)


class _Asynchronous(InProcessClient):
    """A client of ``interface = "asyncio"``."""

    async def connect(self, *arguments: Any, **options: Any) -> None:
        if self._internal_engine is not None and self._internal_engine.is_orphaned:
            await self.disconnect()  # as after a first asyncio.run() that did not
        self._refuse_second_connect()
        try:
            await super().connect(*arguments, **options)  # type: ignore[misc]
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self, *arguments: Any, **options: Any) -> None:
        if self._driver is None:
            await super().disconnect(*arguments, **options)  # type: ignore[misc]
        else:
            await self._internal_engine.aclose()  # its transactions only; the driver is somebody else's

    async def _execute(
        self,
        method: str,
        arguments: Mapping[str, Any],
        model: type | None = None,
        root_selection: Sequence[str] | None = None,
    ) -> Any:
        engine = self._engine
        call = Call(method, self._prepare(method, model, arguments), model, root_selection)
        result = await engine.run(call, self._tx_id)
        return {"data": {"result": parse_all(model, result) if method == self._parsed else result}}

    async def _send(self, calls: Sequence[Call]) -> None:
        engine = self._engine
        if calls:
            await engine.run_together(calls, self._tx_id)


class _Synchronous(InProcessClient):
    """A client of ``interface = "sync"``."""

    def __init__(self, **options: Any) -> None:
        if options.get("driver") is not None:
            self._internal_engine = None  # the client looks at it when it is collected
            raise TypeError("A synchronous client has a pool of its own: a driver belongs to somebody's event loop.")
        super().__init__(**options)

    def connect(self, *arguments: Any, **options: Any) -> None:
        self._refuse_second_connect()
        try:
            super().connect(*arguments, **options)  # type: ignore[misc]
        except BaseException:
            cast(Any, self).disconnect()
            raise

    def _create_engine(self, dml_path: Path | None = None) -> Any:
        return SynchronousEngine(lambda: super(_Synchronous, self)._create_engine(dml_path))

    @property
    def _engine_class(self) -> type[Any]:
        return SynchronousEngine

    def _execute(
        self,
        method: str,
        arguments: Mapping[str, Any],
        model: type | None = None,
        root_selection: Sequence[str] | None = None,
    ) -> Any:
        engine = self._engine
        call = Call(method, self._prepare(method, model, arguments), model, root_selection)
        result = engine.run(call, self._tx_id)
        return {"data": {"result": parse_all(model, result) if method == self._parsed else result}}

    def _send(self, calls: Sequence[Call]) -> None:
        engine = self._engine
        if calls:
            engine.run_together(calls, self._tx_id)


def _batch_class(package: Package, flavour: type) -> type:
    """Return the package's ``Batch`` with the queries kept as they were called, instead of rendered as text."""

    class InProcessBatch(package.client.Batch):  # type: ignore[misc, name-defined]
        """Write queries that are sent together, in one transaction."""

        def __init__(self, client: Any) -> None:
            super().__init__(client)
            self._client = client
            self._calls: list[Call] = []

        def _add(
            self,
            *,
            method: str,
            arguments: Mapping[str, Any],
            model: type | None = None,
            root_selection: Sequence[str] | None = None,
        ) -> None:
            try:
                kept = snapshot(self._client._prepare(method, model, arguments), package.dialect.json)
            except RecursionError as error:
                raise package.own_error(error) from error
            self._calls.append(Call(method, kept, model, root_selection))

        def _take(self) -> list[Call]:
            calls, self._calls = self._calls, []
            return calls

    class Asynchronous(InProcessBatch):
        async def commit(self) -> None:
            await self._client._send(self._take())

    class Synchronous(InProcessBatch):
        def commit(self) -> None:
            self._client._send(self._take())

    return _class_like(package.client.Batch, (Asynchronous if flavour is _Asynchronous else Synchronous,))


def snapshot(value: Any, json_class: type[Any]) -> Any:
    """Return *value* as it is now: its dictionaries and lists may be used again before the batch is sent."""
    if isinstance(value, dict):
        return {key: snapshot(item, json_class) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(item, json_class) for item in value]
    return json_class(snapshot(value.data, json_class)) if isinstance(value, json_class) else value


def _package_of(client_class: type) -> tuple[Package, type]:
    """Return the generated package of a client class, and the class in it."""
    for each in client_class.__mro__:
        package = _package_that_defines(each)
        if package is not None:
            return package, each
    raise TypeError(
        f"with_engine() takes the Prisma class of a generated prisma-client-py package, not {client_class!r}."
    )


def _package_that_defines(client_class: type) -> Package | None:
    try:
        package = Package.of(client_class)
    except (ImportError, AttributeError):
        return None
    return package if hasattr(package.client, "Batch") else None
