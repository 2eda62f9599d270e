"""A job queue on PostgreSQL: workers take jobs with SKIP LOCKED, retry what fails and leave nothing undone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from prisma.enums import JobStatus
from prisma.errors import DataError, RawQueryError, TransactionExpiredError, UniqueViolationError
from prisma.fields import Base64, Json
from prisma.models import Job
from prisma.types import (
    AttemptUpdateInput,
    JobCreateInput,
    JobCreateWithoutRelationsInput,
    JobOptionalCreateInput,
    JobUpdateInput,
    JobWhereInput,
)

from prisma import Prisma

Handler = Callable[[dict[str, Any]], Awaitable[object]]

LEASE = timedelta(seconds=30)

CLAIM = """
UPDATE jobs SET status = 'running', locked_by = $1, locked_at = now(), updated_at = now()
WHERE id = (
    SELECT j.id FROM jobs j JOIN queues q ON q.name = j.queue
    WHERE j.queue = ANY($2::text[]) AND NOT q.is_paused AND j.status = 'queued' AND j.run_at <= now()
      AND NOT EXISTS (
          SELECT 1 FROM "_dependency" d JOIN jobs w ON w.id = d."A" WHERE d."B" = j.id AND w.status <> 'succeeded'
      )
    ORDER BY j.priority DESC, j.number LIMIT 1
    FOR UPDATE OF j SKIP LOCKED
)
RETURNING id::text
"""


# -- producers --------------------------------------------------------------------------------------------------------


async def enqueue(
    db: Prisma, queue: str, kind: str, payload: object = None, options: JobOptionalCreateInput | None = None
) -> Job:
    """Add a job to a queue, which is made if there is none of this name."""
    data: JobCreateInput = {
        **(options or {}),
        "kind": kind,
        "payload": Json(cast(Any, payload)),
        "queue": {"connect_or_create": {"where": {"name": queue}, "create": {"name": queue}}},
    }
    return await db.job.create(data=data)


async def enqueue_many(db: Prisma, queue: str, kind: str, payloads: list[dict[str, Any]]) -> int:
    """Add many jobs of one kind, each payload at most once; return how many were new."""
    jobs: list[JobCreateWithoutRelationsInput] = [
        {"queueName": queue, "kind": kind, "payload": Json(payload), "uniqueKey": f"{kind}:{sorted(payload.items())}"}
        for payload in payloads
    ]
    return await db.job.create_many(data=jobs, skip_duplicates=True)


async def enqueue_once(db: Prisma, queue: str, kind: str, key: str) -> tuple[Job, bool]:
    """Add a job unless one of this key was added before; return it and whether it is new."""
    try:
        return await enqueue(db, queue, kind, options={"uniqueKey": key}), True
    except UniqueViolationError:
        return await db.job.find_unique_or_raise(where={"once": {"queueName": queue, "uniqueKey": key}}), False


# -- workers ----------------------------------------------------------------------------------------------------------


async def claim(db: Prisma, worker: str, queues: list[str]) -> Job | None:
    """Take the next job that is due, so that nobody else does; and note the attempt."""
    async with db.tx(max_wait=timedelta(seconds=10), timeout=timedelta(seconds=20)) as tx:
        row = await tx.query_first(CLAIM, worker, queues)
        if row is None:
            return None
        number = await tx.attempt.count(where={"jobId": row["id"]}) + 1
        return await tx.job.update(
            where={"id": row["id"]},
            data={"attempts": {"create": [{"number": number, "worker": worker}]}},
            include={"attempts": {"order_by": {"number": "asc"}}, "queue": True},
        )


async def finish(db: Prisma, job: Job, outcome: object, log: str) -> None:
    """Note that a job is done."""
    await close(
        db,
        job,
        {"status": JobStatus.SUCCEEDED, "result": Json(cast(Any, outcome))},
        {"log": Base64.encode(log.encode()), "cost": Decimal("0.0125")},
    )


async def fail(db: Prisma, job: Job, error: Exception) -> None:
    """Note that an attempt failed: the job is tried again, later each time, or given up."""
    attempts, queue = job.attempts or [], job.queue
    assert queue is not None
    await close(
        db,
        job,
        {
            "status": JobStatus.FAILED if len(attempts) >= queue.maxAttempts else JobStatus.QUEUED,
            "error": f"{type(error).__name__}: {error}",
            "runAt": datetime.now(UTC) + timedelta(milliseconds=10 * 2 ** len(attempts)),
        },
        {"log": Base64.encode(repr(error).encode()), "cost": Decimal("0.01")},
    )


async def close(db: Prisma, job: Job, change: JobUpdateInput, end: AttemptUpdateInput) -> None:
    """Release a job and end its running attempt, both or neither."""
    assert job.attempts
    async with db.batch_() as batch:
        batch.job.update(where={"id": job.id}, data={**change, "lockedBy": None, "lockedAt": None})
        batch.attempt.update(
            where={"jobId_number": {"jobId": job.id, "number": job.attempts[-1].number}},
            data={**end, "finishedAt": datetime.now(UTC)},
        )


async def work(db: Prisma, worker: str, queues: list[str], handlers: dict[str, Handler]) -> int:
    """Do jobs until all are done; return how many attempts this worker made."""
    made = 0
    open_jobs: JobWhereInput = {
        "queueName": {"in": queues},
        "OR": [{"status": JobStatus.QUEUED}, {"status": JobStatus.RUNNING}],
    }
    while await db.job.count(where=open_jobs):
        job = await claim(db, worker, queues)
        if job is None:
            await asyncio.sleep(0.01)
            continue
        made += 1
        try:
            outcome = await handlers[job.kind](cast(dict[str, Any], job.payload))
        except Exception as error:
            await fail(db, job, error)
        else:
            await finish(db, job, outcome, f"{job.kind} by {worker}: ✓")
    return made


async def rescue(db: Prisma, now: datetime) -> int:
    """Queue again what workers took and never finished."""
    return await db.job.update_many(
        where={"status": JobStatus.RUNNING, "lockedAt": {"lt": now - LEASE}},
        data={"status": JobStatus.QUEUED, "lockedBy": None, "lockedAt": None},
    )


# -- reports ----------------------------------------------------------------------------------------------------------


async def report(db: Prisma) -> list[str]:
    """Return a line for each queue and status."""
    groups = await db.job.group_by(
        ["queueName", "status"],
        count=True,
        max={"priority": True},
        order={"queueName": "asc"},
        having={"queueName": {"not": "empty"}},
    )
    lines = [f"{g['queueName']}/{g['status']}: {g['_count']['_all']} (≤ {g['_max']['priority']})" for g in groups]
    return sorted(lines)


# -- a day in the life ------------------------------------------------------------------------------------------------


async def main() -> None:
    """Fill the queues, let eight workers empty them, and print what happened."""
    async with Prisma() as db:
        flaky: Counter[int] = Counter()
        done: list[int] = []

        async def square(payload: dict[str, Any]) -> object:
            done.append(payload["n"])
            await asyncio.sleep(0.001)
            return {"n": payload["n"], "square": payload["n"] ** 2, "exact": None}

        async def shaky(payload: dict[str, Any]) -> object:
            flaky[payload["n"]] += 1
            if flaky[payload["n"]] < payload["good_at"]:
                raise ConnectionError(f"no answer to call {flaky[payload['n']]}")
            return [payload["n"], "at last"]

        async def summary(payload: dict[str, Any]) -> object:
            return len(done)

        handlers: dict[str, Handler] = {"square": square, "shaky": shaky, "summary": summary}

        first = await enqueue(db, "math", "square", {"n": 0}, {"priority": 9})
        print("first:", first.number, first.status, first.payload, len(first.id))
        payloads = [{"n": n} for n in range(1, 60)]
        print("added:", await enqueue_many(db, "math", "square", payloads + payloads[:10]))
        print(
            "again:", await enqueue_many(db, "math", "square", payloads), await enqueue_many(db, "math", "square", [])
        )
        for n, good_at in enumerate([1, 2, 3, 4]):
            await enqueue(db, "net", "shaky", {"n": n, "good_at": good_at})
        report_job, is_new = await enqueue_once(db, "math", "summary", "2024-02-29")
        same_job, is_new_again = await enqueue_once(db, "math", "summary", "2024-02-29")
        print("once:", is_new, is_new_again, report_job.id == same_job.id)
        squares = await db.job.find_many(where={"kind": "square"})
        await db.job.update(
            where={"id": report_job.id},
            data={"waitsFor": {"connect": [{"id": job.id} for job in squares]}, "priority": 100},
        )

        await db.queue.upsert(
            where={"name": "later"},
            data={"create": {"name": "later", "isPaused": True}, "update": {"isPaused": True}},
        )
        await enqueue(db, "later", "square", {"n": -1}, {"runAt": datetime.now(UTC) - timedelta(days=1)})

        crashed = await claim(db, "crashed", ["math"])
        print("crashed with:", crashed and crashed.payload, crashed and crashed.lockedBy)
        print("rescued:", await rescue(db, datetime.now(UTC)))
        print("rescued:", await rescue(db, datetime.now(UTC) + timedelta(minutes=1)))

        made = await asyncio.gather(*[work(db, f"w{n}", ["math", "net"], handlers) for n in range(8)])
        print("attempts:", sum(made), "by more than one worker:", sum(1 for count in made if count) > 1)
        print("each once:", sorted(done) == list(range(60)))
        print("\n".join(await report(db)))

        last = await db.job.find_unique_or_raise(where={"id": report_job.id}, include={"waitsFor": {"take": 2}})
        print("summary:", last.result, len(last.waitsFor or []))
        given_up = await db.job.find_first_or_raise(where={"status": JobStatus.FAILED}, include={"attempts": True})
        logs = [attempt.log.decode().decode() for attempt in given_up.attempts or [] if attempt.log]
        print("gave up:", given_up.error, logs)
        costs = await db.query_first("SELECT sum(cost) AS spent, count(DISTINCT worker) AS workers FROM attempts")
        print("spent:", costs and costs["spent"], "by", costs and costs["workers"] > 1)
        odd = await db.job.count(where={"result": {"equals": Json({"n": 7, "square": 49, "exact": None})}})
        print(
            "found by result:", odd, "without:", await db.job.count(where={"NOT": [{"kind": "square"}], "result": None})
        )

        await misuse(db, first)


async def misuse(db: Prisma, job: Job) -> None:
    """Print what the queue refuses."""
    try:
        await db.queue.delete(where={"name": "math"})
    except DataError as error:
        print("refused:", type(error).__name__, error)
    try:
        await db.job.update(where={"id": job.id}, data={"priority": 40_000})
    except DataError as error:
        print("refused:", type(error).__name__)
    try:
        await db.query_raw("SELECT * FROM no_such_table")
    except RawQueryError as error:
        print("refused:", error)
    try:
        async with db.tx(timeout=timedelta(milliseconds=50)) as tx:
            await tx.job.delete_many()
            await tx.execute_raw("SELECT pg_sleep(5)")
    except TransactionExpiredError as error:
        print("expired:", str(error).partition("closed")[1])
    print("deleted:", await db.job.delete_many(where={"status": JobStatus.SUCCEEDED}), "left:", await db.job.count())
    print("attempts left:", await db.attempt.count(), await db.execute_raw("DELETE FROM jobs WHERE number > $1", 0))


if __name__ == "__main__":
    asyncio.run(main())
