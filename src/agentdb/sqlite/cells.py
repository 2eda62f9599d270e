"""The fields of one row, each read as what it has to be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from agentdb.client.execution.payloads import Payloads
from agentdb.sqlite.values import Refused, as_count, as_flag, as_json, as_number, as_share, as_text, as_time

__all__ = ["Cells", "Setting", "joined"]

_LONGEST_MS: Final = 1e12


@dataclass(frozen=True)
class Setting:
    """
    What rows become a part of.

    Attributes:
        now: What stands for a time that a row does not say.
        zone: Of times that name none.
        embedding_model: What made the embeddings; None: nobody knows.
        payloads: What may be kept of tasks and results.
        tools: What tools are called, by what stands for them in other tables.
    """

    agent_id: str
    now: datetime
    zone: tzinfo
    embedding_model: str | None
    payloads: Payloads
    tools: Mapping[object, str] = field(default_factory=dict)


@dataclass
class Cells:
    """
    The fields of one row. What reads them raises `Refused`, which names the field.

    Attributes:
        scale: What importance, or confidence, is divided by.
        notes: Counts what is left out of rows that are taken.
        fields: What is in the row, by field; what is missing is not among them.
        texts: The columns that make up the content, with their names.
        rest: All that is no field.
    """

    setting: Setting
    scale: float
    notes: Counter[str]
    fields: dict[str, object] = field(default_factory=dict)
    texts: list[tuple[str, object]] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def needed(self, name: str) -> None:
        """Refuse a row that does not have it."""
        if name not in self:
            raise Refused(f"{name} is empty")

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a text, or the default."""
        return as_text(self.fields[name], name) if name in self else default

    def name(self, name: str, default: str, *, at_least: int = 1, at_most: int = 255) -> str:
        """Return a text of that length, or the default."""
        text = self.text(name, default) or default
        if not at_least <= len(text) <= at_most:
            raise Refused(f"{name} has {len(text):,} characters, where {at_least} to {at_most:,} were expected")
        return text

    def time(self, name: str) -> datetime | None:
        """Return a time in UTC."""
        return as_time(self.fields[name], self.setting.zone, name) if name in self else None

    def count(self, name: str, *, at_most: int = 2**63 - 1) -> int:
        """Return a whole number; 0 where there is none."""
        return as_count(self.fields[name], name, at_most=at_most) if name in self else 0

    def flag(self, name: str) -> bool:
        """Return whether it is so; False where nobody says."""
        return as_flag(self.fields[name], name) if name in self else False

    def number(self, name: str) -> float | None:
        """Return a number."""
        return as_number(self.fields[name], name) if name in self else None

    def share(self, name: str) -> float | None:
        """Return a number of [0, 1]."""
        return as_share(self.fields[name], self.scale, name) if name in self else None

    def json(self, name: str) -> Any:
        """Return what JSON says, or the text that it is none of."""
        return as_json(self.fields[name], name) if name in self else None

    def duration_ms(self) -> float | None:
        """Return a duration in milliseconds, of whichever field there is."""
        seconds = self.number("duration_seconds")
        duration = self.number("duration_ms") if seconds is None else seconds * 1000
        if duration is not None and not 0 <= duration <= _LONGEST_MS:
            raise Refused("the duration is negative, or longer than thirty years")
        return duration


def joined(named: dict[str, Any], name: str, said: dict[str, Any]) -> dict[str, Any]:
    """Return columns together with what the object in the column *name* says; of two that share a name none is lost."""
    return named | {f"{name}.{key}" if key in named else key: value for key, value in said.items()}
