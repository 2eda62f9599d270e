"""Every table that the migrations make, present and future: none may forget its organization."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from agentdb.client.database import TABLES
from agentdb.postgres.url import parse_url
from tests.conftest import Database

pytestmark = pytest.mark.postgres

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SCHEMA = Path(__file__).parents[3] / "prisma" / "schema.prisma"
TENANT = "(organization_id = current_setting('agentdb.organization_id'::text, true))"
APPLICATION = "agentdb_app"

# What the application may do with a table; all four unless it stands here.
EVERYTHING = {"SELECT", "INSERT", "UPDATE", "DELETE"}
GRANTS = {
    "agent_tool_versions": {"SELECT", "INSERT"},
    "agent_steps": {"SELECT", "INSERT", "DELETE"},
    "learning_outcomes": {"SELECT", "INSERT", "DELETE"},
    "learning_pattern_changes": {"SELECT", "INSERT"},
    "access_log": {"SELECT"},
    "_prisma_migrations": {"SELECT"},
}
# What it may do with single columns of a table beside that.
COLUMN_GRANTS = {
    *(("agent_steps", column, "UPDATE") for column in ("message", "data", "sealed")),
    *(("agent_tool_versions", column, "UPDATE") for column in ("parameters", "sealed")),
    # All but position, digest and chain, which the database gives.
    *(("access_log", column, "INSERT") for column in ("organization_id", "id", "at", "agent_id", "user_name")),
    *(("access_log", column, "INSERT") for column in ("operation", "table_names", "row_ids", "row_count")),
    *(("access_log", column, "INSERT") for column in ("duration_ms", "outcome")),
}
# Restrictive policies, which take away from what tenant_isolation lets through: table, name, command, condition.
RESTRICTIONS = {
    ("agent_steps", "trail_is_kept", "d", "(execution_id IS NULL)", None),
    ("agent_steps", "only_sealed", "w", "true", "(sealed IS NOT NULL)"),
    ("agent_tool_versions", "only_sealed", "w", "true", "(sealed IS NOT NULL)"),
}

_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS is_guarded, r.rolname AS owner, EXISTS (
        SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'organization_id'
            AND a.atttypid = 'text'::regtype AND a.attnotnull
    ) AS has_organization
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
"""
_POLICIES = """
SELECT p.polrelid::regclass::text AS "table", p.polname::text AS name, p.polcmd::text AS command,
    p.polpermissive AS is_permissive, p.polroles = ARRAY['agentdb_app'::regrole::oid] AS is_for_application,
    pg_get_expr(p.polqual, p.polrelid) AS reads, pg_get_expr(p.polwithcheck, p.polrelid) AS writes
FROM pg_policy AS p
"""
# Of foreign keys both sides; of unique indexes, those of keys included, what they begin with.
_KEYS = """
SELECT k.conrelid::regclass::text AS "table", k.conname::text AS name, a.attname::text AS first,
    f.attname::text AS other
FROM pg_constraint AS k
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
JOIN pg_attribute AS f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
UNION ALL
SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, a.attname, 'organization_id'
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relnamespace = 'public'::regnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indisunique OR i.indisexclusion
"""
_GRANTS = """
SELECT c.relname AS "table", NULL AS "column", acl.*
FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND acl.grantee <> c.relowner
UNION ALL
SELECT c.relname, a.attname, acl.*
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid, aclexplode(a.attacl) AS acl
WHERE c.relnamespace = 'public'::regnamespace AND acl.grantee <> c.relowner
"""
# Functions that are not an extension's. One that runs as its owner keeps its path, asks whose the connection is, and is
# for the application alone; a trigger's function cannot be called, so it need not ask.
_FUNCTIONS = """
SELECT f.oid::regprocedure::text AS name, f.prosecdef AS is_definer, f.prorettype = 'trigger'::regtype AS is_trigger,
    coalesce((SELECT setting FROM unnest(f.proconfig) AS setting WHERE setting LIKE 'search_path=%'), '') AS path,
    strpos(f.prosrc, 'current_setting(''agentdb.organization_id'', true)') > 0 AS asks,
    ARRAY(
        SELECT coalesce(r.rolname, 'PUBLIC') FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS acl
        LEFT JOIN pg_roles AS r ON r.oid = acl.grantee WHERE acl.grantee <> f.proowner
    ) AS callers
FROM pg_proc AS f
WHERE f.pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = f.oid AND d.deptype = 'e')
"""
# What sees tables with its owner's eyes, or stands for them, and is not there.
_OTHERS = """
SELECT relkind::text AS kind, relname::text AS name FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f', 'S')
UNION ALL
SELECT 'rule', rulename FROM pg_rewrite JOIN pg_class AS c ON c.oid = ev_class
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'default privileges of', pg_get_userbyid(defaclrole) FROM pg_default_acl
UNION ALL
SELECT 'schema grant', acl.privilege_type || ' to ' || coalesce(r.rolname, 'PUBLIC')
FROM pg_namespace AS n, aclexplode(n.nspacl) AS acl LEFT JOIN pg_roles AS r ON r.oid = acl.grantee
WHERE n.nspname = 'public' AND acl.grantee <> n.nspowner AND acl.privilege_type <> 'USAGE'
"""


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """A connection as the superuser, who may also do what nobody should."""
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    yield connection
    await connection.close()


async def flaws(connection: Connection) -> list[str]:
    """Return what is wrong with the tables, a line each; it begins with the name of what is wrong."""
    tables = await connection.fetch(_TABLES)
    found = []
    policies = await connection.fetch(_POLICIES)
    for table in tables:
        name = table["name"]
        if table["owner"] != "agentdb_owner":
            found.append(f"{name}: belongs to {table['owner']}")
        if name == "_prisma_migrations":
            continue
        if not table["has_organization"]:
            found.append(f"{name}: has no required organization_id")
        if not table["is_guarded"]:
            found.append(f"{name}: row-level security is off")
        permissive = [each for each in policies if each["table"] == name and each["is_permissive"]]
        if [_facts(each) for each in permissive] != [("tenant_isolation", "*", True, TENANT, TENANT)]:
            found.append(f"{name}: the policies are {[_facts(each) for each in permissive]}")
    restrictive = [each for each in policies if not each["is_permissive"]]
    found += [
        f"{each['table']}: the policy {each['name']} is not the application's"
        for each in restrictive
        if not each["is_for_application"]
    ]
    keys = ("table", "name", "command", "reads", "writes")
    unlike = {tuple(each[key] for key in keys) for each in restrictive} ^ RESTRICTIONS
    found += [f"{each[0]}: the restrictive policy {each[1]} is not as it is listed" for each in unlike]
    return [
        *found,
        *[
            f"{key['table']}: {key['name']} begins with {key['first']}, {key['other']}"
            for key in await connection.fetch(_KEYS)
            if (key["first"], key["other"]) != ("organization_id", "organization_id")
            and key["table"] != "_prisma_migrations"
        ],
        *await _wrong_grants(connection, {table["name"] for table in tables}),
        *await _wrong_functions(connection),
        *[f"{each['name']}: {each['kind']}" for each in await connection.fetch(_OTHERS)],
    ]


def _facts(policy: asyncpg.Record) -> tuple[object, ...]:
    return tuple(policy[key] for key in ("name", "command", "is_for_application", "reads", "writes"))


async def _wrong_grants(connection: Connection, tables: set[str]) -> list[str]:
    expected = {(table, None, each) for table in tables for each in GRANTS.get(table, EVERYTHING)} | COLUMN_GRANTS
    roles = {role["oid"]: role["rolname"] for role in await connection.fetch("SELECT oid, rolname FROM pg_roles")}
    found, granted = [], set()
    for grant in await connection.fetch(_GRANTS):
        what = (grant["table"], grant["column"], grant["privilege_type"])
        grantee = roles.get(grant["grantee"], "PUBLIC")
        if grantee != APPLICATION or grant["is_grantable"]:
            found.append(f"{grant['table']}: grants {what[2]} to {grantee}")
        else:
            granted.add(what)
    more, less = granted - expected, expected - granted
    return [*found, *(f"{each[0]}: grants {each}" for each in more), *(f"{each[0]}: lacks {each}" for each in less)]


async def _wrong_functions(connection: Connection) -> list[str]:
    found = []
    for function in await connection.fetch(_FUNCTIONS):
        if not function["is_definer"]:
            continue
        path = [schema.strip() for schema in function["path"].removeprefix("search_path=").split(",")]
        if path[-1] != "pg_temp" or '"$user"' in path:
            found.append(f"{function['name']}: runs as its owner with the path {path}")
        if set(function["callers"]) - {APPLICATION}:
            found.append(f"{function['name']}: may be called by {function['callers']}")
        if not (function["asks"] or function["is_trigger"]):
            found.append(f"{function['name']}: does not ask for the connection's organization")
    return found


async def test_all_are_known(owner: Connection) -> None:
    """To the schema that Node shares, and to what looks after row-level security."""
    mapped = set(re.findall(r'@@map\("(\w+)"\)', SCHEMA.read_text(encoding="utf-8")))
    tables = {table["name"] for table in await owner.fetch(_TABLES)} - {"_prisma_migrations"}

    assert tables == set(TABLES) <= mapped


async def test_none_has_a_flaw(owner: Connection) -> None:
    """Policy, keys, foreign keys, grants, functions and views are what keeps organizations apart, and nothing else."""
    assert await flaws(owner) == []


GOOD = """
CREATE TABLE extra (
    organization_id text NOT NULL, id text NOT NULL, agent_id text, PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES agents (organization_id, id)
);
ALTER TABLE extra OWNER TO agentdb_owner;
ALTER TABLE extra ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON extra TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON extra TO agentdb_app;
"""
FLAWS = {
    "ALTER TABLE extra DISABLE ROW LEVEL SECURITY": "extra: row-level security is off",
    "ALTER TABLE extra OWNER TO agentdb_app": "extra: belongs to agentdb_app",
    "ALTER TABLE extra DROP CONSTRAINT extra_pkey, ALTER organization_id DROP NOT NULL": "extra: has no required",
    "DROP POLICY tenant_isolation ON extra": "extra: the policies are []",
    "ALTER POLICY tenant_isolation ON extra RENAME TO other": "extra: the policies are",
    "ALTER POLICY tenant_isolation ON extra USING (true)": "extra: the policies are",
    "ALTER POLICY tenant_isolation ON extra WITH CHECK (true)": "extra: the policies are",
    "ALTER POLICY tenant_isolation ON extra TO PUBLIC": "extra: the policies are",
    "ALTER POLICY tenant_isolation ON extra TO agentdb_app, agentdb_owner": "extra: the policies are",
    "CREATE POLICY more ON extra FOR SELECT USING (id = 'a')": "extra: the policies are",
    "CREATE POLICY less ON extra AS RESTRICTIVE TO agentdb_app USING (id = 'a')": "extra: the restrictive policy less",
    "DROP POLICY trail_is_kept ON agent_steps": "agent_steps: the restrictive policy trail_is_kept",
    "ALTER POLICY trail_is_kept ON agent_steps USING (true)": "agent_steps: the restrictive policy trail_is_kept",
    "ALTER TABLE extra DROP CONSTRAINT extra_pkey, ADD PRIMARY KEY (id)": "extra: extra_pkey begins with id",
    "CREATE UNIQUE INDEX by_id ON extra (id)": "extra: by_id begins with id",
    "CREATE UNIQUE INDEX by_id ON extra (lower(id), organization_id)": "extra: by_id begins with None",
    "ALTER TABLE extra ADD EXCLUDE USING btree (id WITH =)": "extra: extra_id_excl begins with id",
    "ALTER TABLE agents ADD UNIQUE (id, organization_id); "
    "ALTER TABLE extra ADD FOREIGN KEY (agent_id, organization_id) REFERENCES agents (id, organization_id)": (
        "extra: extra_agent_id_organization_id_fkey begins with agent_id"
    ),
    "ALTER TABLE agents ADD UNIQUE (id); ALTER TABLE extra ADD FOREIGN KEY (agent_id) REFERENCES agents (id)": (
        "extra: extra_agent_id_fkey begins with agent_id"
    ),
    "ALTER TABLE extra ADD CONSTRAINT swapped FOREIGN KEY (organization_id, agent_id) REFERENCES "
    "agents (name, organization_id)": "extra: swapped begins with organization_id, name",
    "REVOKE DELETE ON extra FROM agentdb_app": "extra: lacks ('extra', None, 'DELETE')",
    "GRANT TRUNCATE ON extra TO agentdb_app": "extra: grants ('extra', None, 'TRUNCATE')",
    "GRANT UPDATE (name) ON agent_steps TO agentdb_app": "agent_steps: grants ('agent_steps', 'name', 'UPDATE')",
    "GRANT SELECT ON extra TO agentdb_app WITH GRANT OPTION": "extra: grants SELECT to agentdb_app",
    "GRANT SELECT ON extra TO PUBLIC": "extra: grants SELECT to PUBLIC",
    "GRANT SELECT (id) ON extra TO PUBLIC": "extra: grants SELECT to PUBLIC",
    "GRANT INSERT ON _prisma_migrations TO agentdb_app": "_prisma_migrations: grants",
    "CREATE VIEW seen AS SELECT * FROM extra": "seen: v",
    "CREATE MATERIALIZED VIEW seen AS SELECT * FROM extra": "seen: m",
    "CREATE SEQUENCE numbers": "numbers: S",
    "CREATE RULE aside AS ON DELETE TO extra DO INSTEAD NOTHING": "aside: rule",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO agentdb_app": "postgres: default privileges of",
    "GRANT CREATE ON SCHEMA public TO agentdb_app": "CREATE to agentdb_app: schema grant",
    "CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp "
    "RETURN current_setting('agentdb.organization_id', true)::int": "peek(): may be called by",
    "CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public RETURN 1; "
    "REVOKE EXECUTE ON FUNCTION peek FROM PUBLIC": "peek(): runs as its owner with the path ['public']",
    "CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1; "
    "REVOKE EXECUTE ON FUNCTION peek FROM PUBLIC": "peek(): runs as its owner with the path",
    "CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp RETURN 1; "
    "REVOKE EXECUTE ON FUNCTION peek FROM PUBLIC": "peek(): does not ask",
}


async def test_a_flaw_is_found(owner: Connection) -> None:
    """Whatever a new table may lack, or somebody may have added; a good one has none."""
    for statement, expected in {GOOD: None, **FLAWS}.items():
        transaction = owner.transaction()
        await transaction.start()
        if statement != GOOD:
            await owner.execute(GOOD)
        await owner.execute(statement)
        found = await flaws(owner)
        await transaction.rollback()
        assert found == [] if expected is None else any(each.startswith(expected) for each in found), (statement, found)
