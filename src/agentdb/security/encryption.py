"""
The key ring: AES-256-GCM for what is sealed, HMAC-SHA-256 for what has to be found again.

A sealed value is bytes::

    01 | length of key id, 1 byte | key id, ASCII | nonce, 12 bytes | ciphertext | tag, 16 bytes

Each key of the ring is a root: HKDF-SHA-256 (RFC 5869) derives from it a key for sealing and one for hashing for every
organization, so that neither means anything in another one, and so that random nonces stay far below the 2^32 messages
that NIST SP 800-38D allows a key. The place of a value (organization, table, column, row) is authenticated with it: a
ciphertext that was moved anywhere else does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentdb.errors import EncryptionError

__all__ = ["KeyRing", "Place", "key_id_of"]

_FORMAT: Final = 1
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = 2


class Place(NamedTuple):
    """
    Where a sealed value stands, and only there it opens.

    Attributes:
        organization_id: Whose row it is.
        table: The table's name.
        column: The column's name.
        row: The row's id within organization and table.
    """

    organization_id: str
    table: str
    column: str
    row: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of {self.row}"

    @property
    def authenticated(self) -> bytes:
        """The place as bytes that no other place has."""
        return json.dumps(self, ensure_ascii=True, separators=(",", ":")).encode()


class KeyRing:
    """
    Seals with the newest key, opens with any.

    Args:
        keys: 32 bytes by key id (1 to 32 ASCII characters), the newest first; at least one.

    Attributes:
        newest: The id of the key that seals.
        header: What begins every value that it seals, and no value that another one seals.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._roots = dict(keys)
        self.newest: str = next(iter(self._roots))
        self.header: bytes = bytes((_FORMAT, len(self.newest))) + self.newest.encode()
        # Of the ring and not of the module: keys go when it goes.
        self._derived = lru_cache(maxsize=4096)(self._derive)

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self._roots)}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first."""
        return tuple(self._roots)

    def seal(self, value: bytes, place: Place) -> bytes:
        """Return *value* sealed with the newest key, for *place* alone."""
        nonce = os.urandom(_NONCE_BYTES)
        key = self._derived(self.newest, place.organization_id).sealing
        return self.header + nonce + key.encrypt(nonce, value, place.authenticated)

    def open(self, sealed: bytes, place: Place) -> bytes:
        """
        Return what was sealed for *place*.

        Raises:
            EncryptionError: Its key is not in the ring; or it was sealed with another key of this id, for another
                place, or was changed since. Which of these three it is, nobody can tell.
        """
        key_id = key_id_of(sealed)
        if key_id is None:
            raise EncryptionError(f"{place} is no sealed value.", place=str(place))
        if key_id not in self._roots:
            raise EncryptionError(
                f"{place} was sealed with the key {key_id!r}, which is not among {', '.join(self._roots)}: "
                "add it to AGENTDB_ENCRYPTION_KEYS.",
                key_id=key_id,
                place=str(place),
            )
        start = _HEADER_BYTES + len(key_id)
        nonce, ciphertext = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        key = self._derived(key_id, place.organization_id).sealing
        try:
            return key.decrypt(nonce, ciphertext, place.authenticated)
        except InvalidTag:
            raise EncryptionError(
                f"{place} does not open: it was sealed with another key that is called {key_id!r} too, for another "
                "row, or was changed since.",
                key_id=key_id,
                place=str(place),
            ) from None

    def lookup(self, value: bytes, organization_id: str, purpose: str) -> bytes:
        """Return the keyed hash of *value*, 32 bytes: equal values of one organization and purpose have equal ones."""
        return self._hash(self.newest, value, organization_id, purpose)

    def lookups(self, value: bytes, organization_id: str, purpose: str) -> list[bytes]:
        """Return the keyed hash of *value* under each key, the newest first: what older rows may hold."""
        return [self._hash(key_id, value, organization_id, purpose) for key_id in self._roots]

    def _hash(self, key_id: str, value: bytes, organization_id: str, purpose: str) -> bytes:
        # No purpose holds a NUL, so it separates them.
        return hmac.digest(self._derived(key_id, organization_id).hashing, purpose.encode() + b"\0" + value, "sha256")

    def _derive(self, key_id: str, organization_id: str) -> _Derived:
        root = self._roots[key_id]

        def derived(purpose: bytes) -> bytes:
            info = b"agentdb\0" + purpose + b"\0" + hashlib.sha256(organization_id.encode()).digest()
            return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)

        return _Derived(AESGCM(derived(b"seal")), derived(b"lookup"))


class _Derived(NamedTuple):
    sealing: AESGCM
    hashing: bytes


def key_id_of(sealed: bytes) -> str | None:
    """Return the id of the key that a value was sealed with; None when it is no sealed value."""
    if len(sealed) < _HEADER_BYTES or sealed[0] != _FORMAT:
        return None
    start, length = _HEADER_BYTES, sealed[1]
    if not length or len(sealed) < start + length + _NONCE_BYTES + _TAG_BYTES:
        return None
    name = sealed[start : start + length]
    return name.decode() if name.isascii() else None
