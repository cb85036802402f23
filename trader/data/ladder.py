"""Which part owns a candle: the ladder of rungs (hour, day, month) and who lives there already. Source: DATA.md section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from trader.data.catalog import Part
from trader.domain.market import DAY, MINUTE, Timeframe

HOUR: Final = 60 * MINUTE
BY_MONTH: Final = (Timeframe.H1, Timeframe.H4, Timeframe.D1)
FOLDS: Final[dict[Timeframe, tuple[tuple[str, str], ...]]] = {
    Timeframe.M1: (("hour", "day"), ("day", "month")),
    Timeframe.M5: (("day", "month"),),
    Timeframe.M15: (("day", "month"),),
    **dict.fromkeys(BY_MONTH, ()),
}
"""Which rung becomes which, per timeframe, in the order in which they are folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a candle belongs: an interval, its rung, and the part that owns it now (None: a new one)."""

    rung: str
    start_us: int
    end_us: int
    part: Part | None = None


def home_of(time_us: int, timeframe: Timeframe, owners: Sequence[Part], now_us: int, *, bulk: bool = False) -> Home:
    """The home of the candle opening at `time_us`: its owner whatever the rung, else a new interval that overlaps nobody.

    1m: day parts for finished days, else hour parts; 5m and 15m: days; 1h, 4h and 1d: months. `bulk`: a finished month in which
    nobody lives is one part at once, as it would be after folding.
    """
    for part in owners:
        if part.start_us <= time_us < part.end_us:
            return Home(rung=part.rung, start_us=part.start_us, end_us=part.end_us, part=part)
    start, end = month_of(time_us)
    empty = bulk and end <= now_us and not any(part.start_us < end and start < part.end_us for part in owners)
    if timeframe in BY_MONTH or empty:
        return Home(rung="month", start_us=start, end_us=end)
    day = time_us // DAY * DAY
    inhabited = any(part.start_us < day + DAY and day < part.end_us for part in owners)
    if timeframe is not Timeframe.M1 or (day + DAY <= now_us and not inhabited):
        return Home(rung="day", start_us=day, end_us=day + DAY)
    hour = time_us // HOUR * HOUR
    return Home(rung="hour", start_us=hour, end_us=hour + HOUR)


def interval_of(rung: str, time_us: int) -> tuple[int, int]:
    """[start, end) of the day or month that holds `time_us`."""
    day = time_us // DAY * DAY
    return (day, day + DAY) if rung == "day" else month_of(time_us)


def month_of(time_us: int) -> tuple[int, int]:
    """First microsecond of the UTC month of `time_us`, and of the next one."""
    first = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()) * 1_000_000, int(following.timestamp()) * 1_000_000
