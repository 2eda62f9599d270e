"""
The first Python runtime for Prisma's query compiler: generated clients, in process, on asyncpg.

    from agentdb.engine import with_engine

    Prisma = with_engine(prisma.Prisma)

This package knows nothing of agents. Read it top to bottom: client, engine, request, compiler (over wasm), plan,
executor (over statement, mapping, records, values, generators), errors.
"""

from agentdb.engine.client import with_engine

__all__ = ["with_engine"]
