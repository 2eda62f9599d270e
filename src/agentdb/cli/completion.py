"""
What the shell completes beside commands and options.

A shell waits while its user holds TAB, so whatever is not at hand at once is not completed: nothing is started, nothing
is said, and no error shows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentdb.config import Settings

__all__ = ["complete_agent", "complete_category", "complete_migration"]

_MOST: Final = 50
_SECONDS: Final = 1.0
# Others have given these names, a shell puts them into its user's command line as they are, and zsh even evaluates
# them; so only those of which no shell makes anything else.
_NAMES: Final = r"""
SELECT name FROM agents WHERE organization_id = $1 AND starts_with(name, $2) AND name ~ '^\w[\w.@+/-]*$'
ORDER BY name LIMIT $3
"""


def complete_agent(incomplete: str) -> list[str]:
    """Return plain names of agents that begin so; none where the database does not answer within a second."""
    try:
        return asyncio.run(_agent_names(incomplete))
    except Exception:  # whatever it is, the shell's user did not ask for it
        return []


def complete_category(incomplete: str) -> list[str]:
    """Return categories of agents that begin so."""
    from agentdb.models import AgentCategory

    return [category.value for category in AgentCategory if category.startswith(incomplete)]


def complete_migration(incomplete: str) -> list[str]:
    """Return names of this version's migrations that begin so."""
    from agentdb.postgres.migrate import find_migrations

    return [migration.name for migration in find_migrations() if migration.name.startswith(incomplete)]


async def _agent_names(incomplete: str) -> list[str]:
    from agentdb.config import Settings
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import parse_url

    settings = Settings.load()
    url = _running(settings)
    if url is None:
        return []
    pool = Pool(parse_url(url, require_tls=settings.require_tls), application_name="agentdb completion")
    async with asyncio.timeout(_SECONDS):
        await pool.open()
        try:
            driver = pool.driver(settings.organization_id)
            rows = await driver.fetch(_NAMES, (settings.organization_id, incomplete, _MOST))
        finally:
            await pool.close(timeout_seconds=0)
    return [row["name"] for row in rows]


def _running(settings: Settings) -> str | None:
    """Return the database's URL; None for an embedded server that does not run: TAB starts no server."""
    if settings.database_url is not None:
        return settings.database_url
    from agentdb.postgres.embedded import default_data_dir, find_embedded

    server = find_embedded(settings.data_dir or default_data_dir())
    return None if server is None else server.url
