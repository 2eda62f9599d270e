"""Which checks there are, from the ground up: one that fails ends those that stand on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from agentdb.cli.doctor import configuration, connection, installation, structure, tenancy, upkeep
from agentdb.cli.doctor.check import Check, failed, ok
from agentdb.cli.doctor.facts import ask_database, ask_organization, ask_server
from agentdb.errors import AgentDBError
from agentdb.postgres import migrate

if TYPE_CHECKING:
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["examine"]

_SUBJECTS = {"ConfigurationError": "settings", "InvalidInputError": "settings", "MigrationError": "migrations"}


async def examine() -> AsyncIterator[Check]:
    """Make the checks, each after what it stands on."""
    yield installation.versions()
    yield await installation.engine()
    try:
        settings = configuration.read_settings()
        for check in configuration.checks(settings):
            yield check
        async for check in _examine_database(settings):
            yield check
    except AgentDBError as error:
        # These errors say themselves what to do; only this they need not say here.
        finding = str(error).removesuffix(" Try `agentdb doctor`.")
        yield failed(_SUBJECTS.get(type(error).__name__, "connection"), finding)


async def _examine_database(settings: Settings) -> AsyncIterator[Check]:
    from agentdb.postgres.embedded import ensure_embedded
    from agentdb.postgres.pool import Pool

    url = settings.database_url or (await ensure_embedded(settings.data_dir)).url
    options = _options(url, settings)
    pool = Pool(options, application_name="agentdb doctor")
    await pool.open()
    try:
        driver = pool.driver()
        for check in await _of_server(driver, pool, options):
            yield check
        await migrate.check(driver)
        yield ok("migrations", "the database fits this version")
        for check in await _of_database(driver, pool.driver(settings.organization_id), settings):
            yield check
    finally:
        await pool.close()


async def _of_server(driver: Driver, pool: Pool, asked: ConnectionOptions) -> Iterator[Check]:
    server = await ask_server(driver)
    return iter(
        (
            connection.reached(server, pool),
            connection.encrypted(server, pool),
            connection.writable(server),
            connection.pooled(server, pool, asked),
            connection.limited(server, pool),
            connection.on_time(server),
            structure.extension(server),
        )
    )


async def _of_database(driver: Driver, tenant: Driver, settings: Settings) -> Iterator[Check]:
    database = await ask_database(driver)
    organization = await ask_organization(tenant, settings.organization_id)
    return iter(
        (
            structure.parts(database),
            structure.vector_indexes(database),
            tenancy.role(database.walls, settings),
            tenancy.policies(database.walls),
            tenancy.schemas(database),
            upkeep.growth(database),
            upkeep.organization(organization, settings),
            upkeep.keys(organization, settings),
            upkeep.embeddings(organization),
            upkeep.sweeps(organization),
        )
    )


def _options(url: str, settings: Settings) -> ConnectionOptions:
    """Return how a client of these settings connects."""
    from agentdb.postgres.url import parse_url

    options = parse_url(url, require_tls=settings.require_tls)
    if settings.pool_size is not None:
        options = replace(options, connection_limit=settings.pool_size)
    if settings.pool_timeout_seconds is not None:
        options = replace(options, pool_timeout_seconds=settings.pool_timeout_seconds or None)
    return options
