"""`agentdb demo`: an agent that reads real text, remembers it and answers from memory; another one examines it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentdb import PrismaAgentClient, Settings
    from agentdb.cli.demo.agent import Librarian, Question
    from agentdb.cli.demo.exam import Examiner
    from agentdb.cli.demo.show import Show

__all__ = ["demo"]


def demo(
    ask: Annotated[
        list[str] | None, typer.Option(metavar="QUESTION", help="Only ask it this; may be given several times.")
    ] = None,
) -> None:
    """
    Watch an agent read, remember, answer and learn.

    It reads Python's own documentation and answers questions from memory; another agent examines it and learns how to
    ask best. Uses DATABASE_URL and ORGANIZATION_ID if they are set, else a PostgreSQL server of its own. Run it again
    and it goes on with what it knows: nothing is stored twice.

    Examples:
        agentdb demo
        agentdb demo --ask "How do I create a ZIP archive?"
    """
    asyncio.run(_demo(ask or []))


async def _demo(questions: list[str]) -> None:
    from agentdb import Settings
    from agentdb.cli.demo.agent import QUESTIONS, Librarian, Question
    from agentdb.cli.demo.exam import Examiner
    from agentdb.cli.demo.show import Show

    settings = Settings.load()
    show = Show()
    with show.waiting("opening the database"):
        client = await _connected(settings)
    try:
        await show.database(client, settings)
        agent = Librarian(show.watch)
        await agent.initialize(client)
        if questions:
            await _ask(agent, [Question(text) for text in questions], show)
            return
        await _read(agent, show)
        await _ask(agent, QUESTIONS, show)
        examiner = Examiner(agent)
        await examiner.initialize(client)
        await _examine(examiner, show)
        await _report(agent, examiner, show)
        show.next_steps(settings)
    finally:
        await client.disconnect()


async def _connected(settings: Settings) -> PrismaAgentClient:
    from agentdb import PrismaAgentClient
    from agentdb.embedders import SpellingEmbedder
    from agentdb.postgres.embedded import ensure_embedded

    # The client would start the embedded server too, and say so; here the heading says it.
    url = settings.database_url or (await ensure_embedded(settings.data_dir)).url
    client = PrismaAgentClient(url, embedder=SpellingEmbedder(), settings=settings)
    await client.connect()
    return client


async def _read(agent: Librarian, show: Show) -> None:
    show.heading("It reads the docstrings of Python's standard library")
    with show.progress():
        result = await agent.execute_task({"read": "the standard library"})
    show.read(result)


async def _ask(agent: Librarian, questions: list[Question], show: Show) -> None:
    show.heading("It answers questions from memory, by words and by spelling")
    show.score()
    for question in questions:
        show.answer(question, await agent.execute_task(question._asdict()))


async def _examine(examiner: Examiner, show: Show) -> None:
    show.heading("A second agent examines the first, and learns which prompt finds most")
    with show.progress():
        outcome = await examiner.experiment(show.watch_exams)
    show.experiment(outcome)


async def _report(agent: Librarian, examiner: Examiner, show: Show) -> None:
    show.heading("What was recorded of both, of the last 24 hours")
    client = agent.client
    show.figures(await client.executions.stats(hours=24), await client.tools.overview())
    show.metrics(await client.metrics.summary(agent.id))
    show.heading("What is in the database now, and the time per operation")
    with show.waiting("loading the Prisma client"):
        counts = await agent.count_rows()
    show.summary(counts, agent.times)
