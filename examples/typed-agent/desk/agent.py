"""The agent. What its methods take and return is typed, also where `@tool` stands above them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from agentdb import AgentCategory, AgentConfig, EnhancedAgentBase, NotFoundError, RetryPolicy, SearchResult, tool

Tone = Literal["brief", "kind"]
TONES: dict[Tone, str] = {"brief": "{answer}", "kind": "Thank you for asking. {answer}"}


class Ticket(TypedDict):
    """What a customer asks; a task is anything that JSON can hold."""

    customer: str
    question: str


@dataclass(frozen=True)
class Reply:
    """What the agent answers."""

    text: str
    tone: Tone
    source_id: str


class SupportAgent(EnhancedAgentBase):
    """Answers tickets from memory, and learns in which tone to do it."""

    def __init__(self, name: str = "support") -> None:
        super().__init__(
            AgentConfig(
                name=name,
                category=AgentCategory.SUPPORT,
                capabilities=["answers"],
                task_timeout_seconds=30,
                retry=RetryPolicy(attempts=2, retry_on=(ConnectionError,)),
            )
        )

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities

    async def execute_task(self, task: Ticket) -> Reply:
        """Answer *task*; the call is recorded as an execution, with the tokens and the cost that are said here."""
        self.execution.model = "small-1"
        found = await self.look_up(task["question"], limit=3)
        if not found:
            self.execution.log("nothing is known", level="warning")
            raise NotFoundError("memory", task["question"])
        choice = await self.choose("tone")
        tone: Tone = "kind" if choice.pattern.name == "kind" else "brief"
        self.execution.usage.add(input=len(task["question"]), output=len(found[0]))
        await self.remember(f"{task['customer']} asked: {task['question']}", importance=0.2, kind="question")
        await self.record_metric("answer_length", len(found[0]), "characters")
        await self.outcome(choice, success=True)
        return Reply(TONES[tone].format(answer=found[0]), tone, choice.id)

    @tool
    async def look_up(self, question: str, limit: int = 5) -> list[str]:
        """Return what the desk knows about a question, best first."""
        return [hit.content for hit in await self._facts(question, limit)]

    @tool(description="Notes a fact for later answers, and returns the id it is kept under.")
    async def note(self, fact: str, importance: float = 0.5) -> str:
        return await self.remember(fact, importance, kind="fact")

    async def learn_tones(self) -> None:
        """Offer both tones to `choose`; doing it again changes nothing."""
        for tone, template in TONES.items():
            await self.learn("tone", {"template": template}, name=tone, prior=0.5)

    async def _facts(self, question: str, limit: int) -> SearchResult:
        return await self.recall(question, limit, where={"kind": "fact"}, weights={"recency": 0.1})
