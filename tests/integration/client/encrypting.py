"""Clients that encrypt all that can be, and everything that a database holds as text."""

from __future__ import annotations

from typing import Any

import asyncpg

from agentdb import PrismaAgentClient, Settings
from agentdb.client.database import TABLES

__all__ = ["KEYS", "POLICY", "corpus", "keyed", "sealed_by"]

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32, "k3": b"3" * 32}
POLICY = frozenset({"executions", "tools"})


def keyed(url: str, *keys: str, policy: frozenset[str] = POLICY, **settings: Any) -> PrismaAgentClient:
    """A client of "acme" with these keys, the newest first, that encrypts by *policy*."""
    ring = {key: KEYS[key] for key in keys}
    encrypt = policy if keys else frozenset()
    return PrismaAgentClient(
        settings=Settings(
            organization_id="acme", database_url=url, encryption_keys=ring, encrypt=encrypt, **settings
        )
    )  # fmt: skip


def sealed_by(key_id: str) -> str:
    """What every value that this key has sealed begins with, in hex: no ciphertext has it by chance."""
    return (bytes([1, len(key_id)]) + key_id.encode()).hex()


async def corpus(superuser_url: str, bytea_output: str = "escape") -> str:
    """Every row of every table, as text; bytes as the text that they are, or as "hex"."""
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute(f"SET bytea_output = '{bytea_output}'")
        rows = [await connection.fetch(f"SELECT t::text FROM {table} AS t") for table in TABLES]
        return "\n".join(row[0] for table in rows for row in table)
    finally:
        await connection.close()
