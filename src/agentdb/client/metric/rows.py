"""Metric points as rows, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from agentdb.errors import InvalidInputError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import MetricPoint
from agentdb.validation import UnstorableError, check_json, checked, json_text

__all__ = ["MetricRow", "checked_row", "point_row"]

MetricRow = tuple[str, str, str, float, str, str, datetime | None]
"""Id, agent, name, value, unit, labels as JSON and time: the parameters of the block `record`."""

_LARGEST: Final = 1e300
_TEXTS: Final = frozenset((str,))
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))


def checked_row(
    agent_id: str,
    name: str,
    value: float,
    unit: str,
    labels: Mapping[str, Any] | None,
    recorded_at: datetime | None,
    idempotency_key: str | None = None,
) -> MetricRow:
    """
    Return the row of a point, checked as a `MetricPoint` is, in a third of the time where it is a plain one.

    Raises:
        InvalidInputError: An argument does not fit.
    """
    if (
        type(value) is float
        and -_LARGEST <= value <= _LARGEST
        and _is_plain(agent_id, 255)
        and _is_plain(name, 255)
        and (unit == "" or _is_plain(unit, 100))
        and recorded_at is None
        and idempotency_key is None
    ):
        document = _plain_json(labels)
        if document is not None:
            return uuid7_text(), agent_id, name, value, unit, document, None
    point = checked(
        MetricPoint,
        agent_id=agent_id,
        name=name,
        value=value,
        unit=unit,
        labels={} if labels is None else labels,
        recorded_at=recorded_at,
        idempotency_key=idempotency_key,
    )
    return point_row(point, "point")


def point_row(point: MetricPoint, field: str) -> MetricRow:
    """Return the row that *point* becomes; *field* is what an error calls it."""
    if not isinstance(point, MetricPoint):
        raise InvalidInputError(field, f"expected a MetricPoint, got {type(point).__name__}.")
    key = point.idempotency_key
    return (
        uuid7_text() if key is None else str(keyed_uuid(point.agent_id, key)),
        point.agent_id,
        point.name,
        point.value,
        point.unit,
        check_json(point.labels, f"{field}.labels"),
        point.recorded_at,
    )


def _is_plain(text: object, at_most: int) -> bool:
    """Return whether nothing has to be looked at closer: a text of ASCII, 1 to *at_most* characters, no NUL."""
    return type(text) is str and 0 < len(text) <= at_most and text.isascii() and "\x00" not in text


def _plain_json(labels: object) -> str | None:
    """Return *labels* as JSON; None when the model has to look at them, if only to say what is wrong."""
    if labels is None:
        return "{}"
    if type(labels) is not dict or not _TEXTS.issuperset(map(type, labels)):
        return None
    if not _PLAIN.issuperset(map(type, labels.values())):
        return None
    try:
        return json_text(labels)
    except UnstorableError:
        return None
