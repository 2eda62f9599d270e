"""Programs: what one example asks both sides to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

from tests.oracle.dice import Dice, Draw, filled
from tests.oracle.reads import Path, Reads
from tests.oracle.values import Values
from tests.oracle.writes import Writes, with_same_key

Mode = Literal["alone", "batch", "transaction"]
Kind = Literal["reads", "writes"]

_MODES: list[Mode] = ["alone", "alone", "alone", "alone", "alone", "alone", "alone", "batch", "transaction"]


@dataclass(frozen=True)
class Call:
    """
    One call of the generated client.

    Attributes:
        arguments: What the method is called with.
        bags: The paths of the lists in its result whose order it leaves open.
    """

    model: str
    method: str
    arguments: dict[str, Any]
    bags: frozenset[Path]

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"db.{self.model.lower()}.{self.method}({given})"


@dataclass(frozen=True)
class Program:
    """Calls, and whether each is made alone, or all in one batch or one interactive transaction."""

    calls: tuple[Call, ...]
    mode: Mode = "alone"
    writes: bool = False

    def __str__(self) -> str:
        return "\n".join([f"# {self.mode}", *map(str, self.calls)])


def programs(values: Values, kind: Kind) -> st.SearchStrategy[Program]:
    """Return the strategy of all programs of a kind."""
    return _reading(values) if kind == "reads" else _writing(values)


@st.composite
def _reading(draw: Draw, values: Values) -> Program:
    """One call twice, the second time with other values: that one meets a plan in the cache."""
    dice = Dice(draw)
    model = dice.pick(list(values.datamodel.models.values()))
    reads = Reads(dice, values)
    method, shape = reads.call(model)
    bags = frozenset(reads.bags)
    return Program(tuple(Call(model.name, method, filled(shape, dice), bags) for _ in range(2)))


@st.composite
def _writing(draw: Draw, values: Values) -> Program:
    """One write or two, sometimes the same one again with other values; sometimes a reading at the end."""
    dice = Dice(draw)
    mode = dice.pick(_MODES)
    calls: list[Call] = []
    for _ in range(dice.number(1, 2)):
        model = dice.pick(list(values.datamodel.models.values()))
        writes = Writes(dice, values)
        method, shape = writes.call(model)
        bags = frozenset(writes.reads.bags)
        calls += [
            Call(model.name, method, with_same_key(model, filled(shape, dice)), bags)
            for _ in range(2 if dice.chance(30) else 1)
        ]
    if mode != "batch" and dice.chance(20):
        reads = Reads(dice, values, among_new=True)
        method, shape = reads.call(model)
        calls.append(Call(model.name, method, filled(shape, dice), frozenset(reads.bags)))
    return Program(tuple(calls), mode, writes=True)
