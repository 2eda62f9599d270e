"""The second wall between organizations, row-level security."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.client.database import TABLES

if TYPE_CHECKING:
    from agentdb.cli.doctor.facts import Database
    from agentdb.client.walls import Walls
    from agentdb.config import Settings

__all__ = ["policies", "role", "schemas"]


def role(walls: Walls, settings: Settings) -> Check:
    """Say whether row-level security binds the role."""
    if walls.is_above_policies or walls.is_owner:
        why = "is superuser or has BYPASSRLS" if walls.is_above_policies else "owns the tables"
        finding = f"{walls.role} {why}: organizations are kept apart by the client alone"
        remedy = "Connect as a login role that is only a member of agentdb_app: GRANT agentdb_app TO <role>;"
        return failed("role", finding, remedy) if settings.require_rls else warning("role", finding, remedy)
    if walls.is_application:
        return ok("role", f"{walls.role} is bound by row-level security")
    remedy = f"As the owner: GRANT agentdb_app TO {walls.role};"
    return failed("role", f"{walls.role} is no member of agentdb_app, so it sees no rows", remedy)


def policies(walls: Walls) -> Check:
    """Find tables that row-level security leaves open."""
    if not walls.unguarded:
        return ok("row-level security", f"on all {len(TABLES)} tables, by the policy tenant_isolation alone")
    return failed(
        "row-level security",
        f"off, or with another policy than tenant_isolation, on {', '.join(walls.unguarded)}",
        "As the owner: ALTER TABLE … ENABLE ROW LEVEL SECURITY; drop policies that are not agentdb's, and make "
        "tenant_isolation anew as prisma/migrations has it.",
    )


def schemas(database: Database) -> Check:
    """Find schemas that the application may put functions into."""
    if not database.open_schemas:
        return ok("schema", "the application can put nothing of its own beside the tables")
    revoke = " ".join(f'REVOKE CREATE ON SCHEMA "{name}" FROM PUBLIC, agentdb_app;' for name in database.open_schemas)
    return warning(
        "schema",
        f"the application may create functions in {', '.join(database.open_schemas)}, which those that run as the "
        "tables' owner might call",
        f"As the owner: {revoke}",
    )
