"""
`python -m benchmarks.retrieval.quality [--data FOLDER]`: does a search find the right thing?

Stores the turns of long dialogues as memories, asks the questions that go with them, and prints how much of the
evidence is among the first ten hits (recall@10, mean over questions), beside plain BM25 and its even sum with vectors.

The folder has `conversations.json`: {"conversations": [{"id", "turns": [{"id", "text"}], "questions": [{"text",
"evidence"}]}]}, and `embeddings.npz`: "turns" and "questions", in the order of the file. Without it there is nothing to
do, and it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from rich.console import Console
from rich.table import Table

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.postgres.embedded import ensure_embedded
from agentdb.postgres.url import parse_url

__all__ = ["Dialogue", "load_dialogues", "measure_recall"]

MODEL = "dialogues"
AT = 10
_NO_BOOSTS = {"recency": 0, "importance": 0}
_BARS = {"words": 0.60, "words and vectors": 0.68}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns to remember, questions to ask, and their embeddings; *evidence* are places of turns."""

    turns: Sequence[str]
    questions: Sequence[str]
    evidence: Sequence[set[int]]
    turn_vectors: Any
    question_vectors: Any


def load_dialogues(folder: Path) -> list[Dialogue]:
    """Read the dialogues of a folder; questions without evidence are left out."""
    document = json.loads((folder / "conversations.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "embeddings.npz")
    turns, questions = vectors["turns"].astype(np.float32), vectors["questions"].astype(np.float32)
    dialogues, turn, question = [], 0, 0
    for each in document["conversations"]:
        places = {given["id"]: place for place, given in enumerate(each["turns"])}
        evidence = [{places[id] for id in asked["evidence"] if id in places} for asked in each["questions"]]
        kept = [place for place, found in enumerate(evidence) if found]
        dialogues.append(
            Dialogue(
                [given["text"] for given in each["turns"]],
                [each["questions"][place]["text"] for place in kept],
                [evidence[place] for place in kept],
                turns[turn : turn + len(places)],
                questions[[question + place for place in kept]],
            )
        )
        turn += len(places)
        question += len(each["questions"])
    return dialogues


async def measure_recall(dialogues: Sequence[Dialogue], url: str) -> Mapping[str, float]:
    """Return recall@10 of each way of searching, by its name."""
    recalls: dict[str, list[float]] = {}
    for number, dialogue in enumerate(dialogues):
        async with PrismaAgentClient(url, f"dialogue-{number}") as client:
            found = await _searched(client, dialogue)
        found |= await _compared(url, dialogue)
        for name, answers in found.items():
            recalls.setdefault(name, []).extend(
                len(evidence & set(answer[:AT])) / len(evidence)
                for evidence, answer in zip(dialogue.evidence, answers, strict=True)
            )
    return {name: statistics.mean(each) for name, each in recalls.items()}


async def _searched(client: PrismaAgentClient, dialogue: Dialogue) -> dict[str, list[list[int]]]:
    agent = await client.agents.register(AgentConfig(name="listener", category="SUPPORT"))
    ids = await client.memories.store_many(
        MemoryEntry(agent_id=agent.id, content=text, metadata={"place": place}, embedding=vector, embedding_model=MODEL)
        for place, (text, vector) in enumerate(zip(dialogue.turns, dialogue.turn_vectors, strict=True))
    )
    places = {id: place for place, id in enumerate(ids)}
    found: dict[str, list[list[int]]] = {}
    for text, vector in zip(dialogue.questions, dialogue.question_vectors, strict=True):
        near: dict[str, Any] = {"embedding": vector, "embedding_model": MODEL}
        ways: dict[str, dict[str, Any]] = {
            "words": {"query": text},
            "vectors": near,
            "words and vectors": {"query": text, **near},
            "  without boosts": {"query": text, **near, "weights": _NO_BOOSTS},
        }
        for name, options in ways.items():
            hits = await client.memories.search(agent.id, limit=AT, **options)
            found.setdefault(name, []).append([places[hit.id] for hit in hits])
    return found


async def _compared(url: str, dialogue: Dialogue) -> dict[str, list[list[int]]]:
    connection: asyncpg.Connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    try:
        turns = [await _lexemes(connection, text) for text in dialogue.turns]
        questions = [await _lexemes(connection, text) for text in dialogue.questions]
    finally:
        await connection.close()
    worded = np.array([_bm25(turns, question) for question in questions])
    near = dialogue.question_vectors @ dialogue.turn_vectors.T
    return {
        "plain BM25": [_best(scores) for scores in worded],
        "plain BM25 and cosine, min-max, even": [
            _best(_spread(w) + _spread(n)) for w, n in zip(worded, near, strict=True)
        ],
    }


async def _lexemes(connection: asyncpg.Connection, text: str) -> Counter[str]:
    sql = "SELECT lexeme, cardinality(positions) FROM unnest(to_tsvector('english', $1))"
    return Counter({row[0]: row[1] for row in await connection.fetch(sql, text)})


def _bm25(turns: Sequence[Counter[str]], question: Counter[str]) -> list[float]:
    """Return Okapi BM25 of each turn, k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009)."""
    lengths = [turn.total() for turn in turns]
    mean = statistics.mean(lengths)
    scores = [0.0] * len(turns)
    for word in question:
        holders = sum(word in turn for turn in turns)
        weight = math.log(1 + (len(turns) - holders + 0.5) / (holders + 0.5))
        for place, turn in enumerate(turns):
            if word in turn:
                scores[place] += weight * turn[word] * 2.2 / (turn[word] + 1.2 * (0.25 + 0.75 * lengths[place] / mean))
    return scores


def _spread(scores: Any) -> Any:
    return (scores - scores.min()) / max(scores.max() - scores.min(), 1e-9)


def _best(scores: Any) -> list[int]:
    return [int(place) for place in np.argsort(-np.asarray(scores), kind="stable")[:AT]]


async def _main(folder: Path) -> None:
    dialogues = load_dialogues(folder)
    directory = Path(tempfile.mkdtemp(prefix="agentdb-quality-"))
    server = await ensure_embedded(directory, durable=False)
    try:
        recalls = await measure_recall(dialogues, server.url)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    table = Table(title=f"recall@{AT}, {sum(len(d.questions) for d in dialogues)} questions", title_justify="left")
    for heading in ("search by", "recall", "bar", "met"):
        table.add_column(heading, justify="left" if heading == "search by" else "right")
    for name, recall in recalls.items():
        bar = _BARS.get(name)
        met = "" if bar is None else "yes" if recall >= bar else "no"
        table.add_row(name, f"{recall:.3f}", "" if bar is None else f"{bar:.2f}", met)
    Console(width=100).print(table)


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="where the dialogues are")
    folder = parser.parse_args().data
    if not (folder / "conversations.json").is_file():
        Console().print(f"skipped: there are no dialogues in {folder}")
        return
    asyncio.run(_main(folder))


if __name__ == "__main__":
    main()
