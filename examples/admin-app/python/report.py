"""The admin app's tables and agentdb's in one typed client, which README.md says how to generate."""

import asyncio

import prisma
from agentdb.engine import with_engine

Prisma = with_engine(prisma.Prisma)


async def main():
    async with Prisma() as db:
        for organization in await db.organization.find_many(order={"id": "asc"}, include={"users": True}):
            agents = await db.agent.count(where={"organizationId": organization.id})
            print(f"{organization.name}: {len(organization.users)} users, {agents} agents")


asyncio.run(main())
