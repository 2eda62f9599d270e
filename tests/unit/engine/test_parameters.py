from __future__ import annotations

import enum
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agentdb.engine.parameters import UNFIT, fitting, literal, placeholder_type
from tests.unit.engine.support import DIALECT, Base64, Json


class Color(enum.Enum):
    RED = "red"


class Kind(str, enum.Enum):  # noqa: UP042 - as the generated client's enums are
    A = "a"


class Level(enum.IntEnum):
    HIGH = 3


class TestFitting:
    @pytest.mark.parametrize(
        ("type_", "value", "fit"),
        [
            ("String", "x", "x"),
            ("String", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            ("Boolean", False, False),
            ("Int", 2**31 - 1, 2**31 - 1),
            ("Int", 2**31, 2**31),
            ("BigInt", "-12", -12),
            ("Decimal", "1.50", Decimal("1.50")),
            ("Decimal", "1e3", Decimal(1000)),
            ("DateTime", "2024-01-01T05:00:00.0019+05:00", datetime(2024, 1, 1, 0, 0, 0, 1000, UTC)),
            ("Json", '{"a": 1}', '{"a": 1}'),
            ("BigInt", -(2**63), -(2**63)),
            ("Float", 1.5, 1.5),
            ("Float", 2, 2),
            ("Decimal", Decimal("1.50"), Decimal("1.50")),
            ("Decimal", 0.1, Decimal("0.1")),
            ("DateTime", datetime(2024, 1, 1, 0, 0, 0, 1999), datetime(2024, 1, 1, 0, 0, 0, 1000, UTC)),
            (
                "DateTime",
                datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))),
                datetime(2024, 1, 1, tzinfo=UTC),
            ),
            ("Json", Json({"é": [1, None]}), '{"é":[1,null]}'),
            ("Bytes", Base64("eA=="), "eA=="),
        ],
    )
    def test_values_of_the_type(self, type_: str, value: Any, fit: Any) -> None:
        """A value of its field's type leaves the request in the form that it travels in."""
        result = fitting(type_, value, DIALECT)
        assert (result, type(result)) == (fit, type(fit))

    @pytest.mark.parametrize(
        ("type_", "value"),
        [
            ("String", 5),
            ("String", Kind.A),
            ("String", b"x"),
            ("Boolean", 1),
            ("Int", True),
            ("Int", 1.0),
            ("Int", "1"),
            ("Int", 2**63),
            ("Int", Level.HIGH),
            ("BigInt", 2**63),
            ("Float", math.nan),
            ("Float", math.inf),
            ("Float", 2**60),
            ("Float", True),
            ("Decimal", Decimal("NaN")),
            ("Decimal", math.nan),
            ("Decimal", "1,5"),
            ("DateTime", "2024-02-30T00:00:00Z"),
            ("DateTime", "2024-01-01T00:00:00"),
            ("Bytes", Base64("***")),
            ("BigInt", "1.5"),
            ("DateTime", "2024-01-01"),
            ("DateTime", date(2024, 1, 1)),
            ("Json", {"a": 1}),
            ("Json", "x"),
            ("Bytes", b"x"),
            ("Role", "ADMIN"),
            ("String", None),
        ],
    )
    def test_values_of_another(self, type_: str, value: Any) -> None:
        """Any other value stays in the request, for the compiler to judge; so do enums, and None."""
        assert fitting(type_, value, DIALECT) is UNFIT

    def test_names(self) -> None:
        """The compiler has no placeholder for a Decimal."""
        assert placeholder_type("Decimal") == "Float"
        assert placeholder_type("DateTime") == "DateTime"


class TestLiteral:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (None, None),
            (True, True),
            (5, 5),
            (2**63 - 1, 2**63 - 1),
            (1.5, 1.5),
            (math.nan, "nan"),
            ("x😀é", "x😀é"),
            (Color.RED, "red"),
            (Kind.A, "a"),
            (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            ((1, 2), [1, 2]),
            ({"order_by": {"startswith": "x"}}, {"orderBy": {"startsWith": "x"}}),
            (datetime(2024, 1, 1), {"$type": "DateTime", "value": "2024-01-01T00:00:00+00:00"}),
            (Decimal("1.50"), {"$type": "Decimal", "value": "1.50"}),
            (Json({"startswith": None}), {"$type": "Json", "value": '{"startswith":null}'}),
            (Base64("eA=="), {"$type": "Bytes", "value": "eA=="}),
        ],
    )
    def test_values(self, value: Any, written: Any) -> None:
        """JSON as it is where JSON has the type, tagged where it has not; Python's names of keys become Prisma's."""
        assert json.loads(literal(value, DIALECT)) == json.loads(json.dumps(written))

    def test_unknown_values(self) -> None:
        """What the generated package cannot write is its TypeError."""
        with pytest.raises(TypeError, match="not serializable"):
            literal(object(), DIALECT)
