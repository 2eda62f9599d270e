"""Concurrent calls travel together; a lone one pays nothing for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from agentdb.client.bursts import Alone, Bursts


class Sender:
    """
    Records what travels together; each send takes a turn and lasts until it is released.

    Attributes:
        sent: The items of each send.
        most_on_its_way: How many sends there were at once, at most.
        is_open: Whether a send ends at once instead.
    """

    def __init__(self, *, is_open: bool = False) -> None:
        self.sent: list[list[int]] = []
        self.most_on_its_way = 0
        self.is_open = is_open
        self._on_its_way = 0
        self._gate = asyncio.Semaphore(0)

    def release(self, sends: int = 1) -> None:
        for _ in range(sends):
            self._gate.release()

    async def __call__(self, items: list[int]) -> list[int | BaseException]:
        self.sent.append(items)
        self._on_its_way += 1
        self.most_on_its_way = max(self.most_on_its_way, self._on_its_way)
        try:
            if not self.is_open:
                await asyncio.sleep(0)
                await self._gate.acquire()
            return [item * 10 for item in items]
        finally:
            self._on_its_way -= 1


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """No exception is left that nobody took: the event loop would complain when it is collected."""
    yield
    gc.collect()


async def turns(count: int = 5) -> None:
    """Let everything that is ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def started(bursts: Bursts[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(bursts.put(item)) for item in items]


def step(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run *coroutine*, which must not wait for anything, to its end."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    result: int = stopped.value.value
    return result


async def test_a_lone_call_goes_at_once_in_its_own_task() -> None:
    """No other task, and not a turn of the event loop."""
    sender = Sender(is_open=True)
    bursts = Bursts(sender)
    before = asyncio.all_tasks()

    assert step(bursts.put(1)) == 10
    assert step(bursts.put(2)) == 20
    assert sender.sent == [[1], [2]]
    assert asyncio.all_tasks() == before


async def test_calls_gather_while_one_is_on_its_way() -> None:
    """They go together when it ends, and each gets its own result."""
    sender = Sender()
    bursts = Bursts(sender)
    calls = started(bursts, 1, 2, 3, 4)
    await turns()
    assert sender.sent == [[1]]

    sender.release()
    await turns()
    assert sender.sent == [[1], [2, 3, 4]]
    calls += started(bursts, 5)
    sender.release(2)

    assert await asyncio.gather(*calls) == [10, 20, 30, 40, 50]
    assert sender.sent == [[1], [2, 3, 4], [5]]
    assert sender.most_on_its_way == 1


async def test_a_burst_holds_no_more_than_it_may() -> None:
    """The rest goes in the next one."""
    sender = Sender()
    bursts = Bursts(sender, at_most=2)
    calls = started(bursts, 1, 2, 3, 4, 5, 6)
    sender.release(4)

    assert await asyncio.gather(*calls) == [10, 20, 30, 40, 50, 60]
    assert sender.sent == [[1], [2, 3], [4, 5], [6]]
    assert sender.most_on_its_way == 1


async def test_busy_callers_all_travel_in_each_burst() -> None:
    """Whoever just got a result is in the next burst, not in the one after it: half as many sends."""
    sizes = []

    async def send(items: list[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        return items

    bursts: Bursts[int, int] = Bursts(send)

    async def caller() -> None:
        for item in range(20):
            await bursts.put(item)

    await asyncio.gather(*(caller() for _ in range(8)))

    assert sizes[0] == 1
    assert set(sizes[1:-1]) == {8}
    assert sum(sizes) == 160


async def test_after_a_burst_a_lone_call_goes_at_once_again() -> None:
    """The background task is gone when there is nothing for it."""
    sender = Sender()
    bursts = Bursts(sender)
    sender.release(10)
    assert await asyncio.gather(*started(bursts, 1, 2)) == [10, 20]
    await turns()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    sender.is_open = True
    assert step(bursts.put(3)) == 30


async def test_an_exception_among_the_results_is_raised_to_its_caller_alone() -> None:
    """The others have their results."""
    wrong = KeyError("two")

    async def send(items: list[int]) -> list[int | BaseException]:
        await asyncio.sleep(0)
        return [wrong if item == 2 else item for item in items]

    bursts: Bursts[int, int] = Bursts(send)

    assert await asyncio.gather(*started(bursts, 1, 2, 3), return_exceptions=True) == [1, wrong, 3]
    with pytest.raises(KeyError, match="two"):
        await bursts.put(2)


class PlainError(Exception):
    """As most are."""


class TellingError(Exception):
    """Makes its text of its argument, which copying it by its text would do twice."""

    def __init__(self, number: int) -> None:
        super().__init__(f"number {number}")
        self.number = number


class StubbornError(Exception):
    """Cannot be copied at all."""

    def __new__(cls, *arguments: object) -> StubbornError:
        if len(arguments) != 2:
            raise TypeError("two arguments, please")
        return super().__new__(cls, *arguments)

    def __init__(self, first: object, second: object) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize(
    ("make", "is_copied"),
    [
        (lambda: PlainError("no"), True),
        (lambda: TellingError(7), True),
        (lambda: OSError(2, "no such file"), True),
        (lambda: StubbornError(1, 2), False),
    ],
)
async def test_what_a_send_raises_reaches_every_caller_of_the_burst(
    make: Callable[[], Exception], is_copied: bool
) -> None:
    """To each a copy with the same type, text, attributes, cause and notes; the next burst goes all the same."""
    original = make()
    original.add_note("seen in a test")

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        if 2 in items:
            raise original from LookupError("the cause")
        return items

    bursts: Bursts[int, int] = Bursts(send, at_most=3)

    first, *failed, last = await asyncio.gather(*started(bursts, 1, 2, 3, 4, 5), return_exceptions=True)

    assert (first, last) == (1, 5)
    for error in failed:
        assert isinstance(error, Exception)
        assert type(error) is type(original)
        assert str(error) == str(original)
        assert vars(error) == vars(original)
        assert isinstance(error.__cause__, LookupError)
    assert len(set(map(id, failed))) == (3 if is_copied else 1)
    if is_copied:
        original.add_note("more")
        assert sorted(len(vars(error)["__notes__"]) for error in failed) == [1, 1, 2]


async def test_a_wrong_number_of_results_is_an_error() -> None:
    """Nobody gets the result of another."""

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return items[1:]

    bursts: Bursts[int, int] = Bursts(send)

    outcomes = await asyncio.gather(*started(bursts, 1, 2, 3), return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == [
        "send returned 0 outcomes for 1 items",
        "send returned 1 outcomes for 2 items",
        "send returned 1 outcomes for 2 items",
    ]


async def test_a_caller_that_is_cancelled_while_it_waits_does_not_travel() -> None:
    """The others do."""
    sender = Sender()
    bursts = Bursts(sender)
    calls = started(bursts, 1, 2, 3)
    await turns()
    calls[1].cancel()
    sender.release(2)

    assert await asyncio.gather(*calls[::2]) == [10, 30]
    assert calls[1].cancelled()
    assert sender.sent == [[1], [3]]


async def test_a_caller_that_is_cancelled_on_the_way_is_not_missed() -> None:
    """The burst goes on, and its result or error is dropped in silence."""
    sender = Sender()
    bursts = Bursts(sender)
    calls = started(bursts, 1, 2, 3)
    sender.release()
    await turns()
    assert sender.sent == [[1], [2, 3]]
    calls[2].cancel()
    sender.release()

    assert await asyncio.gather(*calls[:2]) == [10, 20]
    assert calls[2].cancelled()


async def test_cancelling_the_first_caller_cancels_its_own_send_only() -> None:
    """Those who gathered meanwhile go all the same."""
    sender = Sender()
    bursts = Bursts(sender)
    calls = started(bursts, 1, 2, 3)
    await turns()
    calls[0].cancel()
    sender.release()

    assert await asyncio.gather(*calls[1:]) == [20, 30]
    assert calls[0].cancelled()
    assert sender.sent == [[1], [2, 3]]


async def test_when_all_are_cancelled_no_task_is_left() -> None:
    """Nothing is sent for nobody, and the next call goes at once."""
    sender = Sender()
    bursts = Bursts(sender)
    calls = started(bursts, 1, 2, 3)
    await turns()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sender.sent == [[1]]
    sender.is_open = True
    assert step(bursts.put(4)) == 40


async def test_a_cancellation_within_a_send_concerns_its_burst_only() -> None:
    """A send that awaits what others cancelled is no reason to leave the rest behind."""

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        if 2 in items:
            raise asyncio.CancelledError
        return items

    bursts: Bursts[int, int] = Bursts(send, at_most=1)
    calls = started(bursts, 1, 2, 3)
    await asyncio.wait(calls)

    assert [call.cancelled() for call in calls] == [False, True, False]
    assert calls[2].result() == 3


async def test_when_the_background_task_is_cancelled_nobody_waits_for_ever() -> None:
    """As at the end of asyncio.run, for those who were not cancelled themselves."""
    sender = Sender()
    bursts = Bursts(sender, at_most=2)
    calls = started(bursts, 1, 2, 3, 4)
    sender.release()
    await turns()
    (background,) = asyncio.all_tasks() - {*calls, asyncio.current_task()}
    background.cancel()
    await asyncio.wait([*calls, background])

    assert [call.cancelled() for call in calls] == [False, True, True, True]
    sender.is_open = True
    assert step(bursts.put(5)) == 50


async def test_a_background_task_that_is_cancelled_before_it_begins_leaves_nobody_waiting() -> None:
    """Nothing of it runs, yet its callers end and the next call goes at once."""
    sender = Sender()
    bursts = Bursts(sender)
    others = asyncio.all_tasks()

    async def first() -> None:
        await bursts.put(1)
        (background,) = asyncio.all_tasks() - {*others, *calls, asyncio.current_task()}
        background.cancel()

    calls: list[asyncio.Task[Any]] = [asyncio.create_task(first())]
    calls += started(bursts, 2, 3)
    sender.release()
    await asyncio.wait(calls)

    assert [call.cancelled() for call in calls] == [False, True, True]
    assert sender.sent == [[1]]
    sender.is_open = True
    assert step(bursts.put(4)) == 40


def test_an_interrupt_ends_the_burst_and_the_program() -> None:
    """KeyboardInterrupt in the background is not swallowed, and leaves no caller waiting."""

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        if 2 in items:
            raise KeyboardInterrupt
        return items

    async def main() -> None:
        bursts: Bursts[int, int] = Bursts(send)
        await asyncio.gather(*started(bursts, 1, 2, 3))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def test_works_in_a_loop_after_another_was_closed() -> None:
    """Even when calls were under way in the first one: they are forgotten with it."""
    sent = []

    async def send(items: list[int]) -> list[int]:
        sent.append(items)
        await asyncio.sleep(0.01 if items == [3] else 60)
        return items

    bursts: Bursts[int, int] = Bursts(send)

    async def give_up() -> None:
        calls = started(bursts, 1, 2)
        await turns()
        assert not any(call.done() for call in calls)

    async def go_on() -> int:
        return await asyncio.wait_for(bursts.put(3), 5)

    asyncio.run(give_up())
    assert asyncio.run(go_on()) == 3
    assert sent == [[1], [3]]
    assert len(bursts._lanes) == 1


def test_works_in_a_loop_after_another_was_dropped_with_everything_in_it(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that was closed without ending its tasks cannot be served any more, and does no harm."""

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(60 if 3 not in items else 0)
        return items

    bursts: Bursts[int, int] = Bursts(send)

    async def leave() -> list[asyncio.Task[int]]:
        calls = started(bursts, 1, 2)
        await turns()
        return calls

    loop = asyncio.new_event_loop()
    calls = loop.run_until_complete(leave())
    loop.close()
    del calls
    gc.collect()  # unfinished coroutines are closed here: an exception in one would fail this test

    assert asyncio.run(bursts.put(3)) == 3
    assert "Task was destroyed" in caplog.text  # those that this test left, by asyncio itself


CALLER: ContextVar[str] = ContextVar("CALLER")


async def test_a_burst_knows_nothing_of_its_callers() -> None:
    """A lone call runs in its caller's context; what travels together belongs to no caller."""
    seen: list[tuple[int, str]] = []

    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        seen.extend((item, CALLER.get("nobody")) for item in items)
        return items

    bursts: Bursts[int, int] = Bursts(send)

    async def caller(item: int) -> None:
        CALLER.set(f"caller {item}")
        await bursts.put(item)

    await asyncio.gather(*(caller(item) for item in range(3)))

    assert seen == [(0, "caller 0"), (1, "nobody"), (2, "nobody")]


async def test_chaos_loses_nothing() -> None:
    """Random cancellations and errors: every caller ends, with its own result, its own error, or cancelled."""
    bad = set(range(0, 400, 7))

    async def send(items: list[int]) -> Sequence[int | BaseException]:
        await asyncio.sleep(0.0001 * (items[0] % 3))
        if items[0] % 11 == 0:
            raise PlainError(str(items[0]))
        return [PlainError(str(item)) if item in bad else item * 10 for item in items]

    bursts: Bursts[int, int] = Bursts(send, at_most=9)

    async def caller(item: int) -> int:
        await asyncio.sleep(0.0001 * (item * 7919 % 50))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.0002 if item % 5 == 0 else 5):
                return await bursts.put(item)
        return -1

    outcomes = await asyncio.gather(*(caller(item) for item in range(400)), return_exceptions=True)

    for item, outcome in enumerate(outcomes):
        assert isinstance(outcome, PlainError) or outcome == item * 10 or outcome == -1
    assert sum(outcome == -1 for outcome in outcomes) <= 80
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_put_costs_microseconds() -> None:
    """Generous limits, for a busy machine: 0.5 µs for a lone one was measured, and 3 µs for one in a burst of 16."""
    bursts: Bursts[int, int] = Bursts(_echo)
    alone = min([await _seconds_of(_puts(bursts, 2000)) for _ in range(5)]) / 2000
    sixteen = min([await _seconds_of(*(_puts(bursts, 200, True) for _ in range(16))) for _ in range(5)]) / 3200

    assert alone < 20e-6
    assert sixteen < 50e-6


async def _echo(items: list[int]) -> list[int]:
    if items[0] < 0:
        await asyncio.sleep(0)
    return items


async def _puts(bursts: Bursts[int, int], count: int, yields: bool = False) -> None:
    for _ in range(count):
        await bursts.put(-1 if yields else 1)


async def _seconds_of(*work: Coroutine[Any, Any, None]) -> float:
    start = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - start


async def test_a_send_that_takes_too_long_is_overtaken() -> None:
    """What waits behind it goes without it, and it still ends as it should."""
    gate = asyncio.Event()
    sent: list[list[str]] = []

    async def send(items: list[str]) -> list[str]:
        sent.append(items)
        if "slow" in items:
            await gate.wait()
        return items

    bursts: Bursts[str, str] = Bursts(send, patience_seconds=0.02)
    slow = asyncio.create_task(bursts.put("slow"))
    await asyncio.sleep(0)
    assert list(await asyncio.wait_for(asyncio.gather(bursts.put("a"), bursts.put("b")), 2)) == ["a", "b"]
    assert await asyncio.wait_for(bursts.put("c"), 2) == "c"
    assert sent == [["slow"], ["a", "b"], ["c"]]
    gate.set()
    assert await slow == "slow"


async def test_alone_everyone_sends_by_himself() -> None:
    """In the caller's own task and context, at the same time as others; an error is raised to its caller alone."""
    seen: list[list[int]] = []

    async def send(items: list[int]) -> list[int | BaseException]:
        seen.append(items)
        await asyncio.sleep(0)
        return [ValueError(item) if item < 0 else 2 * item for item in items]

    alone: Alone[int, int] = Alone(send)
    results = await asyncio.gather(alone.put(1), alone.put(-1), alone.put(3), return_exceptions=True)

    assert seen == [[1], [-1], [3]]
    assert (results[0], type(results[1]), results[2]) == (2, ValueError, 6)
