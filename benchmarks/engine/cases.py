"""The operations on authors and posts, and what each is when it is written by hand."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from benchmarks.engine.database import AT_ONCE, AUTHORS, POSTS_EACH, EngineDatabase
from benchmarks.harness import Case, Turn, Work

__all__ = ["make_cases"]

_AUTHOR = "id, email, name, country, score, created_at"
_POST = "id, author_id, title, content, views, published, created_at"

_FIND = f"SELECT {_AUTHOR} FROM authors WHERE id = $1"
_FIND_MANY = f"SELECT {_POST} FROM posts WHERE id > $1 ORDER BY id LIMIT 50"
_FIND_PAGE = f"SELECT {_POST} FROM posts WHERE published ORDER BY created_at DESC LIMIT 50"
_PARENTS = f"SELECT {_AUTHOR} FROM authors WHERE id > $1 ORDER BY id LIMIT 10"
_CHILDREN = f"SELECT {_POST} FROM posts WHERE author_id = ANY($1)"
_GROUP = "SELECT country, count(*), sum(score) FROM authors GROUP BY country ORDER BY country"
# What is not named has defaults in the database; Prisma makes them itself and sends them.
_CREATE = f"INSERT INTO posts (author_id, title, content) VALUES ($1, $2, $3) RETURNING {_POST}"
_CREATE_MANY = "INSERT INTO posts (author_id, title, content) VALUES ($1, $2, $3)"
_UPDATE = f"UPDATE authors SET name = $2, score = $3 WHERE id = $1 RETURNING {_AUTHOR}"

_CALLS_AT_ONCE = 20  # of each of the workers

_Fields = dict[str, Any]


def make_cases(database: EngineDatabase) -> Iterator[Case]:
    """Make the cases of *database*, in the order of the table: reading first, because writing makes tables longer."""
    reading = (_find_unique, _at_once, _at_once_of_pool, _find_many, _find_page, _include, _group_by)
    writing = (_create, _update, _create_many)
    chance = random.Random(1)  # the same rows in every run
    for make in (*reading, *writing):
        yield make(database, chance)


def _find_unique(database: EngineDatabase, chance: random.Random) -> Case:
    authors, raw = database.client.author, database.raw
    return Case(
        "find_unique",
        lambda id: authors.find_unique(where={"id": id}),
        {"asyncpg": lambda id: raw.fetchrow(_FIND, id)},
        bar=1.6,
        prepare=lambda: chance.randint(1, AUTHORS),
        others=_others(database, "find_unique"),
    )


def _at_once(database: EngineDatabase, chance: random.Random) -> Case:
    # Each worker with a connection of its own that it never gives back: the most that asyncpg can do.
    async def dedicated(workers: list[list[int]]) -> None:
        async def work(connection: Any, ids: list[int]) -> None:
            for id in ids:
                await connection.fetchrow(_FIND, id)

        await asyncio.gather(*map(work, database.raw_many, workers))

    name = f"find_unique, {AT_ONCE} at once, throughput"
    return _throughput(name, database, chance, {"connections": dedicated}, _others(database, "find_unique_at_once"))


def _at_once_of_pool(database: EngineDatabase, chance: random.Random) -> Case:
    async def pooled(id: int) -> object:
        return await database.raw_pool.fetchrow(_FIND, id)

    return _throughput("  beside asyncpg.Pool, as large", database, chance, {"asyncpg.Pool": _workers(pooled)}, {})


def _throughput(
    name: str, database: EngineDatabase, chance: random.Random, raw: Mapping[str, Work], others: Mapping[str, Turn]
) -> Case:
    authors = database.client.author

    async def ours(id: int) -> object:
        return await authors.find_unique(where={"id": id})

    return Case(
        name,
        _workers(ours),
        raw,
        bar=0.75,
        prepare=lambda: [[chance.randint(1, AUTHORS) for _ in range(_CALLS_AT_ONCE)] for _ in range(AT_ONCE)],
        others=others,
        calls=1,
        turns=4,
        operations=AT_ONCE * _CALLS_AT_ONCE,
        is_throughput=True,
    )


def _workers(call: Callable[[int], Awaitable[object]]) -> Callable[[list[list[int]]], Awaitable[object]]:
    async def work(ids: list[int]) -> None:
        for id in ids:
            await call(id)

    return lambda workers: asyncio.gather(*map(work, workers))


def _find_many(database: EngineDatabase, chance: random.Random) -> Case:
    posts, raw = database.client.post, database.raw
    return Case(
        "find_many of 50 rows",
        lambda after: posts.find_many(where={"id": {"gt": after}}, order={"id": "asc"}, take=50),
        {"asyncpg": lambda after: raw.fetch(_FIND_MANY, after)},
        bar=1.15,
        prepare=lambda: chance.randrange(AUTHORS * POSTS_EACH - 50),
        others=_others(database, "find_many"),
    )


def _find_page(database: EngineDatabase, _chance: random.Random) -> Case:
    posts, raw = database.client.post, database.raw
    return Case(
        "  newest 50 of 2,500, no index",
        lambda _: posts.find_many(where={"published": True}, order={"createdAt": "desc"}, take=50),
        {"asyncpg": lambda _: raw.fetch(_FIND_PAGE)},
        bar=1.15,
        prepare=lambda: None,
        others=_others(database, "find_page"),
    )


def _include(database: EngineDatabase, chance: random.Random) -> Case:
    authors, raw = database.client.author, database.raw

    async def two_queries(after: int) -> object:
        parents = await raw.fetch(_PARENTS, after)
        return parents, await raw.fetch(_CHILDREN, [parent[0] for parent in parents])

    return Case(
        "include, 10 parents of 5 each",
        lambda after: authors.find_many(
            where={"id": {"gt": after}}, order={"id": "asc"}, take=10, include={"posts": True}
        ),
        {"two queries": two_queries},
        bar=1.4,
        prepare=lambda: chance.randrange(AUTHORS - 10),
        others=_others(database, "include"),
    )


def _group_by(database: EngineDatabase, _chance: random.Random) -> Case:
    authors, raw = database.client.author, database.raw
    return Case(
        "group_by, 20 groups of 50",
        lambda _: authors.group_by(by=["country"], count=True, sum={"score": True}, order={"country": "asc"}),
        {"asyncpg": lambda _: raw.fetch(_GROUP)},
        bar=1.2,
        prepare=lambda: None,
        others=_others(database, "group_by"),
    )


def _create(database: EngineDatabase, chance: random.Random) -> Case:
    posts, raw = database.client.post, database.raw
    return Case(
        "create",
        lambda data: posts.create(data=data),
        {"asyncpg": lambda data: raw.fetchrow(_CREATE, *data.values())},
        bar=1.5,
        prepare=_posts(chance),
        others=_others(database, "create"),
    )


def _update(database: EngineDatabase, chance: random.Random) -> Case:
    authors, raw = database.client.author, database.raw

    def prepare() -> tuple[int, _Fields]:
        return chance.randint(1, AUTHORS), {"name": f"Author {chance.random()}", "score": chance.randrange(1000)}

    return Case(
        "update",
        lambda given: authors.update(where={"id": given[0]}, data=given[1]),
        {"asyncpg": lambda given: raw.fetchrow(_UPDATE, given[0], *given[1].values())},
        bar=1.5,
        prepare=prepare,
        others=_others(database, "update"),
    )


def _create_many(database: EngineDatabase, chance: random.Random) -> Case:
    posts, raw = database.client.post, database.raw
    post = _posts(chance)
    return Case(
        "create_many of 1,000",
        lambda data: posts.create_many(data=data),
        # the tuples are made on the clock: both sides are given dictionaries
        {"executemany": lambda data: raw.executemany(_CREATE_MANY, [tuple(row.values()) for row in data])},
        bar=1.3,
        prepare=lambda: [post() for _ in range(1000)],
        others=_others(database, "create_many"),
        calls=1,
        turns=2,
    )


def _posts(chance: random.Random) -> Callable[[], _Fields]:
    """Return what makes the data of a post, in the order of the statements' parameters."""
    numbers = itertools.count()

    def make() -> _Fields:
        title = f"Post {next(numbers)} of the benchmark"
        return {"authorId": chance.randint(1, AUTHORS), "title": title, "content": f"{chance.random()} " * 8}

    return make


def _others(database: EngineDatabase, case: str) -> Mapping[str, Turn]:
    return {} if database.node is None else database.node.turns(case)
