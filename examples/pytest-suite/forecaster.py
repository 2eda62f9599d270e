"""An agent that tells the weather, and asks for it once an hour at most."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from agentdb import AgentConfig, CommitUnknownError, EnhancedAgentBase, MemoryEntry, tool

FRESH = timedelta(hours=1)


def utc_now() -> datetime:
    """Return the moment that it is."""
    return datetime.now(UTC)


class Forecaster(EnhancedAgentBase):
    """
    Answers ``{"city": "Oslo"}`` with a forecast.

    Args:
        ask_weather: What knows the weather of a city; an HTTP service in earnest.
        now: What knows the time. Tests give their clock.
    """

    def __init__(self, ask_weather: Callable[[str], Awaitable[str]], now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(AgentConfig(name="forecaster", category="OPERATIONAL"))
        self._ask_weather = ask_weather
        self._now = now

    def get_capabilities(self) -> list[str]:
        return ["weather"]

    async def execute_task(self, task: Mapping[str, str]) -> str:
        city = task["city"]
        known = await self.client.memories.search(self.id, where={"city": city}, memory_type="forecast", limit=1)
        if known:
            return known[0].memory.content
        forecast = await self.forecast(city)
        await self._keep(city, forecast)
        return forecast

    @tool(description="Ask for the weather of a city.")
    async def forecast(self, city: str) -> str:
        return await self._ask_weather(city)

    async def _keep(self, city: str, forecast: str) -> None:
        entry = MemoryEntry(
            agent_id=self.id,
            content=forecast,
            metadata={"city": city},
            memory_type="forecast",
            expires_at=self._now() + FRESH,
        )
        try:
            await self.client.memories.store(entry)
        except CommitUnknownError:
            # Perhaps it is stored, perhaps not. What is equal is stored once, so it can be sent again.
            await self.client.memories.store(entry)
