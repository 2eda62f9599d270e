"""
The first Python runtime for Prisma's query compiler: generated clients, in process, on asyncpg.

    from agentdb.engine import with_engine

    Prisma = with_engine(prisma.Prisma)

This package knows nothing of agents. Read it in the order in which a call travels:

- `client`, `package`: the generated client, and what is used of its package.
- `engine`, `transactions`, `raw`: connect, query, batch; interactive transactions; raw SQL.
- `request`, `arguments`, `parameters`: a call becomes a request whose values have left it; over `schema`.
- `compiler`: the plan cache before the compiler, which `wasm` hosts.
- `plan`, `plan_reader`: what the compiler answers.
- `executor`, `queries`, `steps`: a plan becomes functions that run it.
- `statement`, `binding`, `mapping`, `records`, `values`, `generators`: the pure parts that these are made of.
- `errors`: what goes wrong, in Prisma's terms.
"""

from agentdb.engine.client import with_engine

__all__ = ["with_engine"]
