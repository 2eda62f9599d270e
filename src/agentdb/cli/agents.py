"""Which agent is meant: every command takes its name or its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["find_agent_id"]


async def find_agent_id(client: PrismaAgentClient, text: str | None, *, may_be_gone: bool = False) -> str | None:
    """
    Return the id of the agent that *text* names; None when *text* is None.

    Args:
        client: An open client; only agents of its organization are found.
        text: A name, or else an id.
        may_be_gone: Take a text that no agent has for the id of one that was deleted.

    Raises:
        NotFoundError: No agent has this name or id.
    """
    if text is None:
        return None
    from agentdb.errors import NotFoundError

    named = await client.agents.find(text)
    if named is not None:
        return named.id
    try:
        return (await client.agents.get(text)).id
    except NotFoundError:
        if may_be_gone:
            return text
        raise
