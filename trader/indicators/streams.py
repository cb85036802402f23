"""Live columns of one pair: stateful TA-Lib handles, bit-equal to whole arrays begun at the same candle.

`update` on a closed candle, `peek` on the forming one. Handles cannot be pickled; after a gap, a correction or a restart
make a new PairStreams from history.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import Any

import numpy as np

from trader.domain.market import Candle, Timeframe
from trader.indicators import likeness, patterns, technical
from trader.indicators.hours import H4, M15
from trader.indicators.series import FILLED_BARS, Needs, Row, Wanted, median_quote_volume, true_volume, unbroken, why_not_ready
from trader.indicators.ta import stream
from trader.indicators.technical import ATR_PERIOD, BAND_WIDTH, BANDS, MACD_FAST, MACD_SIGNAL, MACD_SLOW
from trader.ports import Columns

_NAN = math.nan
_QUARTER = Timeframe.M15  # a name of our own: an enum looks its members up anew each time
_COLUMNS = ("open", "high", "low", "close", "volume")
_BAR = Struct("7d8x")  # a row of a pair's window: open, high, low, close, volume, RSI, filled; 64 bytes, as a processor fetches them


def _last_4h(time_us: int) -> int:
    """The newest end of a 4h candle at or before a moment."""
    return time_us - time_us % H4


def _check(candle: Candle, timeframe: Timeframe, due_us: int) -> None:
    """Raise ValueError for a candle that is not the one due, or holds a value that is not a finite number."""
    if candle.timeframe is not timeframe or candle.time_us != due_us:
        due = f"{timeframe} at {due_us} is due"
        raise ValueError(f"{candle.pair}: a {candle.timeframe} candle at {candle.time_us} does not follow; {due}")
    if not math.isfinite(candle.high + candle.low + candle.close + candle.volume + candle.open):
        raise ValueError(f"{candle.pair}: the candle at {candle.time_us} holds a value that is not a finite number")


def _tail(columns: Columns, step: int) -> Columns:
    """The newest part without a gap; raises ValueError for a price or volume that is not a finite number in it."""
    n = int(unbroken(columns.time, step)[-1]) if len(columns) else 0
    part = slice(len(columns) - n, len(columns))
    made = Columns(
        time=columns.time[part], filled=columns.filled[part],
        **{name: np.ascontiguousarray(getattr(columns, name)[part], dtype=np.float64) for name in _COLUMNS},
    )  # fmt: skip
    for name in _COLUMNS:
        if not np.isfinite(getattr(made, name)).all():
            raise ValueError(f"column {name} holds a value that is not a finite number")
    return made


class _H4:
    """EMA and MACD of the 4h series; values NaN until there is enough history."""

    def __init__(self, columns: Columns, ema_period: int) -> None:
        tail = _tail(columns, H4)
        self.period, self.bars = ema_period, len(tail)
        self.next_us = int(tail.time[-1]) + H4 if len(tail) else 0
        self.close = float(tail.close[-1]) if len(tail) else _NAN
        self.closes = tail.close
        self.ema: Any = None
        self.macd: Any = None
        self._open()

    def _open(self) -> None:
        if self.ema is None and self.bars >= max(self.period, MACD_SLOW + MACD_SIGNAL):
            self.ema = stream.EMA(self.closes, self.period)
            self.macd = stream.MACD(self.closes, MACD_FAST, MACD_SLOW, MACD_SIGNAL)
            self.closes = self.closes[:0]

    @property
    def values(self) -> tuple[float, float, float]:
        """close, EMA, MACD histogram."""
        if self.ema is None or self.macd is None:
            return self.close, _NAN, _NAN
        return self.close, self.ema.value, self.macd.value[2]

    def update(self, close: float) -> None:
        self.close, self.bars, self.next_us = close, self.bars + 1, self.next_us + H4
        if self.ema is None or self.macd is None:
            self.closes = np.append(self.closes, close)
            self._open()
        else:
            self.ema.update(close)
            self.macd.update(close)


class PairStreams:
    """The newest row of one pair, kept up to date candle by candle.

    Takes the newest unbroken part of both series; raises ValueError if that holds less than a handle needs to open
    (MACD: 35 candles, RSI and EMA: period + 1) or a value that is not finite. Below LOOKBACK it works and says NOT_READY.
    `short`: ready after three periods, in research and replay only.
    """

    # A beat updates every pair once, each from cold caches: slots, a window of one line a bar, and no value read twice.
    __slots__ = (
        "_atr", "_bands", "_bars", "_cells", "_close", "_ema", "_filled", "_h4", "_high", "_hist", "_hist_previous", "_keep", "_low",
        "_macd", "_n", "_open", "_row", "_rsi", "_rsi_now", "_rsi_previous", "_rsis", "_time_us", "_volume", "_wanted", "_window", "needs",
    )  # fmt: skip

    def __init__(self, columns_15m: Columns, columns_4h: Columns, parameters: Needs, *, short: bool = False) -> None:
        self.needs = parameters
        self._wanted = Wanted.by(parameters, short=short)
        tail = _tail(columns_15m, M15)
        least = max(parameters.rsi_period + 2, parameters.trend_ema, MACD_SLOW + MACD_SIGNAL)
        if len(tail) < least:
            raise ValueError(f"{len(tail)} unbroken 15m candles; at least {least} are needed to begin")
        self._bars = len(tail)
        self._h4 = _H4(columns_4h, parameters.h4_ema)
        close, high, low = tail.close, tail.high, tail.low
        self._rsi, rsi = stream.RSI.open_and_fill(close, parameters.rsi_period)
        self._macd, _, _, hist = _flat(stream.MACD.open_and_fill(close, MACD_FAST, MACD_SLOW, MACD_SIGNAL))
        self._bands = stream.BBANDS(close, BANDS, BAND_WIDTH, BAND_WIDTH, 0)
        self._atr = stream.ATR(high, low, close, ATR_PERIOD)
        self._ema = stream.EMA(close, parameters.trend_ema) if parameters.trend_ema else None
        self._rsi_previous, self._hist_previous = float(rsi[-2]), float(hist[-2])
        self._rsi_now, self._hist = float(self._rsi.value), float(self._macd.value[2])
        self._fill_window(tail, rsi)
        self._row: Row | None = None

    def _fill_window(self, tail: Columns, rsi: Any) -> None:
        """The last LOOKBACK bars beside the handles, or what correlations need, in buffers of twice that which move down when full."""
        self._keep = max(self._wanted.bars_15m, likeness.WINDOW + 1)
        self._n = n = min(len(tail), self._keep)
        self._time_us = int(tail.time[-1])
        self._window = np.zeros((2 * self._keep, _BAR.size // 8))
        self._cells = self._window.data
        self._open, self._high, self._low, self._close, self._volume, self._rsis, self._filled, _ = self._window.T
        values = (tail.open, tail.high, tail.low, tail.close, true_volume(tail), rsi, tail.filled)
        for place, column in enumerate(values):
            self._window[:n, place] = column[-n:]

    def _make_room(self) -> None:
        """Move the newest bars to the front when the block is full."""
        self._window[: self._keep] = self._window[-self._keep :]
        self._n = self._keep

    # --- candles -------------------------------------------------------------------------------------------------------
    def update(self, candle: Candle) -> None:
        """Take a closed 15m candle; raises ValueError, with nothing changed, if it does not follow the last one or holds
        a value that is not a finite number."""
        _check(candle, _QUARTER, self._time_us + M15)
        if self._n == 2 * self._keep:
            self._make_room()
        close = candle.close
        self._rsi_previous, self._hist_previous = self._rsi_now, self._hist
        self._rsi_now = rsi = self._rsi.update(close)
        self._hist = self._macd.update(close)[2]
        self._bands.update(close)
        self._atr.update(candle.high, candle.low, close)
        if self._ema is not None:
            self._ema.update(close)
        self._put(candle, rsi)
        self._n += 1
        self._bars += 1
        self._time_us = candle.time_us
        self._row = None

    def update_h4(self, candle: Candle) -> None:
        """Take a closed 4h candle; at a common close before the 15m one. Raises ValueError as `update` does."""
        _check(candle, Timeframe.H4, self._h4.next_us or candle.time_us)
        self._h4.next_us = candle.time_us
        self._h4.update(candle.close)
        self._row = None

    def _put(self, candle: Candle, rsi: float) -> None:
        volume = 0.0 if candle.filled else candle.volume
        _BAR.pack_into(self._cells, self._n * _BAR.size, candle.open, candle.high, candle.low, candle.close, volume, rsi, candle.filled)

    # --- rows ----------------------------------------------------------------------------------------------------------
    @property
    def row(self) -> Row:
        """All columns at the newest closed bar, computed when first read after an update."""
        if self._row is None:
            ema = self._ema.value if self._ema is not None else _NAN
            upper, _, lower = self._bands.value
            self._row = self._make(
                self._n - 1, self._bars, self._time_us, self._rsi_now, self._rsi_previous, self._hist,
                self._hist_previous, upper, lower, self._atr.value, ema, _last_4h(self._time_us + M15),
            )  # fmt: skip
        return self._row

    def peek_rsi(self, close: float) -> float:
        """The RSI if the forming candle closed at this price: a cheap first look before `peek`. NaN for a price that is none."""
        return float(self._rsi.peek(close)) if math.isfinite(close) else _NAN

    def peek(self, candle: Candle) -> Row:
        """The row as it would be if the forming 15m candle closed now; changes nothing. Raises ValueError as `update`.

        A 4h candle that ends with this bar need not have closed: until then the one before it is the newest there is.
        """
        end_us = candle.time_us + M15
        h4_due_us = end_us if self._h4.next_us == end_us else _last_4h(end_us - 1)
        _check(candle, _QUARTER, self._time_us + M15)
        if self._n == 2 * self._keep:
            self._make_room()
        close, rsi = candle.close, self._rsi.peek(candle.close)
        self._put(candle, rsi)  # beyond the newest closed bar: the next update overwrites it
        upper, _, lower = self._bands.peek(close)
        return self._make(
            self._n, self._bars + 1, candle.time_us, rsi, self._rsi_now, self._macd.peek(close)[2], self._hist,
            upper, lower, self._atr.peek(candle.high, candle.low, close), self._ema.peek(close) if self._ema is not None else _NAN,
            h4_due_us,
        )  # fmt: skip

    def _make(  # noqa: PLR0917 - on the hot path of every beat
        self, i: int, bars: int, time_us: int, rsi: float, rsi_previous: float, hist: float, hist_previous: float,
        upper: float, lower: float, atr: float, ema: float, h4_due_us: int,
    ) -> Row:  # fmt: skip
        """`h4_due_us`: where the newest 4h candle has to end."""
        zone, bull, bear, ratio = patterns.newest(self._high, self._low, self._close, self._volume, self._rsis, i)
        close = float(self._close[i])
        width = upper - lower
        share = float(np.count_nonzero(self._filled[i + 1 - FILLED_BARS : i + 1])) / FILLED_BARS if i + 1 >= FILLED_BARS else _NAN
        h4_close, h4_ema, h4_hist = self._h4.values
        row = Row(
            time_us, close, rsi, rsi_previous, hist, hist_previous, lower, upper, 0.5 if width == 0 else (close - lower) / width,
            atr, atr / close if close else _NAN, ema, zone, ratio, bull, bear, h4_close, h4_ema, h4_hist, share,
        )  # fmt: skip
        reason = why_not_ready(row, bars, self._h4.bars, self._h4.next_us != h4_due_us, self._wanted)
        return row._replace(reason=reason) if reason else row

    @property
    def not_ready_reason(self) -> str:
        """Why the pair may not be judged at its newest closed bar; "" if it may."""
        return self.row.reason

    @property
    def ready(self) -> bool:
        return not self.row.reason

    @property
    def time_us(self) -> int:
        """Open time of the newest closed 15m bar."""
        return self._time_us

    # --- on demand -----------------------------------------------------------------------------------------------------
    @property
    def closes(self) -> likeness.Closes:
        """The newest closed bars, for correlations with other pairs."""
        first = max(0, self._n - likeness.WINDOW - 1)
        return self._close[first : self._n].copy(), self._filled[first : self._n].astype(np.bool_)

    @property
    def median_quote_volume(self) -> float:
        """Median of volume x close over the last 96 closed bars, in quote."""
        return median_quote_volume(self._close, self._volume, self._n - 1)

    @property
    def quote_volume(self) -> float:
        """Sum of volume x close over the last 96 closed bars: the scanner's rank."""
        part = slice(max(0, self._n - FILLED_BARS), self._n)
        return float(np.sum(self._volume[part] * self._close[part]))

    @property
    def change_24h(self) -> float | None:
        """close[i] / close[i-96] - 1; None before there are 97 bars."""
        return float(self._close[self._n - 1] / self._close[self._n - 1 - FILLED_BARS] - 1) if self._n > FILLED_BARS else None

    def extras(self) -> dict[str, float | bool | str]:
        """Values for reports and the AI that no rule reads: ADX(14) and TA-Lib candle patterns."""
        part = slice(0, self._n)
        open_, high, low, close = (np.ascontiguousarray(one[part]) for one in (self._open, self._high, self._low, self._close))
        found = technical.candle_patterns(open_, high, low, close)
        return {"adx": float(technical.adx(high, low, close)[-1]), **{name: float(value) for name, value in found.items()}}


def _flat(opened: Any) -> tuple[Any, ...]:
    """`open_and_fill` returns (handle, array) or (handle, (arrays...)) depending on the number of outputs."""
    handle, *arrays = opened
    if len(arrays) == 1 and isinstance(arrays[0], tuple):
        arrays = list(arrays[0])
    return (handle, *arrays)
