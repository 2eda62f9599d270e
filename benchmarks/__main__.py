"""`python -m benchmarks [--quick] [--rounds N] [--only PART] [--memories N] [--memory] [--no-node] [--json FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.status import Status

import benchmarks
from benchmarks.cases import make_cases
from benchmarks.database import ORGANIZATIONS, Database, open_database
from benchmarks.engine.cases import make_cases as make_engine_cases
from benchmarks.engine.cold import measure_cold_plans
from benchmarks.engine.database import AUTHORS, POSTS_EACH, EngineDatabase, open_engine_database
from benchmarks.engine.memory import MOST_SHAPES, measure_memory, resident_mb
from benchmarks.harness import Case, Measurement, compare
from benchmarks.imports import NOTES as IMPORT_NOTES
from benchmarks.imports import measure_import
from benchmarks.metrics.cases import measure_large_metrics, measure_metrics
from benchmarks.placement import Placement
from benchmarks.prisma_node import PLAIN, PREPARED
from benchmarks.report import Section, print_table, write_json
from benchmarks.retrieval.accuracy import measure_accuracy
from benchmarks.retrieval.cases import make_cases as make_retrieval_cases
from benchmarks.retrieval.database import open_retrieval_database
from benchmarks.retrieval.large import measure_large
from benchmarks.security import NOTES as SECURITY_NOTES
from benchmarks.security import measure_security
from benchmarks.startup import measure_startup
from benchmarks.walls import NOTES as WALL_NOTES
from benchmarks.walls import measure_walls

PARTS = ("client", "retrieval", "metrics", "security", "import", "engine", "start-up")
LARGE = "large"
NOTES = (
    "raw: plain hand-written SQL on a dedicated asyncpg connection of the same role (agentdb_app, row-level security "
    "on, tenant set once); it returns bare records, agentdb models. Its INSERT has no ON CONFLICT; ids, hashes and "
    "JSON are made by both sides. COPY runs as the owner, since it is refused where row-level security applies."
)
RETRIEVAL_NOTES = (
    "384-d embeddings in clusters, ten organizations with an agent each. raw: SQL by hand as the owner of the tables, "
    "whom row-level security does not bind; iterative HNSW, ef 100; words joined by OR, ts_rank, GIN. Stores: the raw "
    "side as the application role, COPY as the owner; at once: clients on one processor, server on another."
)
ENGINE_NOTES = (
    f"{AUTHORS:,} authors with {POSTS_EACH} posts each; synchronous_commit is off there. raw: hand-written SQL "
    "of the same columns on dedicated asyncpg connections, which returns bare records; engine, generated models. "
    "At once: in so many tasks, each with calls one after the other; clients on one processor, server on another. "
    "Cold plan: how much longer a call takes after its plan was forgotten."
)


@dataclass(frozen=True, slots=True)
class Extent:
    """What is measured, and how much."""

    parts: Sequence[str]
    rounds: int
    memories: int
    embedded_memories: int
    large_memories: int
    points: int
    large_points: int
    sealed_rows: int
    imported_rows: int
    searches: int
    starts: int
    cold_plans: int
    shapes: int
    calls: int
    with_node: bool
    warm_up_ms: int


def main() -> None:
    """Measure, and print one table."""
    arguments = _parse()
    asyncio.run(_measure(_extent(arguments), arguments.json))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds only: shows that it runs, measures little")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per operation (default 15)")
    parts = (*PARTS, LARGE)
    parser.add_argument("--only", choices=parts, action="append", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--memories", type=int, metavar="N", default=10_000, help="rows to begin with (default 10000)")
    parser.add_argument(
        "--memory", action="store_true", help="100,000 shapes and 1,000,000 calls for the memory: minutes more"
    )
    parser.add_argument("--no-node", action="store_true", help="leave Prisma 7 on Node out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all that was measured to FILE")
    return parser.parse_args()


def _extent(arguments: argparse.Namespace) -> Extent:
    is_quick = arguments.quick
    return Extent(
        parts=arguments.only or PARTS,
        rounds=arguments.rounds or (3 if is_quick else 15),
        memories=arguments.memories,
        embedded_memories=5000 if is_quick else 100_000,
        large_memories=20_000 if is_quick else 1_000_000,
        points=20_000 if is_quick else 1_000_000,
        large_points=100_000 if is_quick else 10_000_000,
        sealed_rows=500 if is_quick else 10_000,
        imported_rows=2000 if is_quick else 100_000,
        searches=10 if is_quick else 100,
        starts=3 if is_quick else 9,
        cold_plans=10 if is_quick else 100,
        shapes=MOST_SHAPES if arguments.memory else 200 if is_quick else 10_000,
        calls=1_000_000 if arguments.memory else 1000 if is_quick else 50_000,
        with_node=not arguments.no_node,
        warm_up_ms=50 if is_quick else 1000,
    )


async def _measure(extent: Extent, json_file: Path | None) -> None:
    console = Console()
    started = time.perf_counter()
    client: Section = []
    engine: Section = []
    retrieval: Section = []
    large: Section = []
    metrics: Section = []
    security: Section = []
    imports: Section = []
    engine_facts: Mapping[str, str] = {}
    with Console(stderr=True).status("starting PostgreSQL") as status:
        async with open_database(extent.memories) as database:
            if "client" in extent.parts:
                client = await _compare_all(make_cases(database), extent.rounds, status, database.placement)
            if "retrieval" in extent.parts:
                retrieval = await _measure_retrieval(database, extent, status)
            if "metrics" in extent.parts:
                metrics = await measure_metrics(
                    database, points=extent.points, rounds=extent.rounds, tell=status.update
                )
            if "security" in extent.parts:
                walls = await measure_walls(database, rounds=extent.rounds, tell=status.update)
                encryption = await measure_security(
                    database, rows=extent.sealed_rows, rounds=extent.rounds, tell=status.update
                )
                security = [*walls, *encryption]
            if "import" in extent.parts:
                imports = await measure_import(database, rows=extent.imported_rows, tell=status.update)
            if LARGE in extent.parts:
                points = await measure_large_metrics(
                    database, points=extent.large_points, rounds=extent.rounds, tell=status.update
                )
                memories = await measure_large(
                    database.server,
                    database.placement,
                    memories=extent.large_memories,
                    rounds=extent.rounds,
                    tell=status.update,
                )
                large = [*points, *memories]
            if "engine" in extent.parts:
                status.update("engine: clients are generated")
                opened = open_engine_database(
                    database.server, database.placement, with_node=extent.with_node, warm_up_ms=extent.warm_up_ms
                )
                async with opened as engine_database:
                    engine, engine_facts = await _measure_engine(engine_database, database.placement, extent, status)
        status.update("start-up")
        startup = measure_startup(times=extent.starts) if "start-up" in extent.parts else []
    facts = {
        "PostgreSQL": f"{database.version}, embedded, durable; {extent.memories:,} memories, "
        f"{ORGANIZATIONS} organizations",
        "Python": f"{platform.python_version()}, asyncpg {asyncpg.__version__}, prisma {metadata.version('prisma')}",
        "machine": f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; {database.placement.description}",
        "rounds": f"{extent.rounds}, in {time.perf_counter() - started:.0f} s; ratio: the median of the rounds'",
        "sides": NOTES,
        **({"retrieval": f"{extent.embedded_memories:,} memories; {RETRIEVAL_NOTES}"} if retrieval or large else {}),
        **({"walls": WALL_NOTES, "encryption": SECURITY_NOTES} if security else {}),
        **({"import": IMPORT_NOTES} if imports else {}),
        **engine_facts,
    }
    parts = (client, retrieval, metrics, security, imports, large, engine, startup)
    sections = [section for section in parts if section]
    print_table(sections, facts, console, other=PLAIN)
    if json_file is not None:
        write_json(sections, facts, json_file)


async def _compare_all(cases: Iterable[Case], rounds: int, status: Status, placement: Placement) -> list[Measurement]:
    measured = []
    for case in cases:
        status.update(case.name.strip())
        if case.is_throughput:
            placement.apart()
        measured.append(await compare(case, rounds=rounds))
        placement.together()
    return measured


async def _measure_retrieval(database: Database, extent: Extent, status: Status) -> Section:
    status.update(f"{extent.embedded_memories:,} memories with embeddings")
    async with open_retrieval_database(database.server, database.placement, extent.embedded_memories) as opened:
        status.update("recall")
        accuracy = await measure_accuracy(opened, searches=extent.searches)
        cases = await _compare_all(make_retrieval_cases(opened), extent.rounds, status, database.placement)
    return [*cases, *accuracy]


async def _measure_engine(
    database: EngineDatabase, placement: Placement, extent: Extent, status: Status
) -> tuple[Section, Mapping[str, str]]:
    operations = await _compare_all(make_engine_cases(database), extent.rounds, status, placement)
    status.update("cold plans")
    cold = await measure_cold_plans(database, times=extent.cold_plans)
    status.update(f"{extent.shapes:,} queries of different shapes, {extent.calls:,} of one")
    memory = await measure_memory(database, shapes=extent.shapes, calls=extent.calls)
    facts = {"engine": ENGINE_NOTES, "memory": f"{resident_mb():.0f} MB resident after all these calls"}
    if database.node is None:
        facts[PLAIN] = f"skipped: {database.no_node}"
    else:
        quicker = [f"{each.name.strip()} {each.others[PREPARED].quicker:.1f}x" for each in operations if each.others]
        facts[PLAIN] = (
            f"{database.node.description}; the same server, data and inputs; its adapter as the manual has it"
        )
        facts[f"quicker than {PREPARED} (an option of its adapter)"] = ", ".join(quicker)
    return [*operations, *cold, *memory], facts


if __name__ == "__main__":
    main()
