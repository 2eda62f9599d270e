"""Ids of organizations that are alike in every way there is: each is one of its own, or is refused; none is another."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from agentdb import AgentConfig, ConfigurationError, InvalidInputError, MemoryEntry, PrismaAgentClient, Settings
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.hostile.strings import hostile_strings
from tests.integration.hostile.witness import superuser, unharmed

pytestmark = pytest.mark.postgres

ALIKE = [
    "acme",
    "Acme",
    "ACME",
    "acme\u200b",
    "ac\u200dme",
    "acme\ufeff",
    "\u2060acme",
    "acme\u202e",
    "\u202eemca",
    "acme\u00ad",
    "\u0430cme",  # Cyrillic
    "\uff41\uff43\uff4d\uff45",  # full width
    "acm\u00e9",
    "acme.",
    "acme'",
    "acme--",
    "acme%",
    "acm_",
    "%",
    "_",
    "*",
    "''",
    "NULL",
    "none",
    "0",
    "\u00e5",
    "stra\u00dfe",
    "strasse",
    "STRASSE",
    "\u0131",
    "i",
    "I",
    "\u0130",
    "\ufb01",
    "fi",
    "\u03c3",
    "\u03c2",
    "1",
    "\u00b9",
    "\u0661",
    "a" * 255,
    "a" * 254,
    "a" * 254 + "b",
    "\U0001f600" * 255,
]
"""Accepted, each for itself: told apart by their bytes and by nothing else."""

REFUSED = [
    "",
    " ",
    "acme ",
    " acme",
    "acme\u00a0",
    "acme\u3000",
    "acme\t",
    "acme\n",
    "acme\r\n",
    "acme\x00",
    "\x00acme",
    "ac\x00me",
    "acme\x1b[0m",
    "acme\x7f",
    "acme\x85",
    "acme\ud800",
    "acme\u2028",
    "acme\u0301",  # what acm\u00e9 is in another form
    "a\u030a",
    "\u212b",
    "\u2126",
    "\u0344",
    "a" * 256,
    "a" * 1_000_000,
]
"""Nobody's: they would look like, or be normalized to, somebody's."""


def test_the_lists_are_what_they_say() -> None:
    """All different, each taken or refused under the name by which it was given."""
    assert len(set(ALIKE)) == len(ALIKE)
    for organization in ALIKE:
        assert Settings.load(environment={"ORGANIZATION_ID": organization}).organization_id == organization
    for organization in REFUSED:
        with pytest.raises(InvalidInputError, match=r"^organization_id: ") as caught:
            PrismaAgentClient("postgresql://db.invalid/agents", organization)
        assert len(str(caught.value)) < 200


async def test_each_of_those_alike_sees_its_own(database: Database, log: Path) -> None:
    """Through one pool, and through clients of their own."""
    async with unharmed(database, log, others=()), PrismaAgentClient(database.url, "acme") as client:
        for number, organization in enumerate(ALIKE):
            one = client.for_organization(organization)
            await one.agents.register(AgentConfig(name="who", category="SUPPORT", id="who", description=organization))
            await one.memories.store(MemoryEntry(agent_id="who", content=f"number {number}"))
        for number, organization in enumerate(ALIKE):
            one = client.for_organization(organization)
            assert [agent.description for agent in await one.agents.list()] == [organization]
            assert [memory.content for memory in await one.memories.list("who")] == [f"number {number}"]
            assert [row.organizationId for row in await one.prisma.agent.find_many()] == [organization]
            assert (await one.health_check()).organization_id == organization
    for organization in ALIKE[:12]:
        async with PrismaAgentClient(database.url, organization) as one:
            assert [agent.description for agent in await one.agents.list()] == [organization]


@pytest.mark.parametrize("organization", ALIKE[:20])
async def test_the_environment_names_one(
    organization: str, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As it stands there, byte for byte; what is refused is refused by the variable's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", organization)
    assert os.environb[b"ORGANIZATION_ID"] == organization.encode()
    async with PrismaAgentClient() as client:
        await client.agents.register(AgentConfig(name="who", category="SUPPORT"))
    connection = await superuser(database)
    try:
        found = await connection.fetchval("SELECT convert_to(organization_id, 'UTF8') FROM agents")
    finally:
        await connection.close()
    assert found == organization.encode()


def test_what_the_environment_may_not_name(tmp_path: Path) -> None:
    """An empty variable counts as unset; every other of the refused is refused in its name."""
    for organization in REFUSED:
        environment = {"DATABASE_URL": "postgresql://db.invalid/agents", "ORGANIZATION_ID": organization}
        with pytest.raises((InvalidInputError, ConfigurationError), match=r"^ORGANIZATION_ID: "):
            Settings.load(environment=environment, directory=tmp_path)


async def test_ten_thousand_ids_are_separate_or_refused(database: Database, log: Path) -> None:
    """Each that is taken finds what it stored and nothing else; in the database it has the bytes that were given."""
    url = database.url + "&connection_limit=4"
    async with unharmed(database, log, others=()) as connection, PrismaAgentClient(url, "acme") as client:
        refusals = {text: _refusal(client, text) for text in hostile_strings()}
        taken = [text for text, refusal in refusals.items() if refusal is None]
        assert all(_is_plain(text) == (refusal is None) for text, refusal in refusals.items())
        for refusal in filter(None, refusals.values()):
            assert (refusal.field, len(str(refusal)) < 200) == ("organization_id", True)
        source = iter(taken)

        async def use() -> None:
            for text in source:
                own = client.for_organization(text)
                config = AgentConfig(name="who", category="SUPPORT", id="who", metadata={"organization": text})
                await own.agents.register(config)
                (agent,) = await own.agents.list()
                assert (agent.organization_id, agent.metadata) == (text, {"organization": text})

        await asyncio.gather(*(use() for _ in range(8)))
        rows = await connection.fetch(
            "SELECT convert_to(organization_id, 'UTF8') AS id FROM agents WHERE metadata ? 'organization'"
        )
        assert {row["id"] for row in rows} == {text.encode() for text in taken}
        assert len(rows) == len(taken) > 4_000


async def test_on_the_wire_the_setting_is_compared_byte_for_byte(database: Database, others: None) -> None:
    """A session that sets what is only alike sees no row, with or without quotes, blanks, cases and forms."""
    connection = await asyncpg.connect(**parse_url(database.url).connect_arguments())
    try:
        assert await connection.fetchval("SELECT count(*) FROM agents") == 0
        for value in [
            "globex ",
            " globex",
            "Globex",
            "GLOBEX",
            "globe\uff58",
            "globex\u200b",
            "",
            "%",
            "'globex'",
            "globex,",
        ]:
            await connection.execute("SELECT set_config('agentdb.organization_id', $1, false)", value)
            assert await connection.fetchval("SELECT count(*) FROM agents") == 0, value
        await connection.execute("SET agentdb.organization_id = globex")
        assert await connection.fetchval("SELECT count(*) FROM agents") == 1
        await connection.execute("RESET agentdb.organization_id")
        assert await connection.fetchval("SELECT count(*) FROM agents") == 0
        for statement in ("RESET ALL", "SET SESSION AUTHORIZATION DEFAULT; RESET ALL"):
            await connection.execute("SET agentdb.organization_id = globex")
            await connection.execute(statement)
            assert await connection.fetchval("SELECT count(*) FROM agents") == 0
    finally:
        await connection.close()


async def test_a_setting_from_elsewhere_does_not_count(database: Database, others: None) -> None:
    """Whether the URL, the role or the database brings another organization: a client is of its own."""
    connection = await superuser(database)
    try:
        await connection.execute(f"ALTER DATABASE \"{database.name}\" SET agentdb.organization_id = 'globex'")
    finally:
        await connection.close()
    url = f"{database.url}&options={quote('-c agentdb.organization_id=globex')}"
    async with PrismaAgentClient(url, "acme") as client:
        assert await client.agents.list() == []
        assert await client.prisma.agent.find_many() == []
        assert await client.driver.fetch("SELECT * FROM agents") == []
        async with client.transaction() as transaction:
            assert await transaction.agents.list() == []
        assert len(await client.for_organization("globex").agents.list()) == 1
        assert await client.agents.list() == []


def _refusal(client: PrismaAgentClient, organization: str) -> InvalidInputError | None:
    try:
        client.for_organization(organization)
    except InvalidInputError as error:
        return error
    return None


def _is_plain(text: str) -> bool:
    """Whether *text* looks like itself: normalized, without white space around it, without control characters."""
    return (
        0 < len(text) <= 255
        and text == unicodedata.normalize("NFC", text) == text.strip()
        and not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    )
