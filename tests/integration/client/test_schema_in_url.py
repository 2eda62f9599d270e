"""A URL that names another schema than "public": everything lives and is found there."""

from __future__ import annotations

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.postgres import migrate
from tests.conftest import Database

pytestmark = pytest.mark.postgres


async def test_everything_works_in_a_schema_of_its_own(blank_database: Database) -> None:
    """Migration, memories with embeddings, search and Prisma's queries, with pgvector in "public"."""
    await migrate.deploy(f"{blank_database.admin_url}&schema=agents_of_acme")

    async with PrismaAgentClient(f"{blank_database.url}&schema=agents_of_acme", "acme") as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        await client.memories.store(
            MemoryEntry(agent_id=agent.id, content="the harbour freezes", embedding=[1.0, 2.0], embedding_model="m")
        )

        (hit,) = await client.memories.search(agent.id, "harbour")
        row = await client.prisma.agentmemory.find_unique_or_raise(where={"id": hit.memory.id})  # type: ignore[typeddict-item,typeddict-unknown-key]
        assert row.content == "the harbour freezes"
        assert (await client.health_check()).tenancy == "row-level-security"
