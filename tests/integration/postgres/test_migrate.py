"""Migrations are applied once, whole or not at all, by whoever comes first, and as Prisma records them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from agentdb.errors import ConfigurationError, MigrationError
from agentdb.postgres import migrate
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from tests.conftest import Database

SCHEMA_TOOL = Path(__file__).parents[3] / "prisma" / "tools" / "schema.mjs"
GRANT = "GRANT SELECT ON _prisma_migrations TO agentdb_app;"
DEPLOY = """
import asyncio, sys
from pathlib import Path
from agentdb.postgres import migrate
print(len(asyncio.run(migrate.deploy(sys.argv[1], Path(sys.argv[2])))))
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """Two small migrations, and what else such a directory holds."""
    directory = tmp_path / "migrations"
    write(directory, "1_agentdb_first", f"CREATE TABLE first (n int); {GRANT}")
    write(directory, "2_agentdb_second", "CREATE TABLE second (n int);\nINSERT INTO second VALUES (1); -- the end")
    (directory / "migration_lock.toml").write_text('provider = "postgresql"')
    (directory / "notes").mkdir()
    return directory


def write(directory: Path, name: str, sql: str) -> None:
    (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / name / "migration.sql").write_bytes(sql.encode())


def start_deploy(url: str, migrations: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DEPLOY, url, str(migrations)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def fetch(url: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    try:
        rows: list[asyncpg.Record] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def check(url: str, migrations: Path) -> None:
    pool = Pool(parse_url(url))
    await pool.open()
    try:
        await migrate.check(pool.driver("org"), migrations)
    finally:
        await pool.close()


async def test_deploy_applies_in_order_and_once(blank_database: Database, migrations: Path) -> None:
    """Names come back; a second run does nothing; a new migration is applied alone."""
    url = blank_database.admin_url
    assert await migrate.deploy(url, migrations) == ["1_agentdb_first", "2_agentdb_second"]
    assert await migrate.deploy(url, migrations) == []
    write(migrations, "3_agentdb_third", "CREATE TABLE third (n int)")
    assert await migrate.deploy(url, migrations) == ["3_agentdb_third"]
    status = await migrate.status(url, migrations)
    assert status.applied == ["1_agentdb_first", "2_agentdb_second", "3_agentdb_third"]
    assert status.is_current


async def test_the_history_is_prismas(blank_database: Database, migrations: Path) -> None:
    """Table, columns, types and values as `prisma migrate deploy` leaves them."""
    await migrate.deploy(blank_database.admin_url, migrations)
    columns = await fetch(
        blank_database.admin_url,
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position",
    )
    assert [tuple(row) for row in columns] == [
        ("id", "character varying", 36, "NO", None),
        ("checksum", "character varying", 64, "NO", None),
        ("finished_at", "timestamp with time zone", None, "YES", None),
        ("migration_name", "character varying", 255, "NO", None),
        ("logs", "text", None, "YES", None),
        ("rolled_back_at", "timestamp with time zone", None, "YES", None),
        ("started_at", "timestamp with time zone", None, "NO", "now()"),
        ("applied_steps_count", "integer", None, "NO", "0"),
    ]
    rows = await fetch(blank_database.admin_url, "SELECT * FROM _prisma_migrations ORDER BY started_at")
    first, second = rows
    assert (
        first["checksum"] == hashlib.sha256((migrations / "1_agentdb_first" / "migration.sql").read_bytes()).hexdigest()
    )
    assert (second["migration_name"], second["applied_steps_count"], second["logs"]) == ("2_agentdb_second", 1, None)
    assert second["finished_at"] is not None
    assert second["rolled_back_at"] is None
    assert len(second["id"]) == 36


def prisma(command: str, url: str) -> str:
    """Run Prisma's own schema engine on our migrations; return what it prints."""
    options = parse_url(url)
    url = f"postgresql://{options.user}@localhost/{options.database}?host={options.host}"
    done = subprocess.run(["node", str(SCHEMA_TOOL), command, url], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


@pytest.mark.skipif(not (SCHEMA_TOOL.parents[1] / "node_modules").exists(), reason="needs the npm packages of prisma/")
def test_prisma_goes_on_where_we_stopped_and_the_other_way_round(blank_database: Database) -> None:
    """Prisma's engine finds nothing to do after us, nor we after it; what we left half done stops it too."""
    url = blank_database.admin_url
    (name, *_) = prisma("deploy", url).splitlines()
    assert asyncio.run(migrate.deploy(url)) == []
    status = asyncio.run(migrate.status(url))
    assert status.is_current
    assert name in status.applied
    assert status.edited == []

    forget = "DROP OWNED BY agentdb_owner; CREATE SCHEMA IF NOT EXISTS public AUTHORIZATION pg_database_owner"
    asyncio.run(execute(blank_database.superuser_url, forget))
    assert name in asyncio.run(migrate.deploy(url))
    answer = json.loads(prisma("status", url))
    assert (answer["history"], answer["editedMigrationNames"], answer["failedMigrationNames"]) == (None, [], [])

    asyncio.run(execute(url, "UPDATE _prisma_migrations SET finished_at = NULL"))
    assert name in json.loads(prisma("status", url))["failedMigrationNames"]


async def test_what_prisma_applied_is_not_applied_again(blank_database: Database, migrations: Path) -> None:
    """A row as Prisma writes it counts; line ends make no difference, an edited file shows but does not stop."""
    url = blank_database.admin_url
    await migrate.deploy(url, migrations)
    windows = (migrations / "2_agentdb_second" / "migration.sql").read_bytes().replace(b"\n", b"\r\n")
    (migrations / "2_agentdb_second" / "migration.sql").write_bytes(windows)
    assert (await migrate.status(url, migrations)).edited == []
    write(migrations, "1_agentdb_first", "CREATE TABLE something_else (n int)")
    assert (await migrate.status(url, migrations)).edited == ["1_agentdb_first"]
    assert await migrate.deploy(url, migrations) == []


def test_eight_processes_at_once(blank_database: Database, migrations: Path) -> None:
    """Each migration is applied by exactly one; the others wait and find it done."""
    write(migrations, "3_slow", "SELECT pg_sleep(0.5); CREATE TABLE slow (n int)")
    processes = [start_deploy(blank_database.admin_url, migrations) for _ in range(8)]
    counts = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert sum(counts) == 3
    assert len(asyncio.run(fetch(blank_database.admin_url, "SELECT * FROM _prisma_migrations"))) == 3


async def test_a_failure_is_recorded_and_blocks_until_resolved(blank_database: Database, migrations: Path) -> None:
    """The row that Prisma expects, the statements undone, P3009 for everybody; resolve lets the next run try again."""
    url = blank_database.admin_url
    write(migrations, "3_broken", "CREATE TABLE third (n int); INSERT INTO third SELECT 1 / 0;")
    with pytest.raises(MigrationError, match=r"3_broken failed \(P3018\): division by zero") as raised:
        await migrate.deploy(url, migrations)
    assert raised.value.migration == "3_broken"
    (row,) = await fetch(url, "SELECT * FROM _prisma_migrations WHERE finished_at IS NULL")
    assert "Database error code: 22012" in row["logs"]
    assert "3_broken" in row["logs"]
    assert row["rolled_back_at"] is None
    assert await fetch(url, "SELECT to_regclass('third') AS t WHERE to_regclass('third') IS NOT NULL") == []

    status = await migrate.status(url, migrations)
    assert status.applied == ["1_agentdb_first", "2_agentdb_second"]
    assert (status.failed, status.pending) == (["3_broken"], ["3_broken"])
    with pytest.raises(MigrationError, match="P3009"):
        await migrate.deploy(url, migrations)
    with pytest.raises(MigrationError, match="3_broken failed earlier"):
        await check(blank_database.url, migrations)

    write(migrations, "3_broken", "CREATE TABLE third (n int)")
    assert await migrate.resolve(url, "3_broken")
    assert not await migrate.resolve(url, "3_broken")
    assert await migrate.deploy(url, migrations) == ["3_broken"]
    assert len(await fetch(url, "SELECT * FROM _prisma_migrations WHERE migration_name = '3_broken'")) == 2
    await check(blank_database.url, migrations)


async def test_a_process_that_dies_leaves_nothing_behind(blank_database: Database, migrations: Path) -> None:
    """The migration and its record are one transaction: the next run begins it again."""
    url = blank_database.admin_url
    write(migrations, "3_slow", "CREATE TABLE slow (n int); SELECT pg_sleep(30)")
    process = start_deploy(url, migrations)
    running = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while not await fetch(url, f"SELECT 1 {running}"):  # noqa: ASYNC110 - it is the server that we wait for
            await asyncio.sleep(0.02)
    process.kill()
    process.communicate()
    await fetch(blank_database.superuser_url, f"SELECT pg_terminate_backend(pid, 5000) {running}")
    write(migrations, "3_slow", "CREATE TABLE slow (n int)")
    assert await migrate.deploy(url, migrations) == ["3_slow"]


async def test_what_cannot_run_in_a_transaction_runs_alone(blank_database: Database, migrations: Path) -> None:
    """CREATE INDEX CONCURRENTLY by itself, and a script with its own BEGIN, are recorded like others."""
    write(migrations, "3_index", "CREATE INDEX CONCURRENTLY second_n ON second (n)")
    write(migrations, "4_begin", "BEGIN; CREATE TABLE fourth (n int); COMMIT;")
    url = blank_database.admin_url
    assert await migrate.deploy(url, migrations) == ["1_agentdb_first", "2_agentdb_second", "3_index", "4_begin"]
    assert await migrate.deploy(url, migrations) == []
    assert (await fetch(url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'second_n'::regclass"))[0][0] is True


async def test_tables_without_a_history_are_refused(blank_database: Database, migrations: Path) -> None:
    """P3005, and nothing is touched."""
    url = blank_database.admin_url
    await execute(url, "CREATE TABLE theirs (n int)")
    with pytest.raises(MigrationError, match="P3005"):
        await migrate.deploy(url, migrations)
    assert await fetch(url, "SELECT 1 WHERE to_regclass('_prisma_migrations') IS NOT NULL") == []


async def test_the_schema_of_the_url_is_made_and_used(blank_database: Database, migrations: Path) -> None:
    """As Prisma does, whatever its name holds; public stays empty."""
    url = blank_database.admin_url + "&schema=My%20%22Schema"
    assert await migrate.deploy(url, migrations) == ["1_agentdb_first", "2_agentdb_second"]
    assert await migrate.deploy(url, migrations) == []
    rows = await fetch(
        url, "SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'second'"
    )
    assert [row[0] for row in rows] == ['My "Schema']


async def test_a_database_that_does_not_fit_is_refused_at_connect(blank_database: Database, migrations: Path) -> None:
    """Not migrated, older, newer: each says what to do; under the application role, in one query."""
    with pytest.raises(MigrationError, match=r"no agentdb tables yet. Run `agentdb migrate deploy`"):
        await check(blank_database.url, migrations)
    await migrate.deploy(blank_database.admin_url, migrations)
    await check(blank_database.url, migrations)

    write(migrations, "3_agentdb_third", "CREATE TABLE third (n int)")
    with pytest.raises(MigrationError, match=r"older than this .*3_agentdb_third.*agentdb migrate deploy") as raised:
        await check(blank_database.url, migrations)
    assert raised.value.migration == "3_agentdb_third"

    await migrate.deploy(blank_database.admin_url, migrations)
    (migrations / "3_agentdb_third" / "migration.sql").unlink()
    with pytest.raises(MigrationError, match=r"newer than this agentdb.*3_agentdb_third.*Upgrade agentdb") as raised:
        await check(blank_database.url, migrations)
    assert raised.value.migration == "3_agentdb_third"
    status = await migrate.status(blank_database.admin_url, migrations)
    assert (status.unknown, status.newer, status.is_current) == (["3_agentdb_third"], ["3_agentdb_third"], False)


async def test_a_history_may_be_shared(blank_database: Database, migrations: Path) -> None:
    """An application's own migrations, later ones and failed ones too, are none of our business."""
    await migrate.deploy(blank_database.admin_url, migrations)
    for name, finished in (("0_app", "now()"), ("9_add_agentdb_tables", "now()"), ("9_app_failed", "NULL")):
        await execute(
            blank_database.admin_url,
            "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at)"
            f" VALUES ('{name}', '', '{name}', {finished})",
        )

    await check(blank_database.url, migrations)
    status = await migrate.status(blank_database.admin_url, migrations)
    assert (status.unknown, status.newer) == (["0_app", "9_add_agentdb_tables"], [])


async def test_another_applications_history_is_not_ours(blank_database: Database, migrations: Path) -> None:
    """A table of migrations that we may not read: we are not migrated, or lack the membership. Both are said."""
    await migrate.deploy(blank_database.admin_url, migrations)
    await execute(blank_database.admin_url, "REVOKE SELECT ON _prisma_migrations FROM agentdb_app")
    with pytest.raises(MigrationError, match=r"GRANT agentdb_app TO .* no agentdb tables yet"):
        await check(blank_database.url, migrations)


async def test_a_running_migration_is_waited_for_but_not_for_ever(
    blank_database: Database, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is Prisma's."""
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 0.2)
    connection = await asyncpg.connect(**parse_url(blank_database.admin_url).connect_arguments())
    await connection.execute("SELECT pg_advisory_lock(72707369)")
    with pytest.raises(MigrationError, match="Another migration"):
        await migrate.deploy(blank_database.admin_url, migrations)
    release = asyncio.get_running_loop().call_later(
        0.1, lambda: tasks.append(asyncio.ensure_future(connection.close()))
    )
    tasks: list[asyncio.Future[None]] = []
    assert await migrate.deploy(blank_database.admin_url, migrations) == ["1_agentdb_first", "2_agentdb_second"]
    assert release.when()
    await asyncio.gather(*tasks)


async def test_a_pooler_is_refused(migrations: Path) -> None:
    """It cannot keep the lock; the error names the variable for a direct URL."""
    with pytest.raises(ConfigurationError, match="AGENTDB_MIGRATION_URL"):
        await migrate.deploy("postgresql://u@h/x?pgbouncer=true", migrations)


def test_the_packages_own_migrations_are_found() -> None:
    """In a checkout and in a wheel."""
    names = [migration.name for migration in migrate.find_migrations()]
    assert names == sorted(names)
    assert names
