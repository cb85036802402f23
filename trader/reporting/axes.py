"""Axes with round steps, for values and for time: what every drawn chart of ours is measured with."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from trader.domain.market import DAY

TICKS = 4
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def nice(low: float, high: float) -> tuple[float, float, float]:
    """Bounds and step of an axis with about four round steps that hold both values."""
    width = max(high - low, abs(high) * 1e-4, 1e-9)
    raw = width / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in STEPS if unit * factor >= raw * 0.999)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return (bottom, top if top > bottom else bottom + step, step)


def inside(low: float, high: float) -> tuple[list[float], float]:
    """The round values of an axis that lie between two others, ascending, and their step."""
    bottom, top, step = nice(low, high)
    count = round((top - bottom) / step)
    edge = step * 1e-9
    return [value for value in (bottom + step * i for i in range(count + 1)) if low - edge <= value <= high + edge], step


def moments(first_us: int, last_us: int, *, most: int = 7) -> list[tuple[float, str]]:
    """At most `most` round moments between two times with their place from 0 to 1: hours, days, or months as `1 Apr`."""
    span = last_us - first_us
    if span <= 0:
        return []
    hour = DAY // 24
    step = next((one for one in (hour, 3 * hour, 6 * hour, 12 * hour, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY) if span / one < most), None)
    at = range(-(-first_us // step) * step, last_us + 1, step) if step is not None else _months(first_us, last_us, most)
    return [((one - first_us) / span, _moment(one, step or DAY)) for one in at]


def _months(first_us: int, last_us: int, most: int) -> list[int]:
    """The first moments of months: of every one, or of every second, third, sixth, twelfth."""
    first, last = (datetime.fromtimestamp(one / 1_000_000, UTC) for one in (first_us, last_us))
    every = [divmod(month, 12) for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month)]
    starts = [(month, int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1_000_000) for year, month in every]
    known = [(month, at) for month, at in starts if first_us <= at <= last_us]
    chosen = next(
        (found for n in (1, 2, 3, 6, 12) if len(found := [at for month, at in known if month % n == 0]) <= most), [at for _, at in known]
    )
    return chosen[:: -(-len(chosen) // most)] if chosen else []


def _moment(at_us: int, step_us: int) -> str:
    when = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    if step_us < DAY and when.hour:
        return f"{when:%H:%M}"
    return f"{when.day} {when:%b}" if when.timetuple().tm_yday > 1 else f"{when.day} {when:%b %Y}"
