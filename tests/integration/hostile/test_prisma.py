"""Hostile strings through `client.prisma`: as values, as patterns, and in the place of every name that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

from agentdb import AgentDBError, PrismaAgentClient
from agentdb.engine.schema import parse_schema
from agentdb.ids import uuid7_text
from agentdb.prisma_client import Base64, Json, errors
from tests.conftest import Database
from tests.integration.hostile.calls import document
from tests.integration.hostile.strings import hostile_strings, is_storable
from tests.integration.hostile.witness import unharmed

pytestmark = pytest.mark.postgres

OPERATORS: Final = ("equals", "contains", "startswith", "endswith", "not", "in", "gt", "lte")
REFUSALS: Final = (errors.PrismaError, AgentDBError, TypeError)
MODELS_OF_SCHEMA: Final = parse_schema(
    (Path(__file__).parents[3] / "prisma" / "schema.prisma").read_text(encoding="utf-8")
).models
_AT_ONCE: Final = 40


def _row(model: str, text: str, number: int) -> dict[str, Any]:
    """Return a row of *model* with *text* in every column that takes any text of some length."""
    short = text[:100] or "x"
    name = f"{number} {text}"[:255]
    tenant: dict[str, Any] = {"id": uuid7_text()}
    rows: dict[str, dict[str, Any]] = {
        "agent": {
            "name": name,
            "version": short,
            "category": "SUPPORT",
            "description": text,
            "capabilities": [short, text[:255] or "x"],
            "dataSources": [text[:255] or "x"],
            "metadata": Json(document(text)),
        },
        "agentmemory": {
            "agentId": "scout",
            "content": text or "x",
            "contentHash": Base64.encode(sha256(f"{number}".encode()).digest()),
            "metadata": Json(document(text)),
            "memoryType": short,
        },
        "agenttool": {"name": name, "description": text, "parameters": Json(document(text))},
        "agentmetric": {
            "agentId": "scout",
            "name": name,
            "value": 1.0,
            "unit": text[:100],
            "labels": Json(document(text)),
        },
        "learningpattern": {"agentId": "scout", "patternType": short, "name": name, "content": Json(document(text))},
        "agentexecution": {"agentId": "scout", "task": Json(document(text)), "kind": short, "model": text[:255] or "x"},
        "modelprice": {"model": name, "validFrom": datetime(2025, 1, 1, tzinfo=UTC)},
    }
    return rows[model] if model == "modelprice" else tenant | rows[model]


MODELS: Final = ("agent", "agentmemory", "agenttool", "agentmetric", "learningpattern", "agentexecution", "modelprice")


@pytest.mark.parametrize("model", MODELS)
async def test_values_come_back_as_they_were(
    model: str, client: PrismaAgentClient, database: Database, log: Path
) -> None:
    """Every column of ten thousand rows; what cannot be stored is refused, and nothing of it is."""
    texts = [text for text in hostile_strings() if is_storable(text) and len(text) <= 100_000]
    async with unharmed(database, log, allowed=("22021",)), client:
        await client.agents.register(_scout())
        delegate = getattr(client.prisma, model)
        before = await delegate.count()
        written = {}
        for number, text in enumerate(texts):
            row = _row(model, text, number)
            written[row.get("id") or row["model"]] = row
        for part in _parts(list(written.values()), 500):
            assert await delegate.create_many(data=part) == len(part)
        found = await delegate.find_many()
        assert len(found) == before + len(texts)
        changed = 0
        for row in found:
            given = written.get(getattr(row, "id", None) or row.model)
            for name, value in (given or {}).items():
                changed += getattr(row, name) != (value.data if isinstance(value, Json) else value)
        assert changed == 0
        for text in islice((text for text in hostile_strings() if not is_storable(text)), 100):
            with pytest.raises(REFUSALS):
                await delegate.create(data=_row(model, text, 0))
        assert await delegate.count() == before + len(texts)


async def test_conditions_are_about_values(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """Every text column of every model, by every operator: a hostile text is looked for, never read as SQL."""
    texts = [text for text in hostile_strings() if is_storable(text) and len(text) <= 20_001]
    async with unharmed(database, log), client:
        await client.agents.register(_scout())
        for model, fields in _text_columns():
            delegate = getattr(client.prisma, model)
            everything = await delegate.count()
            for part in _parts(texts, _AT_ONCE):
                some = [
                    {field: {operator: [text] if operator == "in" else text}}
                    for field in fields
                    for text, operator in zip(part, OPERATORS * len(part), strict=False)
                ]
                assert await delegate.count(where={"OR": some}) <= everything
                none = [{field: {"equals": text + "\u00a4"}} for field in fields for text in part]
                assert await delegate.count(where={"OR": none}) == 0
                assert await delegate.count(where={"AND": [{"NOT": none}]}) == everything


async def test_names_are_never_sent(client: PrismaAgentClient, database: Database, log: Path) -> None:
    """In the place of a field, a relation, an operator or a direction a hostile text is refused before the database."""
    async with unharmed(database, log), client:
        await client.agents.register(_scout())
        agent: Any = client.prisma.agent
        known = {*MODELS_OF_SCHEMA["Agent"].fields, "AND", "OR", "NOT", "asc", "desc"}
        places: list[Callable[[str], Any]] = [
            lambda text: agent.find_many(where={text: "x"}),
            lambda text: agent.find_many(where={"name": {text: "x"}}),
            lambda text: agent.find_many(where={"memories": {"some": {text: "x"}}}),
            lambda text: agent.find_many(order={text: "asc"}),
            lambda text: agent.find_many(order={"name": text}),
            lambda text: agent.find_many(order=[{"name": "asc"}, {text: "desc"}]),
            lambda text: agent.find_many(include={text: True}),
            lambda text: agent.find_many(cursor={text: "x"}),
            lambda text: agent.find_many(distinct=[text]),
            lambda text: agent.group_by(by=[text]),
            lambda text: agent.group_by(by=["name"], count={text: True}),
            lambda text: agent.create(data={"name": "new", "category": "SUPPORT", text: "x"}),
            lambda text: agent.update(where={"id": "scout"}, data={text: "x"}),
            lambda text: agent.create(data={"name": "new", "category": text}),
            lambda text: agent.find_unique(where={text: "scout"}),
            lambda text: agent.delete_many(where={text: "x"}),
        ]
        equal = ("equals", "in", "not", "default", "has", "name", "mode", "true", "null", "id", "metadata", "*")
        for place, call in enumerate(places):
            for text in hostile_strings()[:600]:
                if text in known or text.strip() in equal:
                    continue
                with pytest.raises(REFUSALS) as caught:
                    await call(text)
                assert caught.value is not None, (place, ascii(text))
        assert [row.name for row in await agent.find_many()] == ["scout"]


def _scout() -> Any:
    from agentdb import AgentConfig

    return AgentConfig(name="scout", category="SUPPORT", id="scout")


def _text_columns() -> Iterator[tuple[str, list[str]]]:
    """Yield each model with its columns of text, by the names of the generated client."""
    for name, model in MODELS_OF_SCHEMA.items():
        fields = [
            field.name
            for field in model.fields.values()
            if field.kind == "scalar"
            and field.type == "String"
            and not field.is_list
            and field.name != "organizationId"
            and field.native_type != "Uuid"
        ]
        if fields:
            yield name.lower(), fields


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
