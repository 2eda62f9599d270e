"""A client's keys and whose rows they are for: what every table that holds sealed values seals and opens with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentdb.errors import EncryptionError

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.security.encryption import KeyRing

__all__ = ["Seals", "sealing_of", "seals_of"]


class Seals(NamedTuple):
    """
    Seals and opens values of one organization.

    Attributes:
        ring: The keys; None: there are none, and what is sealed does not open.
        organization_id: Whose rows they are.
    """

    ring: KeyRing | None
    organization_id: str

    def seal(self, text: str, table: str, column: str, row: str) -> bytes:
        """Return *text* sealed with the newest key for one column of one row; there has to be a key."""
        from agentdb.security.encryption import Place  # only those who encrypt pay for the import

        assert self.ring is not None  # `sealing_of` gives nothing to seal with where there is no key
        return self.ring.seal(text.encode(), Place(self.organization_id, table, column, row))

    def open(self, sealed: bytes, table: str, column: str, row: str) -> str:
        """
        Return the text that was sealed there.

        Raises:
            EncryptionError: There is no key, not the one that it takes, or the value was changed or moved.
        """
        from agentdb.security.encryption import Place, key_id_of

        place = Place(self.organization_id, table, column, row)
        if self.ring is None:
            key_id = key_id_of(sealed)
            raise EncryptionError(
                f"{place} was sealed with the key {key_id!r}, and there is no key: set AGENTDB_ENCRYPTION_KEYS.",
                key_id=key_id,
                place=str(place),
            )
        return self.ring.open(sealed, place).decode()

    def reseal(self, sealed: bytes, table: str, column: str, row: str) -> bytes:
        """Return what was sealed there sealed with the newest key; errors as `open`."""
        return self.seal(self.open(sealed, table, column, row), table, column, row)


def seals_of(client: PrismaAgentClient) -> Seals:
    """Return what *client* opens with."""
    return Seals(client.key_ring, client.organization_id)


def sealing_of(client: PrismaAgentClient, what: str) -> Seals | None:
    """Return what *client* seals "executions" or "tools" with; None where its settings leave them plain."""
    return seals_of(client) if what in client.settings.encrypt else None
