"""The two databases: made equal, looked at after every write, and made as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from agentdb.engine.schema import Datamodel, Field
from agentdb.engine.values import utc
from tests.oracle.values import Row

SEED = Path(__file__).with_name("seed.sql")

State = Mapping[str, list[str]]
"""Table -> its rows as JSON, in the order in which they lie."""

_KEEP = """
CREATE SCHEMA seed;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE seed.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$;
"""


async def prepare(url: str, ddl: str) -> None:
    """Make the tables, with the rows of seed.sql, of which a copy stays in the schema ``seed``."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE EXTENSION citext; {ddl}; {SEED.read_text(encoding='utf-8')}")
        await connection.execute(_KEEP)
    finally:
        await connection.close()


class Database:
    """One side's database, past the side itself. Use it as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._seed: State = {}

    async def __aenter__(self) -> Database:
        self._connection = await asyncpg.connect(self.url)
        # Rows are put back in any order; and no trigger of a foreign key need look at them.
        await self._connection.execute("SET session_replication_role = replica")
        tables = await self._connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        rows = [
            f"SELECT '{name}' AS name, coalesce(array_agg(row_to_json(r)::text), '{{}}') AS rows FROM \"{name}\" r"
            for (name,) in tables
        ]
        self._look = await self._connection.prepare(" UNION ALL ".join(rows))
        self._rewind = await self._connection.fetchval(
            "SELECT 'SELECT ' || string_agg(format('setval(%L, %s)', format('%I', sequencename), last_value), ', ')"
            " FROM pg_sequences WHERE schemaname = 'public'"
        )
        self._seed = await self.state()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._connection.close()

    async def state(self) -> State:
        """Return every row there is."""
        return {row["name"]: row["rows"] for row in await self._look.fetch()}

    async def restore(self, state: State) -> None:
        """Bring back the seed: the rows of the tables that differ from it in *state*, and every sequence."""
        script = [self._rewind]
        for name, rows in state.items():
            if rows != self._seed[name]:
                script += [f'DELETE FROM "{name}"', f'INSERT INTO "{name}" SELECT * FROM seed."{name}"']
        await self._connection.execute("; ".join(script))

    async def rows(self, datamodel: Datamodel) -> dict[str, list[Row]]:
        """Return the rows of every model, by field, in the form that a caller would write their values."""
        found: dict[str, list[Row]] = {}
        for name, model in datamodel.models.items():
            fields = [field for field in model.fields.values() if field.kind != "object" and not field.is_list]
            stored = await self._connection.fetch(f'SELECT * FROM "{model.db_name}"')
            found[name] = [
                {field.name: _written(row[field.db_name], field, datamodel) for field in fields} for row in stored
            ]
        return found


def _written(value: Any, field: Field, datamodel: Datamodel) -> Any:
    if value is None:
        return None
    if field.kind == "enum":
        return next(name for name, stored in datamodel.enums[field.type].values.items() if stored == value)
    if field.type == "String":
        return value.as_string().replace(" ", "") if isinstance(value, asyncpg.BitString) else str(value)
    return utc(value) if field.type == "DateTime" else value
