"""
The one import of the generated Prisma client: a subclass that runs on our engine, bound to one organization.

`Any` stands here where the generated package has no types of its own to give; it goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from agentdb.client.access.prisma import WatchedCalls
from agentdb.client.scope import Scope
from agentdb.client.tenancy import TenancyFacts, tenancy_facts
from agentdb.engine import with_engine
from agentdb.engine.request import Call
from agentdb.engine.schema import Datamodel, parse_schema
from agentdb.postgres.driver import Driver

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.prisma_client import Prisma as Prisma  # the type, for those who may not import the package themselves

__all__ = ["scoped_prisma"]


def scoped_prisma(
    driver: Driver,
    organization_id: str,
    *,
    schema_name: str | None = None,
    client: PrismaAgentClient | None = None,
) -> Prisma:
    """
    Return the generated client on *driver*, every call of it bound to *organization_id*.

    It borrows the driver and can be used at once; `connect()` and `disconnect()` are allowed and open or close nothing.
    The first client of a process loads the query compiler with its first call. Batches and the clients of `tx()` are
    bound to the same organization.

    Args:
        driver: A pool's or an open transaction's, of the same organization: row-level security reads the tenant from
            it, and guards raw SQL alone.
        organization_id: The organization, already checked to be a valid one.
        schema_name: The database schema that the tables are in; None is "public".
        client: Whose operations its actions are; None: they are in no access log.
    """
    made: Any = _client_class()(driver=driver, schema_name=schema_name, use_dotenv=False)
    made._scope = Scope(_facts(), organization_id)
    made._calls = None if client is None else WatchedCalls(client, _datamodel())
    scoped: Prisma = made
    return scoped


@cache
def _facts() -> TenancyFacts:
    return tenancy_facts(_datamodel())


@cache
def _datamodel() -> Datamodel:
    from agentdb import prisma_client

    # the text that the engine plans with, so that the two cannot disagree
    return parse_schema(resources.files(prisma_client).joinpath("schema.prisma").read_text(encoding="utf-8"))


@cache
def _client_class() -> type[Any]:
    # Here and not above: the generated package takes a third of a second to import.
    from agentdb.prisma_client import Prisma

    base: Any = with_engine(Prisma)

    class ScopedPrisma(base):  # type: ignore[misc]
        """The generated client, bound to one organization."""

        _scope: Scope  # not set by the constructor: a client that nobody bound can run nothing
        _calls: WatchedCalls | None

        def _prepare(self, method: str, model: type | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            return self._scope.apply(getattr(model, "__prisma_model__", ""), method, arguments)

        def _copy(self) -> Any:
            copy = super()._copy()
            copy._scope = self._scope
            copy._calls = self._calls
            return copy

        async def _execute(
            self,
            method: str,
            arguments: Mapping[str, Any],
            model: type | None = None,
            root_selection: Sequence[str] | None = None,
        ) -> Any:
            async def run(prisma: Any) -> Any:
                return await base._execute(prisma, method, arguments, model, root_selection)

            calls = self._calls
            return await (run(self) if calls is None else calls.run(self, [Call(method, arguments, model)], run))

        async def _send(self, sent: Sequence[Call]) -> None:
            async def run(prisma: Any) -> None:
                await base._send(prisma, sent)

            calls = self._calls
            await (run(self) if calls is None else calls.run(self, sent, run, name="prisma.batch"))

    ScopedPrisma.__name__ = ScopedPrisma.__qualname__ = Prisma.__name__
    return ScopedPrisma
