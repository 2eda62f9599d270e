from __future__ import annotations

import re
import time
from typing import Any
from uuid import UUID

import pytest

from agentdb.engine.generators import GENERATORS, cuid, nanoid, product, ulid, uuid


@pytest.mark.parametrize(
    ("name", "arguments", "pattern"),
    [
        ("uuid", (4,), r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("uuid", (7,), r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("cuid", (1,), r"c[0-9a-z]{24}"),
        ("cuid", (2,), r"[a-z][0-9a-z]{23}"),
        ("ulid", (), r"[0-7][0-9A-HJKMNP-TV-Z]{25}"),
        ("nanoid", (), r"[A-Za-z0-9_-]{21}"),
        ("nanoid", (8,), r"[A-Za-z0-9_-]{8}"),
    ],
)
def test_forms(name: str, arguments: tuple[Any, ...], pattern: str) -> None:
    """Every kind has its form, and no two values are equal."""
    values = [GENERATORS[name](*arguments) for _ in range(1000)]
    assert all(re.fullmatch(pattern, value) for value in values)
    assert len(set(values)) == 1000


@pytest.mark.parametrize("generate", [lambda: uuid(7), ulid, cuid])
def test_ordered_by_time(generate: Any) -> None:
    """Those that begin with the time sort by it."""
    first = generate()
    time.sleep(0.002)
    assert first < generate()


def test_times() -> None:
    """A version 7 UUID and a ULID hold the current milliseconds."""
    now = time.time_ns() // 1_000_000
    assert 0 <= (UUID(uuid(7)).int >> 80) - now < 1000
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    stamp = sum(alphabet.index(character) * 32**place for place, character in enumerate(reversed(ulid()[:10])))
    assert 0 <= stamp - now < 1000


def test_nanoid_uses_its_whole_alphabet() -> None:
    """No character is missing or much rarer than others."""
    text = nanoid(64 * 200)
    assert len(set(text)) == 64
    assert min(map(text.count, set(text))) > 100


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        ([1, 2], ["a", "b"], [[1, "a"], [1, "b"], [2, "a"], [2, "b"]]),
        (1, ["a", "b"], [[1, "a"], [1, "b"]]),
        ([1, 2], "a", [[1, "a"], [2, "a"]]),
        (1, "a", [[1, "a"]]),
        ([], ["a"], []),
    ],
)
def test_product(left: Any, right: Any, pairs: list[list[Any]]) -> None:
    """Every item of one side meets every item of the other; what is no list is an item."""
    assert product(left, right) == pairs
