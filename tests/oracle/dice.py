"""How the generators choose: a thin, quick layer over hypothesis, which replays and shrinks every choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

Draw = Callable[[st.SearchStrategy[Any]], Any]


@lru_cache(maxsize=256)
def _below(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


class Dice:
    """Choices of one example. The simplest choice is always the first, or not to do a thing."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def pick(self, items: Sequence[T]) -> T:
        """Return one of *items*."""
        return items[0] if len(items) == 1 else items[self._draw(_below(len(items)))]

    def number(self, least: int, most: int) -> int:
        """Return a number from *least* to *most*, both included."""
        return least if least >= most else least + int(self._draw(_below(most - least + 1)))

    def chance(self, percent: int) -> bool:
        """Return True in about *percent* of all cases."""
        return bool(self._draw(_below(100)) >= 100 - percent)

    def some(self, items: Sequence[T], least: int, most: int) -> list[T]:
        """Return *least* to *most* different *items*, as far as there are so many, in any order."""
        left = list(items)
        count = min(self.number(least, most), len(left))
        return [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Slot:
    """
    A place in the arguments of a call that a value is still to be chosen for.

    A call is chosen in two steps, its shape and then its values, so that one shape can be asked with several sets of
    values: the second one meets a cached plan.
    """

    choose: Callable[[Dice], Any]


def filled(tree: Any, dice: Dice) -> Any:
    """Return a copy of *tree* with a value in every slot."""
    match tree:
        case Slot(choose):
            return choose(dice)
        case Mapping():
            return {key: filled(value, dice) for key, value in tree.items()}
        case list():
            return [filled(item, dice) for item in tree]
        case _:
            return tree
