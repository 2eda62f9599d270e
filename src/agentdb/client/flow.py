"""What long exports and imports have in common: one moment, lines from anywhere, and room for others meanwhile."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from agentdb.errors import InvalidInputError

if TYPE_CHECKING:
    from agentdb.client.memory.lines import LineReader
    from agentdb.postgres.driver import Driver

__all__ = ["Breath", "begin_one_moment", "each_line", "first_values"]

_BREATH_SECONDS: Final = 0.004

# Begins the transaction anew as one that keeps its first snapshot, for the same organization. SET TRANSACTION would
# have to come before any query, and behind PgBouncer a transaction begins with one, which names the organization.
# Without sorting a page can only come from the primary key: statistics may know nothing of this organization yet.
_ONE_MOMENT: Final = """
SELECT 'COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; ' || format(
    'SELECT set_config(%L, %L, true), set_config(%L, %L, true), set_config(%L, %L, true)', 'enable_sort', 'off',
    'agentdb.organization_id', current_setting('agentdb.organization_id', true),
    'search_path', current_setting('search_path')
)
"""


async def begin_one_moment(driver: Driver) -> None:
    """Let everything that is read in this transaction, which has done nothing yet, be as it is now."""
    ((script,),) = await driver.fetch(_ONE_MOMENT)
    await driver.script(script)


class Breath:
    """Leaves the event loop to others for a moment when this task has had it for long."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def take(self) -> None:
        """Let others run, if it is time."""
        if time.monotonic() - self._since > _BREATH_SECONDS:
            await sleep(0)
            self._since = time.monotonic()


async def each_line(lines: object) -> AsyncGenerator[object, None]:
    """
    Yield what is in *lines*, an iterable or an asynchronous one; an asynchronous generator is closed at the end.

    Raises:
        InvalidInputError: It is neither.
    """
    if isinstance(lines, AsyncGenerator):
        async with aclosing(lines):  # an export holds a connection until it is closed
            async for line in lines:
                yield line
    elif isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    elif isinstance(lines, Iterable) and not isinstance(lines, str | bytes):
        for line in lines:
            yield line
    else:
        raise InvalidInputError("lines", f"expected lines of text, got {type(lines).__name__}.")


async def first_values(reader: LineReader, source: AsyncGenerator[object, None]) -> dict[str, Any]:
    """Return what the header of an export holds; InvalidInputError when there is none."""
    async for line in source:
        values = reader.read(line)
        if values is not None:
            return values
    reader.end()
    raise AssertionError("an end without a header is refused")
