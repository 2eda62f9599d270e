"""
The one import of the generated Prisma client: a subclass that runs on our engine, bound to one organization.

`Any` stands here where the generated package has no types of its own to give; it goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from agentdb.client.scope import Scope
from agentdb.client.tenancy import TenancyFacts, tenancy_facts
from agentdb.engine import with_engine
from agentdb.engine.schema import parse_schema
from agentdb.postgres.driver import Driver

if TYPE_CHECKING:
    from agentdb.prisma_client import Prisma as Prisma  # the type, for those who may not import the package themselves

__all__ = ["scoped_prisma"]


def scoped_prisma(driver: Driver, organization_id: str, *, schema_name: str | None = None) -> Prisma:
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
    """
    client: Any = _client_class()(driver=driver, schema_name=schema_name, use_dotenv=False)
    client._scope = Scope(_facts(), organization_id)
    scoped: Prisma = client
    return scoped


@cache
def _facts() -> TenancyFacts:
    from agentdb import prisma_client

    # the text that the engine plans with, so that the two cannot disagree
    text = resources.files(prisma_client).joinpath("schema.prisma").read_text(encoding="utf-8")
    return tenancy_facts(parse_schema(text))


@cache
def _client_class() -> type[Any]:
    # Here and not above: the generated package takes a third of a second to import.
    from agentdb.prisma_client import Prisma

    base: Any = with_engine(Prisma)

    class ScopedPrisma(base):  # type: ignore[misc]
        """The generated client, bound to one organization."""

        _scope: Scope  # not set by the constructor: a client that nobody bound can run nothing

        def _prepare(self, method: str, model: type | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            return self._scope.apply(getattr(model, "__prisma_model__", ""), method, arguments)

        def _copy(self) -> Any:
            copy = super()._copy()
            copy._scope = self._scope
            return copy

    ScopedPrisma.__name__ = ScopedPrisma.__qualname__ = Prisma.__name__
    return ScopedPrisma
