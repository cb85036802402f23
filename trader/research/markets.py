"""A pair as the account pass reads it: 15m columns, prices in whole ticks, and bars found by their close time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trader.domain.costs import Costs, bought, slip_units, slipped
from trader.domain.market import Instrument, Timeframe
from trader.errors import ConfigError
from trader.indicators.likeness import WINDOW, Closes
from trader.indicators.series import FILLED_BARS, Features, unbroken
from trader.ports import Columns
from trader.research import kernel
from trader.strategy.columns import Bars
from trader.strategy.modes import Parameters

M15 = Timeframe.M15.us
FourTicks = tuple[kernel.Ints, kernel.Ints, kernel.Ints, kernel.Ints]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMarket:
    """Columns of one pair. `ticks`: open, high, low, close as int64 ticks, shape (n,) each; `fine`: those of the finest candles
    there are, shape (m,) each, of which bar i covers `starts[i]` to `starts[i + 1]` - 1, `starts` of shape (n + 1,)."""

    instrument: Instrument
    bars: Bars
    features: Features
    ticks: FourTicks
    fine: FourTicks
    starts: kernel.Ints

    def at(self, close_us: int) -> int:
        """Index of the bar that ended at `close_us`; -1 where the pair has none."""
        place = int(np.searchsorted(self.bars.time, close_us - M15))
        return place if place < len(self.bars) and int(self.bars.time[place]) == close_us - M15 else -1

    def mark(self, close_us: int) -> float:
        """The newest close at or before `close_us`, for equity. Raises ValueError before the first bar."""
        place = int(np.searchsorted(self.bars.time, close_us - M15, side="right")) - 1
        if place < 0:
            raise ValueError(f"{self.instrument.pair} has no candle at or before {close_us}")
        return float(self.bars.close[place])

    def quote_volume(self, close_us: int) -> float:
        """Sum of volume x close over the 96 bars that end there: the rank; 0.0 for a pair without that bar."""
        end = self.at(close_us) + 1
        part = slice(max(0, end - FILLED_BARS), end)
        return float(np.sum(self.bars.volume[part] * self.bars.close[part]))

    def closes(self, close_us: int) -> Closes | None:
        """The newest closes without a gap up to that bar, for correlations; None for a pair without it."""
        end = self.at(close_us) + 1
        if not end:
            return None
        first = max(0, end - WINDOW - 1)
        first = end - int(unbroken(self.bars.time[first:end], M15)[-1])
        return self.bars.close[first:end], self.bars.columns.filled[first:end]

    def spread_after(self, close_us: int, costs: Costs) -> float:
        """(ask - bid) / mid while the open after this close holds (the close itself at the end), each side slipped as a fill is."""
        place = self.at(close_us)
        last = int(self.ticks[0][place + 1] if place + 1 < len(self.bars) else self.ticks[3][place])
        units = slip_units(costs.slippage)
        bid, ask = max(int(slipped(last, units)), 1), int(bought(last, units))
        return 2 * (ask - bid) / (ask + bid)

    def change_24h(self, close_us: int) -> float | None:
        """close[i] / close[i - 96] - 1 over an unbroken day; None where it is not known."""
        end = self.at(close_us)
        if end < FILLED_BARS or int(self.bars.time[end - FILLED_BARS]) != close_us - M15 - FILLED_BARS * M15:
            return None
        return float(self.bars.close[end] / self.bars.close[end - FILLED_BARS] - 1)


def market_of(bars: Bars, instrument: Instrument, parameters: Parameters, fine: Columns | None = None) -> PairMarket:
    """`fine`: the candles of the same pair that the bars were made of, where they are shorter than 15m.

    Raises ConfigError for bars without times, off the 15m grid, or prices that do not fit the instrument's tick.
    """
    if len(bars.time) != len(bars) or (bars.time % M15).any():
        raise ConfigError(f"{instrument.pair}: the account pass needs 15m candles with open times on the 15m grid")
    edges = np.append(bars.time, bars.time[-1] + M15)
    starts = np.zeros(len(edges), np.int64) if fine is None else np.searchsorted(fine.time, edges)
    ticks = _ticks(bars, instrument)
    return PairMarket(
        instrument=instrument, bars=bars, features=bars.features(parameters), ticks=ticks,
        fine=_ticks(fine, instrument) if fine is not None else ticks, starts=starts,
    )  # fmt: skip


def _ticks(candles: Bars | Columns, instrument: Instrument) -> FourTicks:
    tick = float(instrument.tick)
    prices = (candles.open, candles.high, candles.low, candles.close)
    ticks = tuple(np.rint(column / tick).astype(np.int64) for column in prices)
    worst = max(float(np.abs(whole * tick / column - 1).max()) for whole, column in zip(ticks, prices, strict=True))
    if worst > 1e-9:
        raise ConfigError(f"{instrument.pair}: prices do not lie on the tick {instrument.tick}; the worst is off by {worst:.1e} of itself")
    return ticks[0], ticks[1], ticks[2], ticks[3]
