"""How numbers are written: in three digits or so, in the unit that fits."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["NOTHING", "dollars", "duration", "number", "rate", "size"]

NOTHING = "-"


def rate(share: float | None, interval: tuple[float, float] | None) -> str:
    """Return a share in percent, with its interval."""
    if share is None or interval is None:
        return NOTHING
    low, high = (percent(bound) for bound in interval)
    return f"{percent(share)} % ({low}-{high})"


def percent(share: float) -> str:
    """Return a share in percent, never rounded to all or nothing when it is not."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1 if share > 0 else 0), 99 if share < 1 else 100)}"


def duration(milliseconds: float | None) -> str:
    """Return how long something took."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 999.5:
        return f"{milliseconds:.3g} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def dollars(cost: Decimal | None, *, is_part: bool) -> str:
    """Return an amount; ">=" where some of it is not known."""
    if cost is None:
        return NOTHING
    if 0 < cost < Decimal("0.0001") and not is_part:
        return "< $0.0001"
    text = f"${cost:,.2f}" if cost >= 1 or not cost else f"${cost:.4f}"
    return f">= {text}" if is_part else text


def size(count: int) -> str:
    """Return a number of bytes."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB" if amount < 999.5 else f"{amount:,.0f} TB"


def number(value: float) -> str:
    """Return *value* with three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
