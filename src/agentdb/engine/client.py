"""`with_engine`: any client that prisma-client-py generated for PostgreSQL, running on this engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from agentdb.engine.engine import Engine
from agentdb.engine.package import Package
from agentdb.engine.request import Call
from agentdb.postgres.driver import Driver

ClientT = TypeVar("ClientT")


def with_engine(client_class: type[ClientT]) -> type[ClientT]:
    """
    Return *client_class* running in process: Prisma's query compiler plans, asyncpg executes.

    The result is a subclass and is used as before: no binary is looked for, nothing is downloaded. Its constructor
    takes two arguments more: ``driver``, a `Driver` to run on instead of a connection pool of its own, with which it
    can be used at once, and ``schema_name``, the database schema of the driver's tables ("public" if not said).

    Args:
        client_class: The ``Prisma`` of a package that prisma-client-py 0.15 generated for PostgreSQL with
            ``interface = "asyncio"``, wherever the package lives.

    Raises:
        TypeError: The class is none of these.
    """
    # Not cached itself, or the type checker would no longer know what it returns.
    base: Any = client_class
    made: type[ClientT] = base if hasattr(base, "_prepare") else _in_process(base)
    return made


@lru_cache(maxsize=64)
def _in_process(client_class: Any) -> Any:
    package = _package_of(client_class)

    class InProcess(client_class):  # type: ignore[misc]
        """The generated client on the in-process engine."""

        def __init__(self, *, driver: Driver | None = None, schema_name: str | None = None, **options: Any) -> None:
            self._driver = driver
            self._schema_name = schema_name
            super().__init__(**options)
            if driver is not None:
                self._internal_engine = self._create_engine()

        async def connect(self, *arguments: Any, **options: Any) -> None:
            was_connected = self.is_connected()
            try:
                await super().connect(*arguments, **options)
            except BaseException:
                if not was_connected:
                    await self.disconnect()
                raise

        async def disconnect(self, *arguments: Any, **options: Any) -> None:
            if self._driver is None:
                await super().disconnect(*arguments, **options)

        def _copy(self) -> Any:
            copy = super()._copy()
            copy._driver = self._driver
            return copy

        def _create_engine(self, dml_path: Path | None = None) -> Engine:
            schema = (dml_path or self._packaged_schema_path).read_text(encoding="utf-8")
            return Engine(
                package,
                schema,
                lambda: cast(str, self._default_datasource["url"]),
                driver=self._driver,
                schema_name=self._schema_name,
            )

        def _prepare(self, method: str, model: type | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            """Called once for every query of every kind before anything else: what a subclass overrides to bind it."""
            return arguments

        async def _execute(
            self,
            *,
            method: str,
            arguments: Mapping[str, Any],
            model: type | None = None,
            root_selection: list[str] | None = None,
        ) -> Any:
            engine: Engine = self._engine
            call = Call(method, self._prepare(method, model, arguments), model, root_selection)
            return {"data": {"result": await engine.run(call, self._tx_id)}}

        def batch_(self) -> Any:
            return batch_class(self)

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
            root_selection: list[str] | None = None,
        ) -> None:
            self._calls.append(Call(method, self._client._prepare(method, model, arguments), model, root_selection))

        async def commit(self) -> None:
            calls, self._calls = self._calls, []
            engine: Engine = self._client._engine
            if calls:
                await engine.run_together(calls, self._client._tx_id)

    batch_class = InProcessBatch
    InProcess.__name__ = client_class.__name__
    InProcess.__qualname__ = client_class.__qualname__
    InProcess.__module__ = client_class.__module__
    return InProcess


def _package_of(client_class: type) -> Package:
    package = next((found for each in client_class.__mro__ if (found := _package_that_defines(each))), None)
    if package is None:
        raise TypeError(
            f"with_engine() takes the Prisma class of a generated prisma-client-py package, not {client_class!r}."
        )
    if not hasattr(client_class, "__aenter__"):
        raise TypeError('with_engine() takes an asynchronous client: generate it with interface = "asyncio".')
    return package


def _package_that_defines(client_class: type) -> Package | None:
    try:
        package = Package.of(client_class)
    except (ImportError, AttributeError):
        return None
    return package if hasattr(package.client, "Batch") else None
