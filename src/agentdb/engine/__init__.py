"""
The first Python runtime for Prisma's query compiler: generated clients, in process, on asyncpg.

    from agentdb.engine import with_engine

    Prisma = with_engine(prisma.Prisma)

This package knows nothing of agents. Read it in the order in which a call travels:

- `client`, `package`, `parsing`, `synchronous`: the generated client, its package, its models; those that do not await.
- `engine`, `transactions`, `raw`: connect, query, batch; interactive transactions; raw SQL.
- `metrics`, `watching`: what is counted, and where.
- `shapes`, `request`, `arguments`, `parameters`: a call becomes a request whose values have left it; over `schema`.
- `compiler`: the plan cache before the compiler, which `wasm` hosts.
- `plan`, `plan_reader`: what the compiler answers.
- `pushdown`, `paging`, `selects`: what a plan would do to whole lists in memory, moved into its SQL.
- `executor`, `queries`, `steps`: a plan becomes functions that run it.
- `statement`, `binding`, `readers`, `mapping`, `records`, `values`, `generators`: the pure parts of these.
- `bulk`, `row_plan`: `create_many`, which goes a way of its own.
- `errors`: what goes wrong, in Prisma's terms.
"""

from agentdb.engine.client import with_engine

__all__ = ["with_engine"]
