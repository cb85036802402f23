"""The tick path inside a base candle: four ticks, where prices move continuously and where they jump (SIMULATION.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from trader.domain.market import SECOND, Timeframe

Field = Literal["open", "low", "high", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTick:
    """One tick of the path.

    `offset_us`: after the candle's open; `field`: the column its price comes from; `continuous`: the price moved here from the
    tick before through every level between (False: a gap, the close of the candle before is the last price seen);
    `volume_share`: part of the candle's volume traded at this tick.
    """

    offset_us: int
    field: Field
    continuous: bool
    volume_share: float


@cache
def ticks(base: Timeframe) -> tuple[PathTick, PathTick, PathTick, PathTick]:
    """The schedule of a candle of length L: open at +0 (a gap), low at +L/3, high at +2L/3, close at L - 2 s."""
    length = base.us
    return (
        PathTick(offset_us=0, field="open", continuous=False, volume_share=0.25),
        PathTick(offset_us=length // 3, field="low", continuous=True, volume_share=0.25),
        PathTick(offset_us=2 * length // 3, field="high", continuous=True, volume_share=0.25),
        PathTick(offset_us=length - 2 * SECOND, field="close", continuous=True, volume_share=0.25),
    )


def field_at(base: Timeframe, time_us: int) -> Field:
    """The column whose price is the last one at `time_us`, for the base candle that covers it."""
    inside = time_us % base.us
    return next(tick.field for tick in reversed(ticks(base)) if tick.offset_us <= inside)
