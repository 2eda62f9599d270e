"""Points as rows: the quick way checks what the model checks."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy
from hypothesis import example, given
from hypothesis import strategies as st

from agentdb import InvalidInputError, MetricPoint
from agentdb.client.metric.rows import checked_row, point_row
from agentdb.validation import checked


class Text(str):
    """A text of another type."""


TEXTS = st.sampled_from(
    ["", "a", "é", "a\x00", "\ud800", "x" * 100, "x" * 101, "x" * 255, "x" * 256, None, 1, b"a", Text("t")]
)
VALUES = st.floats() | st.sampled_from(
    [0, 1, True, "1", None, 10**400, 1e300, 1e301, math.nan, Decimal("1.5"), numpy.float64(2), numpy.int64(3)]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(object()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=2),
    max_leaves=4,
)
TIMES = st.sampled_from(
    [
        None,
        datetime(2020, 1, 1),
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        datetime.min,
        datetime.now(UTC) + timedelta(days=2),
        "soon",
    ]
)


def outcome(make: Any) -> Any:
    try:
        return make()[1:]
    except InvalidInputError as error:
        return error.field, error.reason


@given(TEXTS, TEXTS, VALUES, TEXTS, JSON, TIMES, st.none() | st.just("k"))
@example("a", "m", 1.0, "u", {"b": 1, "a": "x\x00"}, None, None)
@example("a", "m", 1.0, "u", {"b": 1, "a": math.inf}, None, None)
def test_a_row_is_what_the_model_makes_of_it(
    agent_id: Any, name: Any, value: Any, unit: Any, labels: Any, recorded_at: Any, key: Any
) -> None:
    """The same row, or the same error."""

    def modelled() -> Any:
        given = {"agent_id": agent_id, "name": name, "value": value, "unit": unit}
        point = checked(
            MetricPoint,
            **given,
            labels={} if labels is None else labels,
            recorded_at=recorded_at,
            idempotency_key=key,
        )
        return point_row(point, "point")

    assert outcome(lambda: checked_row(agent_id, name, value, unit, labels, recorded_at, key)) == outcome(modelled)


def test_rows_have_ids_of_their_own() -> None:
    """In the order in which they are made; a key gives the same id again."""
    rows = [checked_row("a", "m", 1.0, "", None, None) for _ in range(100)]
    keyed = [checked_row("a", "m", 1.0, "", None, None, "k") for _ in range(2)]

    assert all(one[0] < other[0] for one, other in itertools.pairwise(rows))
    assert keyed[0] == keyed[1]
