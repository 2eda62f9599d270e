"""What becomes of the data over time: what gathers, what is overdue, what no key opens any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.cli.stats.texts import size

if TYPE_CHECKING:
    from agentdb.cli.doctor.facts import Database, Organization
    from agentdb.config import Settings

__all__ = ["embeddings", "growth", "keys", "organization", "sweeps"]

_MANY_DEAD: Final = 100_000
_DEAD_SHARE: Final = 0.4
_LARGEST: Final = 3
_OVERDUE: Final = timedelta(days=1)
_SILENT: Final = timedelta(hours=1)


def growth(database: Database) -> Check:
    """Name the largest tables, and those that the server does not clean up."""
    # By the server's statistics, which count all organizations whatever row-level security shows.
    largest = ", ".join(
        f"{table.name} {table.rows:,} rows, {size(table.size_bytes)}" for table in database.sizes[:_LARGEST]
    )
    total = size(sum(table.size_bytes for table in database.sizes))
    finding = f"{total} of all organizations; largest, by estimate: {largest}"
    if idle := [table.name for table in database.sizes if not table.is_vacuumed]:
        remedy = f"Set autovacuum = on; as the owner: ALTER TABLE {idle[0]} RESET (autovacuum_enabled);"
        return warning("growth", f"autovacuum is off for {', '.join(idle)}; {finding}", remedy)
    full = [table for table in database.sizes if table.dead > max(_MANY_DEAD, _DEAD_SHARE * (table.live + table.dead))]
    if full:
        dead = ", ".join(f"{table.dead:,} dead rows in {table.name}" for table in full)
        remedy = f"As the owner: VACUUM (ANALYZE) {full[0].name}; and look for a transaction that stays open."
        return warning("growth", f"{dead}; {finding}", remedy)
    return ok("growth", finding)


def organization(found: Organization, settings: Settings) -> Check:
    """Say whether the organization has anything: it needs no creation, so one that is mistyped is an empty one."""
    count = found.row["agents"]
    if count:
        return ok("organization", f"{settings.organization_id!r} has {count:,} {'agent' if count == 1 else 'agents'}")
    return ok(
        "organization", f"{settings.organization_id!r} has no agents yet; if it should, is ORGANIZATION_ID right?"
    )


def keys(found: Organization, settings: Settings) -> Check:
    """Find rows that need a key which is not there, and keys that nobody needs."""
    missing = {key: count for key, count in found.keys.items() if key not in settings.encryption_keys}
    if missing:
        named = ", ".join(f"{key} by {_rows(count)}" for key, count in missing.items())
        remedy = "Add them to AGENTDB_ENCRYPTION_KEYS behind the newest; what no key opens is lost."
        return failed("keys", f"not in AGENTDB_ENCRYPTION_KEYS, but needed: {named} of this organization", remedy)
    if not found.keys:
        return ok("keys", "nothing of this organization is encrypted")
    newest = next(iter(settings.encryption_keys))
    used = ", ".join(f"{key} by {_rows(count)}" for key, count in found.keys.items())
    old = [key for key in found.keys if key != newest]
    more = "; `agentdb rotate-keys` encrypts anew with the newest" if old else ""
    return ok("keys", f"in use by this organization: {used}{more}")


def embeddings(found: Organization) -> Check:
    """Find memories that an embedder has failed at."""
    waiting = found.row["unembedded"]
    if not waiting:
        return ok("embeddings", "no memory of this organization waits for one")
    those = "1 memory of this organization waits" if waiting == 1 else f"{waiting:,} memories of this organization wait"
    finding = f"{those} for an embedding: the embedder failed"
    return warning("embeddings", finding, "agentdb reembed --embedder MODULE:ATTRIBUTE --only-missing")


def sweeps(found: Organization) -> Check:
    """Find what `agentdb sweep` should have done by now; that it ran is recorded nowhere, but it leaves nothing."""
    row, now = found.row, found.row["now"]
    late = []
    if row["expired_at"] is not None and now - row["expired_at"] > _OVERDUE:
        late.append(f"memories that expired on {row['expired_at']:%Y-%m-%d} are still there")
    if row["silent_since"] is not None and now - row["silent_since"] > _SILENT:
        late.append(f"an execution counts as running that was last heard of on {row['silent_since']:%Y-%m-%d %H:%M}")
    if row["has_old_points"] and row["rolled_up_to"] is None:
        late.append("no hour of metrics was ever rolled up")
    if late:
        return warning("sweep", f"of this organization: {'; '.join(late)}", "Run `agentdb sweep` once an hour.")
    rolled_up = (
        "" if row["rolled_up_to"] is None else f"; metrics are rolled up to {row['rolled_up_to']:%Y-%m-%d %H:%M}"
    )
    return ok("sweep", f"nothing of this organization is overdue{rolled_up}")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
