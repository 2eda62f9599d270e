"""An organization for one test: a client bound to a new one, and its end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentdb import PrismaAgentClient

__all__ = ["TEST_ORGANIZATION_PREFIX", "erase_organization", "new_client"]

TEST_ORGANIZATION_PREFIX = "test-"


def new_client(url: str) -> PrismaAgentClient:
    """Return a client, not yet connected, of an organization that nobody has used before."""
    from agentdb import PrismaAgentClient  # only a test that uses it pays for the import

    return PrismaAgentClient(url, f"{TEST_ORGANIZATION_PREFIX}{uuid.uuid4().hex}")


async def erase_organization(client: PrismaAgentClient) -> None:
    """
    Delete every row of *client*'s organization, but for its access log, if it keeps one: nobody who writes it can.

    Raises:
        ValueError: It is not one that `new_client` made; nothing was deleted.
    """
    organization = client.organization_id
    if not organization.startswith(TEST_ORGANIZATION_PREFIX):
        raise ValueError(f"{organization!r} is not a test's organization")
    await client.erase(organization=True)
