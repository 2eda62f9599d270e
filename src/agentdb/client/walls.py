"""Which walls between organizations stand, by the database's own catalogue, and what else it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentdb.postgres.driver import Driver

__all__ = ["Walls", "look_at_walls"]

# How PostgreSQL writes out the condition of the policies in prisma/migrations.
_OF_TENANT: Final = "(organization_id = current_setting('agentdb.organization_id'::text, true))"

# Row-level security may be on and a table open all the same: permissive policies are joined by OR, so one that somebody
# added is enough. Those count that apply to the application's role or to this one; 0 stands for PUBLIC.
_WALLS: Final = """
WITH guarded AS (
    SELECT c.oid, c.relname, c.relowner, c.relrowsecurity, c.relrowsecurity AND coalesce((
        SELECT bool_and(
            p.polcmd = '*'
            AND pg_get_expr(p.polqual, p.polrelid) IS NOT DISTINCT FROM $2
            AND pg_get_expr(p.polwithcheck, p.polrelid) IS NOT DISTINCT FROM $2
        )
        FROM pg_policy AS p
        WHERE p.polrelid = c.oid AND p.polpermissive AND EXISTS (
            SELECT FROM unnest(p.polroles) AS role
            WHERE CASE role WHEN 0 THEN true ELSE
                role = to_regrole('agentdb_app')::oid OR pg_has_role(role, 'USAGE')
            END
        )
    ), false) AS stands
    FROM pg_class AS c WHERE c.oid = ANY ($1::text[]::regclass[])
)
SELECT r.rolname::text AS role, r.rolsuper OR r.rolbypassrls AS is_above_policies,
    (SELECT bool_or(pg_has_role(relowner, 'USAGE')) FROM guarded) AS is_owner,
    coalesce(pg_has_role(to_regrole('agentdb_app')::oid, 'USAGE'), false) AS is_application,
    coalesce(
        (SELECT bool_and(row_security_active(oid)) FROM guarded WHERE relrowsecurity), NOT (rolsuper OR rolbypassrls)
    ) AS is_bound,
    ARRAY(SELECT relname::text FROM guarded WHERE NOT stands ORDER BY relname) AS unguarded,
    current_setting('server_version') AS server_version,
    coalesce((SELECT max(migration_name) FROM _prisma_migrations
        WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL AND migration_name ~ '^[0-9]+_agentdb_'), '')
        AS schema_version
FROM pg_roles AS r WHERE r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Walls:
    """
    What the database says.

    Attributes:
        role: The role that asks.
        is_above_policies: Whether it is superuser or has BYPASSRLS.
        is_owner: Whether it owns a table, or is a member of the role that does.
        is_application: Whether it is a member of agentdb_app, for which the policies are made.
        is_bound: Whether row-level security binds it, on each table where it is on.
        unguarded: Tables whose row-level security is off, or whose policies are not those of the migrations.
        server_version: PostgreSQL's.
        schema_version: The newest of agentdb's migrations that was applied.
    """

    role: str
    is_above_policies: bool
    is_owner: bool
    is_application: bool
    is_bound: bool
    unguarded: list[str]
    server_version: str
    schema_version: str

    @property
    def stand(self) -> bool:
        """Whether row-level security keeps the organizations apart, beside the client that does so anyway."""
        return self.is_bound and not self.unguarded

    @property
    def gap(self) -> str:
        """Where row-level security does not keep them apart, in words; empty where it does."""
        gaps = []
        if not self.is_bound:
            why = "owns the tables" if self.is_owner and not self.is_above_policies else "is superuser or has BYPASSRLS"
            gaps.append(f"role {self.role!r} {why}, so row-level security does not bind it")
        if self.unguarded:
            gaps.append(f"row-level security is off, or its policy changed, on {', '.join(self.unguarded)}")
        return "; ".join(gaps)


async def look_at_walls(driver: Driver, tables: Sequence[str]) -> Walls:
    """Return what the database says of *tables* and of the role that *driver* acts as; one round trip."""
    (row,) = await driver.fetch(_WALLS, ([*tables], _OF_TENANT))
    return Walls(**dict(row.items()))
