"""Kraken's candle lengths: those the system trades on, and 30 minutes, a week and 15 days besides (bars are cut from the epoch on)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trader.domain.market import MINUTE, Timeframe

MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)


class Span(Protocol):
    """A candle length; `Timeframe` is one. `us`: microseconds."""

    @property
    def us(self) -> int: ...
    @property
    def minutes(self) -> int: ...
    def floor(self, time_us: int) -> int:
        """Open time of the candle that covers `time_us`."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A length that is no `Timeframe`."""

    minutes: int

    @property
    def us(self) -> int:
        return self.minutes * MINUTE

    def floor(self, time_us: int) -> int:
        """Open time of the candle that covers `time_us`; a week begins on a Thursday, as the epoch did."""
        return time_us - time_us % self.us


def interval_of(minutes: int, base: Span) -> Span | None:
    """The length of so many minutes, None where Kraken has none or `base` candles cannot make it."""
    if minutes not in MINUTES or minutes < base.minutes:
        return None
    return next((item for item in Timeframe if item.minutes == minutes), None) or Interval(minutes)


def source_of(span: Span) -> Timeframe:
    """The longest `Timeframe` whose candles make those of `span`."""
    return max((item for item in Timeframe if span.us % item.us == 0), key=lambda item: item.us)
