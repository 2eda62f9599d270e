"""The demo's second agent: it examines the first, and learns which way of asking finds most."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from agentdb import AgentConfig, Choice, EnhancedAgentBase, Finding, LearningPattern, MetricSeries
from agentdb.cli.demo.agent import Librarian
from agentdb.ids import uuid7_text

__all__ = ["PROMPTS", "Exam", "Examiner", "Outcome"]

PROMPTS: Final = {
    "plain": "{question}",
    "courteous": "Dear librarian, could you please be so kind and tell me which function, class or module of the "
    "Python standard library, among all that you have read, I should import and call when my program has to do this: "
    "{question}",
    "brief": "{beginning}",
}
"""The variants, by name: what is known of each is what the exams have shown."""

_FEWEST_EXAMS: Final = 60
_MOST_EXAMS: Final = 300
_BUCKET: Final = "15m"
_SENTENCE: Final = re.compile(r"(?<=[.])\s")


class Exam(NamedTuple):
    """A question, and the docstring that it was taken from."""

    question: str
    expected: str


class Outcome(NamedTuple):
    """
    What the experiment came to.

    Attributes:
        exams: How many there were.
        last: The last choice; *settled* of it says whether the evidence was enough.
        variants: The prompts with all their evidence, the most confident first.
        series: The share of exams that were passed, in the order of time.
        findings: What recognition makes of the executions, the clearest first.
    """

    exams: int
    last: Choice
    variants: Sequence[LearningPattern]
    series: MetricSeries
    findings: Sequence[Finding]


class Examiner(EnhancedAgentBase):
    """
    Asks the librarian questions whose answers it knows, in the words of one prompt or another.

    Args:
        librarian: Whom it asks, by calling its tool.
        chance: Which exams, and which prompts, are picked by.
    """

    def __init__(self, librarian: Librarian, chance: random.Random | None = None) -> None:
        super().__init__(
            AgentConfig(
                name="examiner",
                category="OPERATIONAL",
                description="Learns which way of asking the librarian finds most.",
                task_timeout_seconds=30,
            )
        )
        self._librarian = librarian
        self._chance = chance or random.Random()
        self._last: Choice | None = None

    def get_capabilities(self) -> Sequence[str]:
        """Return what it can do."""
        return ["examining"]

    async def execute_task(self, task: dict[str, Any]) -> dict[str, Any]:
        """Hold one exam: choose a prompt, ask, and say how the prompt did."""
        exam = Exam(task["question"], task["expected"])
        choice = await self.choose("prompt")  # noted among the settings of this execution
        prompt = choice.content["template"].format(question=exam.question, beginning=_beginning(exam.question))
        answer = await self._librarian.look_up(prompt)
        passed = answer == exam.expected
        await self.outcome(choice, passed)
        self._last = choice
        self.execution.log("passed" if passed else f"expected {exam.expected}, got {answer}")
        if not passed:
            raise LookupError(f"{answer} is not {exam.expected}")
        return {"answer": answer}

    async def experiment(self, watch: Callable[[int, Choice], None]) -> Outcome:
        """Hold exams until one prompt is known to be the best; *watch* is told their number and the last choice."""
        for name, template in PROMPTS.items():
            await self.learn("prompt", {"template": template}, name=name)
        passed: list[bool] = []
        for exam in await self._exams():
            passed.append(await self._is_passed(exam))
            assert self._last is not None  # every exam makes a choice
            watch(len(passed), self._last)
            if self._last.settled and len(passed) >= _FEWEST_EXAMS:
                break
        assert self._last is not None
        variants = await self.client.patterns.list(self.id, pattern_type="prompt")
        findings = await self.client.patterns.recognize(self.id)
        return Outcome(len(passed), self._last, variants, await self._curve(passed), findings)

    async def _is_passed(self, exam: Exam) -> bool:
        try:
            await self.execute_task({"type": "exam", **exam._asdict()})
        except LookupError:  # recorded as failed, with what was answered
            return False
        return True

    async def _curve(self, passed: Sequence[bool]) -> MetricSeries:
        """Record how the exams went, and return it as a series: as if there had been one a minute, the last one now."""
        now, labels = datetime.now(UTC), {"run": uuid7_text()}
        async with self.client.metrics.recorder() as recorder:
            for number, value in enumerate(reversed(passed)):
                at = now - timedelta(minutes=number)
                await recorder.record(self.id, "passed", float(value), "share", labels=labels, recorded_at=at)
        hours = len(passed) / 60
        return await self.client.metrics.series(self.id, "passed", hours=hours, bucket=_BUCKET, labels=labels)

    async def _exams(self) -> list[Exam]:
        """Return questions, in an order of chance: first sentences of what the librarian knows."""
        notes = await self.client.memories.list(self._librarian.id, memory_type="note", limit=1000)
        exams = []
        for note in notes:
            question = _SENTENCE.split(" ".join(note.content.partition("\n\n")[2].split()))[0]
            if 6 <= len(question.split()) <= 14 and note.metadata["kind"] != "method":
                exams.append(Exam(question, note.metadata["name"]))
        self._chance.shuffle(exams)
        return exams[:_MOST_EXAMS]


def _beginning(question: str) -> str:
    return " ".join(question.split()[:3])
