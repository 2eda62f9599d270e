"""`with_engine`: any client that prisma-client-py generated for PostgreSQL, running on this engine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar, cast

from agentdb.engine.engine import Engine
from agentdb.engine.errors import TRANSLATED, QueryError, translate
from agentdb.engine.request import Call, Dialect, model_name, write_json
from agentdb.engine.values import jsonable
from agentdb.postgres.driver import Driver

_RAW = frozenset({"query_raw", "query_first", "execute_raw"})

ClientT = TypeVar("ClientT")


@dataclass(frozen=True, slots=True)
class Package:
    """The generated package a client class belongs to: its modules, and what requests need of them."""

    client: ModuleType
    errors: ModuleType
    utils: ModuleType
    dialect: Dialect

    @classmethod
    def of(cls, client_class: type) -> Package:
        """Find the package of a generated client class."""
        name = client_class.__module__.rpartition(".")[0]
        fields = importlib.import_module(f"{name}.fields")
        builder = importlib.import_module(f"{name}._builder")
        metadata = importlib.import_module(f"{name}.metadata")
        return cls(
            client=sys.modules[client_class.__module__],
            errors=importlib.import_module(f"{name}.errors"),
            utils=importlib.import_module(f"{name}.engine.utils"),
            dialect=Dialect(fields.Json, fields.Base64, builder.dumps, *_selectors(builder.QueryBuilder, metadata)),
        )

    def fail(self, error: QueryError) -> NoReturn:
        """Raise *error* as the generated client's own class for it."""
        self.utils.handle_response_errors(None, [error.payload()])
        raise AssertionError("unreachable")


@lru_cache(maxsize=64)
def with_engine(client_class: type[ClientT]) -> type[ClientT]:
    """
    Return *client_class* running in process: Prisma's query compiler plans, asyncpg executes.

    The result is a subclass and is used as before: no binary is looked for, nothing is downloaded. Its constructor takes
    one argument more, ``driver``: a `Driver` to run on instead of a connection pool of its own.

    Args:
        client_class: The ``Prisma`` of a package that prisma-client-py 0.15 generated for PostgreSQL with
            ``interface = "asyncio"``, wherever the package lives.

    Raises:
        TypeError: The class is none of these.
    """
    package = _package_of(client_class)

    class InProcess(client_class):  # type: ignore[misc, valid-type]
        """The generated client on the in-process engine."""

        def __init__(self, *, driver: Driver | None = None, **options: Any) -> None:
            self._driver = driver
            super().__init__(**options)

        def _copy(self) -> Any:
            copy = super()._copy()
            copy._driver = self._driver
            return copy

        def _create_engine(self, dml_path: Path | None = None) -> Engine:
            schema = (dml_path or self._packaged_schema_path).read_text(encoding="utf-8")
            return Engine(schema, lambda: cast(str, self._default_datasource["url"]), self._driver)

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
            try:
                result = await run_call(package, engine, call, engine.driver(self._tx_id))
            except (QueryError, *TRANSLATED) as error:
                package.fail(_translated(error, call))
            return {"data": {"result": result}}

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
            running: Call | None = None

            async def send(driver: Driver) -> None:
                nonlocal running
                for running in calls:
                    await run_call(package, engine, running, driver)

            try:
                await engine.together(send, engine.driver(self._client._tx_id))
            except (QueryError, *TRANSLATED) as error:
                package.fail(_translated(error, running))

    batch_class = InProcessBatch
    InProcess.__name__ = client_class.__name__
    InProcess.__qualname__ = client_class.__qualname__
    InProcess.__module__ = client_class.__module__
    return InProcess


def _package_of(client_class: type) -> Package:
    try:
        package = Package.of(client_class)
    except (ImportError, AttributeError):
        package = None
    if package is None or not hasattr(package.client, "Batch"):
        raise TypeError(f"with_engine() takes the Prisma class of a generated prisma-client-py package, not {client_class!r}.")
    if not hasattr(client_class, "__aenter__"):
        raise TypeError('with_engine() takes an asynchronous client: generate it with interface = "asyncio".')
    return package


def _selectors(
    builder: Any, metadata: ModuleType
) -> tuple[Callable[[type], Mapping[str, Any]], Callable[[type], str], Callable[[type, str], type]]:
    """Return the look-ups of `Dialect`, remembered: the generated client's own take 20 microseconds a call."""

    def helper(model: type) -> Any:
        return builder(
            method="find_many",
            arguments={},
            model=model,
            prisma_models=metadata.PRISMA_MODELS,
            relational_field_mappings=metadata.RELATIONAL_FIELD_MAPPINGS,
        )

    @lru_cache(maxsize=1024)
    def fields(model: type) -> Mapping[str, Any]:
        return dict.fromkeys(helper(model).get_default_fields(model), True)

    @lru_cache(maxsize=1024)
    def fields_text(model: type) -> str:
        return write_json(fields(model))

    @lru_cache(maxsize=1024)
    def related(model: type, field: str) -> type:
        return cast(type, helper(model).get_relational_model(model, field))

    return fields, fields_text, related


# -- one call ---------------------------------------------------------------------------------------------------------


async def run_call(package: Package, engine: Engine, call: Call, driver: Driver) -> Any:
    """Run one call on *driver* and return what its ``result`` is."""
    if call.method in _RAW:
        send = engine.execute_raw if call.method == "execute_raw" else engine.query_raw
        return await send(call.arguments["query"], call.arguments.get("parameters") or (), driver)
    result = await engine.query(call, package.dialect, driver)
    return jsonable(result) if call.method == "group_by" else result


def _translated(error: Exception, call: Call | None) -> QueryError:
    if call is None or call.method in _RAW:
        return translate(error, is_raw=True)
    return translate(error, model_name(call.model) if call.model else None)
