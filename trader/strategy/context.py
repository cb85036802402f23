"""BrainContext (lazy feature set): what is known about one pair at one closed bar, each value computed when first read.

Values come from a live `Row`, or from whole columns cut at bar i: nothing after it can be read.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from trader.domain.orders import Side
from trader.indicators import patterns, series, technical
from trader.indicators.hours import H4, M15
from trader.indicators.series import Row
from trader.ports import Columns
from trader.strategy.modes import Parameters
from trader.strategy.scoring import mirrored

VALUES = (
    "close", "rsi", "rsi_previous", "macd_hist", "macd_hist_previous", "bb_lower", "bb_upper", "bb_position", "atr", "atr_fraction",
    "ema_trend", "fib_zone", "volume_ratio", "bullish_divergence", "bearish_divergence", "h4_close", "h4_ema", "h4_hist", "h4_bearish",
    "filled_share",
)  # fmt: skip


class Source(Protocol):
    """Where values come from."""

    reason: str

    def read(self, name: str) -> Any: ...


class RowSource:
    """Values of a finished row."""

    def __init__(self, row: Row) -> None:
        self.row, self.reason = row, row.reason

    def read(self, name: str) -> Any:
        return getattr(self.row, name)


class ArraySource:
    """Values at the last bar of whole columns, one indicator at a time; equal bit for bit to `series.features` at that bar."""

    def __init__(self, columns_15m: Columns, columns_4h: Columns, i: int, parameters: Parameters) -> None:
        self.columns, self.parameters = cut(columns_15m, i + 1), parameters
        known = int(series.as_of_4h(self.columns.time, columns_4h.time)[-1]) + 1
        self.h4 = cut(columns_4h, known)
        self.counted: dict[str, int] = {}
        self.reason = self._reason()

    def _reason(self) -> str:
        """Causes that need no indicator; `series.features` covers the rest."""
        p, close_us = self.parameters, int(self.columns.time[-1]) + M15
        bars = int(series.unbroken(self.columns.time, M15)[-1])
        h4_bars = int(series.unbroken(self.h4.time, H4)[-1]) if len(self.h4) else 0
        if bars < technical.lookback_15m(p.rsi_period, p.trend_ema) or h4_bars < technical.lookback_4h(p.h4_ema):
            return f"{bars} 15m and {h4_bars} 4h unbroken candles are too few"
        if int(self.h4.time[-1]) + H4 != close_us - close_us % H4:
            return "the 4h candle of this close is missing"
        if not self.read("filled_share") <= series.MAX_FILLED:
            return "too many bars without a trade"
        return "" if self.read("atr") > 0 else "ATR is zero"

    def read(self, name: str) -> Any:
        self.counted[name] = self.counted.get(name, 0) + 1
        return getattr(self, f"_{name}")

    @cached_property
    def _close(self) -> float:
        return float(self.columns.close[-1])

    @cached_property
    def _rsis(self) -> Any:
        return technical.rsi(self.columns.close, self.parameters.rsi_period)

    @cached_property
    def _rsi(self) -> float:
        return float(self._rsis[-1])

    @cached_property
    def _rsi_previous(self) -> float:
        return float(self._rsis[-2])

    @cached_property
    def _hists(self) -> Any:
        return technical.macd(self.columns.close)[2]

    @cached_property
    def _macd_hist(self) -> float:
        return float(self._hists[-1])

    @cached_property
    def _macd_hist_previous(self) -> float:
        return float(self._hists[-2])

    @cached_property
    def _bands(self) -> Any:
        return technical.bollinger(self.columns.close)

    @cached_property
    def _bb_upper(self) -> float:
        return float(self._bands[0][-1])

    @cached_property
    def _bb_lower(self) -> float:
        return float(self._bands[2][-1])

    @cached_property
    def _bb_position(self) -> float:
        width = self._bb_upper - self._bb_lower
        return 0.5 if width == 0 else (self._close - self._bb_lower) / width

    @cached_property
    def _atr(self) -> float:
        return float(technical.atr(self.columns.high, self.columns.low, self.columns.close)[-1])

    @cached_property
    def _atr_fraction(self) -> float:
        return self._atr / self._close

    @cached_property
    def _ema_trend(self) -> float:
        period = self.parameters.trend_ema
        return float(technical.ema(self.columns.close, period)[-1]) if period else float("nan")

    @cached_property
    def _patterns(self) -> tuple[bool, bool, bool, float]:
        c = self.columns
        return patterns.newest(c.high, c.low, c.close, series.true_volume(c), self._rsis, len(c) - 1)

    @cached_property
    def _fib_zone(self) -> bool:
        return bool(self._patterns[0])

    @cached_property
    def _bullish_divergence(self) -> bool:
        return bool(self._patterns[1])

    @cached_property
    def _bearish_divergence(self) -> bool:
        return bool(self._patterns[2])

    @cached_property
    def _volume_ratio(self) -> float:
        return float(self._patterns[3])

    @cached_property
    def _h4_close(self) -> float:
        return float(self.h4.close[-1])

    @cached_property
    def _h4_ema(self) -> float:
        return float(technical.ema(self.h4.close, self.parameters.h4_ema)[-1])

    @cached_property
    def _h4_hist(self) -> float:
        return float(technical.macd(self.h4.close)[2][-1])

    @cached_property
    def _h4_bearish(self) -> bool:
        return self._h4_close < self._h4_ema and self._h4_hist <= 0

    @cached_property
    def _filled_share(self) -> float:
        return float(series.filled_share(self.columns.filled)[-1])


def cut(columns: Columns, n: int) -> Columns:
    """The first n candles."""
    names = ("time", "open", "high", "low", "close", "volume", "filled")
    return Columns(**{name: np.ascontiguousarray(getattr(columns, name)[:n]) for name in names})


class BrainContext:
    """One pair at one closed bar. Attribute reads (`context.rsi`) are computed at most once; `reads` counts computations."""

    def __init__(
        self, *, pair: str, close_us: int, source: Source, parameters: Parameters, side: Side = Side.BUY, gate: str = ""
    ) -> None:  # fmt: skip
        self.pair, self.close_us, self.parameters, self.side = pair, close_us, parameters, side
        self._source = source
        self.not_ready = gate or source.reason
        self.computed: dict[str, float | bool | str] = {}
        self.reads = 0

    @classmethod
    def of_row(cls, pair: str, row: Row, parameters: Parameters, *, side: Side = Side.BUY, gate: str = "") -> BrainContext:
        """From a live row; `gate`: why the data gate blocks the pair, "" if it does not."""
        seen = row if side is Side.BUY else mirrored(row)
        return cls(pair=pair, close_us=row.time_us + M15, source=RowSource(seen), parameters=parameters, side=side, gate=gate)

    @classmethod
    def of_columns(cls, pair: str, columns_15m: Columns, columns_4h: Columns, i: int, parameters: Parameters) -> BrainContext:
        """From whole columns at closed bar i, longs only; the future is cut off first."""
        source = ArraySource(columns_15m, columns_4h, i, parameters)
        return cls(pair=pair, close_us=int(columns_15m.time[i]) + M15, source=source, parameters=parameters)

    @property
    def oversold(self) -> float:
        """The RSI trigger of this side (of the mirrored market for a short)."""
        return self.parameters.rsi_oversold if self.side is Side.BUY else 100 - self.parameters.rsi_overbought

    def __getattr__(self, name: str) -> Any:
        """A value of `VALUES`, remembered after the first read."""
        if name not in VALUES:
            raise AttributeError(f"BrainContext has no value {name!r}; it has {', '.join(VALUES)}")
        value = self._source.read(name)
        self.reads += 1
        self.computed[name] = value
        self.__dict__[name] = value
        return value

    def snapshot(self) -> dict[str, float | bool | str]:
        """The values computed so far, by name; those that are NaN (not in use) left out."""
        return {name: value for name, value in sorted(self.computed.items()) if isinstance(value, str) or not math.isnan(value)}

    def full(self) -> dict[str, float | bool | str]:
        """All values, computing the missing ones: for the AI's question and the journal."""
        for name in VALUES:
            getattr(self, name)
        return self.snapshot()
