"""What of a payload is kept: redaction, then the cut to size."""

from __future__ import annotations

import asyncio
import copy
import functools
import logging
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import ConfigurationError, InvalidInputError
from agentdb.client.execution.cutting import cut_json, cut_text
from agentdb.client.execution.payloads import Payloads
from agentdb.client.execution.rows import Failure, failure_of
from agentdb.validation import json_text, parse_json

LEFT_OUT = "[agentdb: redaction failed, left out]"
SECRET = "hunter2"

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=400)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(texts, inner, max_size=30),
    max_leaves=200,
)
sizes = st.integers(256, 3000)


def _size(text: str) -> int:
    return len(text.encode())


@given(values, sizes)
def test_a_value_is_json_of_that_size_and_stays_when_it_fits(value: Any, at_most: int) -> None:
    """Cutting again, or an equal value, gives the same; the value itself is left alone; an object stays one."""
    before = copy.deepcopy(value)
    payloads = Payloads(None, at_most)

    kept = payloads.json(value, "task")

    assert _size(kept) <= at_most
    assert (kept == json_text(value)) == (_size(json_text(value)) <= at_most)
    assert (kept == json_text(value)) or "[agentdb: cut" in kept
    assert payloads.json(parse_json(kept), "task") == kept == payloads.json(before, "task")
    assert value == before
    assert isinstance(parse_json(payloads.json(value, "task")), dict) or not isinstance(value, dict)


@given(texts.map(lambda text: text * 20), sizes)
def test_a_text_is_valid_and_of_that_size(text: str, at_most: int) -> None:
    """It begins as it did, and says how long it was when it was cut."""
    kept = cut_text(text, at_most)

    assert _size(kept) <= at_most
    assert cut_text(kept, at_most) == kept
    if _size(text) <= at_most:
        assert kept == text
    else:
        beginning, mark = kept.rsplit("… ", 1)
        assert text.startswith(beginning)
        assert mark == f"[agentdb: cut, it had {len(text):,} characters]"
        assert _size(kept) > at_most - 4  # no room for one more character


def test_what_is_shortened_first() -> None:
    """Long texts; then long lists and objects, while short texts stay; keys stay."""
    texts = cut_json(*_with_text({"a": "x" * 10_000, "b": "short", "c": [1, "y" * 9_000]}), 2048)
    assert parse_json(texts)["b"] == "short"
    assert parse_json(texts)["a"].endswith("x… [agentdb: cut, it had 10,000 characters]")
    assert parse_json(texts)["c"][1].endswith("y… [agentdb: cut, it had 9,000 characters]")
    assert _size(texts) > 1024

    items = parse_json(cut_json(*_with_text({"n": 1, "list": [{"i": i} for i in range(5_000)]}), 2048))
    assert items["n"] == 1
    assert items["list"][:2] == [{"i": 0}, {"i": 1}]
    assert items["list"][-1] == "… [agentdb: cut, it had 5,000 items]"

    keys = parse_json(cut_json(*_with_text({f"key{i:05}": i for i in range(5_000)}), 2048))
    assert keys["key00000"] == 0
    assert keys["… [agentdb: cut]"] == "it had 5,000 keys"


def _nested(wrap: Callable[[Any], Any], times: int, innermost: Any = None) -> Any:
    return functools.reduce(lambda inner, _: wrap(inner), range(times), innermost)


@pytest.mark.parametrize(
    "value",
    [
        {"k" * 5_000: 1},
        [[[["x" * 40] * 4] * 4] * 4] * 4,
        "\x01" * 5_000,
        "😀" * 5_000,
        ['"\\' * 40] * 300,
        [10**4000] * 3,
        dict.fromkeys(range(5_000), "v"),
        {str(index): {"x": None} for index in range(5_000)},
        ("tuple",) * 5_000,
        _nested(lambda inner: {"k": inner, "t": "y" * 1000}, 800),
        _nested(lambda inner: [inner], 900, "x" * 5_000),
        _nested(lambda inner: [inner] * 4, 6),
    ],
    ids=[
        "key",
        "broad",
        "escapes",
        "emoji",
        "quotes",
        "numbers",
        "number keys",
        "objects",
        "tuple",
        "deep",
        "lists",
        "tree",
    ],
)
@pytest.mark.parametrize("at_most", [256, 1024, 4096])
def test_whatever_makes_it_large(value: Any, at_most: int) -> None:
    """It comes out as JSON of that size with a mark."""
    kept = Payloads(None, at_most).json(value, "task")

    assert _size(kept) <= at_most
    assert "[agentdb: cut" in kept
    parse_json(kept)


def test_equal_objects_are_cut_alike() -> None:
    """Whatever the order of their keys: a retried start has to meet an equal task."""
    value = {f"key{index}": index for index in range(5_000)}

    assert cut_json(*_with_text(value), 1024) == cut_json(*_with_text(dict(reversed(value.items()))), 1024)


def _with_text(value: Any) -> tuple[Any, str]:
    return value, json_text(value)


def _hide(value: Any, field: str) -> Any:
    """Redact the secret anywhere in a value."""
    if isinstance(value, str):
        return value.replace(SECRET, "***")
    if isinstance(value, dict):
        return {key: _hide(item, field) for key, item in value.items()}
    return [_hide(item, field) for item in value] if isinstance(value, list) else value


@given(values, sizes)
def test_redaction_goes_before_the_cut(value: Any, at_most: int) -> None:
    """The hook sees everything, so no half of a secret is left."""
    seen: list[tuple[Any, str]] = []

    def look_and_hide(value: Any, field: str) -> Any:
        seen.append((value, field))
        return _hide(value, field)

    payloads = Payloads(look_and_hide, at_most)
    secret = [value, "x" * (at_most - 5) + SECRET]

    kept = payloads.json(secret, "task")

    assert seen == [(parse_json(json_text(secret)), "task")]
    assert "hunter" not in kept


def test_the_hook_gets_a_copy_and_may_return_any_json() -> None:
    """What it does to it is its own affair; settings and data stay objects, messages texts."""

    def clear(value: Any, field: str) -> Any:
        if isinstance(value, dict):
            value.clear()
        return field

    payloads = Payloads(clear, 1024)
    task = {"a": {"b": 1}}

    assert parse_json(payloads.json(task, "task")) == "task"
    assert parse_json(payloads.object_json(task, "data")) == {"value": "data"}
    assert payloads.object_json(task, "settings") == '{"value":"settings"}'
    assert task == {"a": {"b": 1}}
    assert Payloads(lambda _value, _field: [1], 1024).text("message", "message") == "[1]"
    assert Payloads(lambda _value, _field: None, 1024).json("task", "task") == "null"


class Level(StrEnum):
    """A text that is more than one."""

    HIGH = "high"


class Recursive(dict[str, Any]):
    """Holds itself."""

    def __init__(self) -> None:
        super().__init__(self=self)


def _coroutine(value: Any, field: str) -> Any:
    return asyncio.sleep(0, SECRET)


def _raise(value: Any, field: str) -> Any:
    raise ValueError(SECRET)


@pytest.mark.parametrize(
    "hook",
    [
        _raise,
        _coroutine,
        lambda value, field: object(),
        lambda value, field: float("nan"),
        lambda value, field: "\ud800",
        lambda value, field: [SECRET, "\x00"],
        lambda value, field: {SECRET: {SECRET}},
        lambda value, field: Recursive(),
        lambda value: value,
    ],
    ids=["raises", "awaitable", "object", "nan", "surrogate", "nul", "set", "endless", "wrong arguments"],
)
def test_a_hook_that_fails_lets_nothing_through(hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A mark is kept, the log names field and error but not the value, and nothing is raised."""
    payloads = Payloads(hook, 1024)

    with caplog.at_level(logging.DEBUG):
        kept = (
            parse_json(payloads.json({"password": SECRET}, "task")),
            parse_json(payloads.object_json({"password": SECRET}, "data")),
            payloads.text(SECRET, "message"),
            payloads.failure(failure_of(ValueError(SECRET))),
        )

    assert kept == (LEFT_OUT, {"value": LEFT_OUT}, LEFT_OUT, Failure(LEFT_OUT, "ValueError", LEFT_OUT))
    assert [record.field for record in caplog.records] == ["task", "data", "message", "error", "traceback"]  # type: ignore[attr-defined]
    assert SECRET not in "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


def test_what_is_no_json_is_refused_before_the_hook_sees_it() -> None:
    """With the field that is wrong."""
    payloads = Payloads(_raise, 1024)
    for call in (payloads.json, payloads.object_json):
        with pytest.raises(InvalidInputError) as caught:
            call({"a": object()}, "task")
        assert caught.value.field == "task.a"


def test_texts_that_are_more_than_texts_are_kept_as_texts() -> None:
    """Also when they are cut."""
    assert parse_json(Payloads(None, 1024).json([Level.HIGH], "task")) == ["high"]
    assert parse_json(Payloads(None, 256).json([Level.HIGH] * 1000, "task"))[0] == "high"


def test_a_failure_is_cut_after_it_was_redacted() -> None:
    """At 10,000 bytes of its text and 100,000 of its traceback, where a secret would else be cut in half."""
    error = ValueError("x" * 9_995 + SECRET + "x" * 200_000)

    failure = Payloads(_hide, 262_144).failure(failure_of(error))

    assert failure.error is not None
    assert failure.traceback is not None
    assert "hunt" not in failure.error + failure.traceback
    assert _size(failure.error) <= 10_000
    assert 99_000 < _size(failure.traceback) <= 100_000
    assert Payloads(None, 1024).failure(Failure(None, None, None)) == (None, None, None)
    assert [_size(text or "") <= 1024 for text in Payloads(None, 1024).failure(failure_of(error))] == [True] * 3


async def _async_hook(value: Any, field: str) -> Any:
    return value


async def _generator_hook(value: Any, field: str) -> AsyncIterator[Any]:
    yield value


class AsyncHook:
    """Is async when it is called."""

    async def __call__(self, value: Any, field: str) -> Any:
        return value

    async def method(self, value: Any, field: str) -> Any:
        return value


@pytest.mark.parametrize(
    "hook",
    [_async_hook, _generator_hook, AsyncHook(), AsyncHook().method, functools.partial(_async_hook, field="task")],
    ids=["function", "generator", "object", "method", "partial"],
)
def test_an_async_hook_is_refused_at_once(hook: Any) -> None:
    """When the client is made, not at the first task."""
    with pytest.raises(ConfigurationError, match="async"):
        Payloads(hook, 1024)
