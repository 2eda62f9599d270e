"""`bit` and `varbit` on the wire, as text of zeros and ones."""

from __future__ import annotations

__all__ = ["pack_bits", "unpack_bits"]


def pack_bits(text: str) -> bytes:
    """
    Return *text*, such as "101", in PostgreSQL's binary form: how many bits, then the bits, padded to whole bytes.

    Raises:
        ValueError: It holds anything but 0 and 1.
    """
    if text.strip("01"):
        raise ValueError("a bit string holds nothing but 0 and 1")
    size = -(-len(text) // 8)
    return len(text).to_bytes(4, "big") + int(text.ljust(size * 8, "0") or "0", 2).to_bytes(size, "big")


def unpack_bits(data: bytes) -> str:
    """Return the text of PostgreSQL's binary form."""
    count = int.from_bytes(data[:4], "big")
    return f"{int.from_bytes(data[4:], 'big'):0{(len(data) - 4) * 8}b}"[:count] if count else ""
