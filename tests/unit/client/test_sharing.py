"""Who shares a client; nothing here connects."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agentdb import ConfigurationError, PrismaAgentClient, get_agent_client
from agentdb.client import sharing

URL = "postgresql://agent@db.invalid/agents"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database that nobody connects to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    monkeypatch.setattr(sharing, "_clients", {})


async def test_one_client_per_loop_and_organization() -> None:
    """Asking again gives the same one; another organization shares the pool, another database nothing."""
    client = get_agent_client()

    assert get_agent_client() is client is get_agent_client(URL, "acme")
    other = get_agent_client(organization_id="other")
    assert other is not client
    assert other._database is client._database
    assert get_agent_client("postgresql://agent@elsewhere.invalid/agents")._database is not client._database


def test_another_loop_has_another_client_and_a_closed_one_is_forgotten() -> None:
    """A pool works in the loop that opened it only."""

    async def ask() -> PrismaAgentClient:
        return get_agent_client()

    first, second = asyncio.run(ask()), asyncio.run(ask())

    assert first is not second
    assert len(sharing._clients) == 1


def test_a_forked_process_has_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent's connections are not its own."""
    first = get_agent_client()
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert get_agent_client() is not first


class FakeEmbedder:
    """Makes nothing."""

    model = "fake"
    dimensions = 2

    async def embed(self, texts: list[str]) -> list[list[float]]:
        return []


async def test_sharing_means_one_embedder() -> None:
    """The second caller would otherwise store vectors that it does not know of."""
    embedder = FakeEmbedder()
    client = get_agent_client(embedder=embedder)

    assert get_agent_client() is get_agent_client(embedder=embedder) is client
    with pytest.raises(ConfigurationError, match="embedder"):
        get_agent_client(embedder=FakeEmbedder())


class Hider:
    """Hides everything."""

    def hide(self, value: object, field: str) -> None:
        return None


async def test_sharing_means_one_redaction() -> None:
    """A method is the same one each time that it is named; another would let through what the first one hides."""
    hider = Hider()
    client = get_agent_client()
    assert client.redact is None

    assert get_agent_client(redact=hider.hide) is get_agent_client(redact=hider.hide) is get_agent_client() is client
    assert client.payloads.json("secret", "task") == "null"
    with pytest.raises(ConfigurationError, match="redact"):
        get_agent_client(redact=Hider().hide)
