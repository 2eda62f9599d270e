"""What the parts of `client.memories` share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from agentdb.client.encryption.seals import Seals, seals_of
from agentdb.client.flow import Breath
from agentdb.client.memory.hits import memory_of
from agentdb.client.memory.sealing import AnyRow, older_hashes, sealed_row
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import ConflictError, EncryptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentdb.client.memory.accesses import Accesses
    from agentdb.client.memory.embedding import Embedding
    from agentdb.client.memory.rows import MemoryRow
    from agentdb.client.memory.transfer_rows import TransferRow
    from agentdb.models import Memory
    from agentdb.postgres.driver import Record

__all__ = ["MemoryResource"]

logger: Final = logging.getLogger("agentdb.client")

_REKEY: Final = load_queries("memories")["rekey"]


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

    @property
    def _seals(self) -> Seals:
        """What sensitive memories are sealed and opened with."""
        return seals_of(self._client)

    def _memories(self, rows: Sequence[Record]) -> list[Memory]:
        accesses, seals = self._accesses, self._seals
        return [memory_of(row, accesses, seals) for row in rows]

    def _storable(self, row: AnyRow) -> AnyRow:
        """
        Return *row*, which is not sealed yet, if it may be stored.

        Raises:
            EncryptionError: It is sensitive, and there is no key though there has to be one.
        """
        if row.sensitive and self._client.key_ring is None:
            if self._client.settings.require_encryption:
                raise EncryptionError(
                    "A sensitive memory is not stored as plain text, for AGENTDB_REQUIRE_ENCRYPTION is set: set "
                    "AGENTDB_ENCRYPTION_KEYS."
                )
            if not self._client.gathering.warned_of_plain:
                self._client.gathering.warned_of_plain = True
                logger.warning("sensitive memories are stored as plain text: set AGENTDB_ENCRYPTION_KEYS")
        return row

    def _sealed(self, row: AnyRow) -> AnyRow:
        """Return *row* sealed, if it is sensitive and there is a key."""
        return row if not row.sensitive or self._client.key_ring is None else sealed_row(row, self._seals)

    def _embeds(self, *, sensitive: bool) -> bool:
        """Whether the embedder may see the content of a memory: one that is sealed, only with consent."""
        return not sensitive or self._client.key_ring is None or self._client.settings.embed_sensitive

    async def _rekey(self, rows: Sequence[MemoryRow | TransferRow]) -> None:
        """Let the equals of sealed *rows* be found that an older key has hashed."""
        seals, breath = self._seals, Breath()
        if seals.ring is None or len(seals.ring.ids) == 1:
            return
        keyed = []
        for row in rows:
            keyed += [(row.id, row.agent_id, older, row.content_hash) for older in older_hashes(row, seals)]
            await breath.take()
        if not keyed:
            return
        columns = [list(column) for column in zip(*keyed, strict=True)]
        try:
            await self._retried(lambda: self._execute(_REKEY, *columns))
        except ConflictError:
            # Somebody else stored an equal one under the newest key at this moment: that one is found.
            if self._client.in_transaction:
                raise
