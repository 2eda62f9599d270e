"""An organization for one test: a client bound to a new one, and its end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentdb import PrismaAgentClient

__all__ = ["TEST_ORGANIZATION_PREFIX", "erase_organization", "new_client"]

TEST_ORGANIZATION_PREFIX = "test-"

# Deleting an agent takes all that it did along. A tool may name its owner, and calls name their tool: it is disowned
# before, and goes after.
_STATEMENTS = (
    "UPDATE agent_tools SET owner_agent_id = NULL WHERE organization_id = $1",
    "DELETE FROM agents WHERE organization_id = $1",
    "DELETE FROM agent_tools WHERE organization_id = $1",
    "DELETE FROM model_prices WHERE organization_id = $1",
)


def new_client(url: str) -> PrismaAgentClient:
    """Return a client, not yet connected, of an organization that nobody has used before."""
    from agentdb import PrismaAgentClient  # only a test that uses it pays for the import

    return PrismaAgentClient(url, f"{TEST_ORGANIZATION_PREFIX}{uuid.uuid4().hex}")


async def erase_organization(client: PrismaAgentClient) -> None:
    """
    Delete every row of *client*'s organization.

    Raises:
        ValueError: It is not one that `new_client` made; nothing was deleted.
    """
    organization = client.organization_id
    if not organization.startswith(TEST_ORGANIZATION_PREFIX):
        raise ValueError(f"{organization!r} is not a test's organization")
    async with client.transaction() as transaction:
        for statement in _STATEMENTS:
            await transaction.driver.execute(statement, (organization,))
