"""
`with_engine`: a generated Prisma client, of any schema, in process on PostgreSQL.

Here it is agentdb's own, unbound to an organization. Row-level security still holds, so it connects as the tables'
owner.
"""

from __future__ import annotations

from agentdb.engine import with_engine
from agentdb.prisma_client import Prisma

InProcessPrisma = with_engine(Prisma)


async def count_agents(owner_url: str) -> dict[str, int]:
    """Return how many agents each organization has."""
    async with InProcessPrisma(datasource={"url": owner_url}) as prisma:
        counts: dict[str, int] = {}
        for agent in await prisma.agent.find_many(order=[{"organizationId": "asc"}]):
            counts[agent.organizationId] = counts.get(agent.organizationId, 0) + 1
        return counts
