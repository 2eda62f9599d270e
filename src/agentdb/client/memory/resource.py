"""What the parts of `client.memories` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentdb.client.memory.hits import memory_of
from agentdb.client.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentdb.client.memory.accesses import Accesses
    from agentdb.client.memory.embedding import Embedding
    from agentdb.models import Memory
    from agentdb.postgres.driver import Record

__all__ = ["MemoryResource"]


class MemoryResource(Resource):
    """The `agent_memories` table, seen from one client."""

    @property
    def _embedding(self) -> Embedding | None:
        """What makes embeddings; None when the client has no embedder."""
        return self._client.embedding

    @property
    def _accesses(self) -> Accesses:
        """What was recalled and is not counted in the database yet."""
        return self._client.gathering.accesses

    def _memories(self, rows: Sequence[Record]) -> list[Memory]:
        accesses = self._accesses
        return [memory_of(row, accesses) for row in rows]
