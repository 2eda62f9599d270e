"""How many of the nearest memories a search by the index finds, and whether it ever finds too few."""

from __future__ import annotations

from agentdb.postgres.vector import pack_vector
from benchmarks.harness import Check
from benchmarks.retrieval.data import MODEL
from benchmarks.retrieval.database import AGENT, ORGANIZATION, RetrievalDatabase

__all__ = ["measure_accuracy"]

_AT = 10
# Looked at one by one: what is nearest indeed.
_NEAREST = """SELECT id::text FROM agent_memories WHERE organization_id = $1 AND agent_id = $2 AND embedding_model = $3
    ORDER BY (embedding <=> $4) + 0 LIMIT $5"""


async def measure_accuracy(database: RetrievalDatabase, *, searches: int) -> list[Check]:
    """Search, compare with the exact answer, and return what was missed."""
    missed = short = exact = 0
    for vector in database.source.vectors(searches):
        nearest = await database.raw.fetch(_NEAREST, ORGANIZATION, AGENT, MODEL, pack_vector(vector), _AT)
        hits = await database.client.memories.search(AGENT, embedding=vector, embedding_model=MODEL, limit=_AT)
        missed += len({row[0] for row in nearest} - {hit.id for hit in hits})
        short += len(hits) < _AT
        exact += hits.exact
    of = f"of {searches * _AT:,}"
    return [
        Check("vector top 10: missed of the nearest", missed, searches * _AT * 0.02, of),
        Check("  searches with too few hits", short, 0, f"of {searches:,}"),
        Check("  searches that looked at all", exact, searches, f"of {searches:,}"),
    ]
