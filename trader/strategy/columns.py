"""What a strategy reads and says, as whole columns: `Bars` of one pair in, `Signals` out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from trader.errors import ConfigError
from trader.indicators import crossings, hours, patterns, series, spots, technical
from trader.indicators.series import Features
from trader.indicators.technical import Column
from trader.ports import Columns
from trader.strategy.modes import Parameters

T = TypeVar("T")
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Places = np.ndarray[Any, np.dtype[np.int64]]
WARMUPS = ("exact", "short")


class Signals(NamedTuple):
    """What a strategy concludes at the close of each bar, shape (n,); row i may depend on bars up to i only.

    `enter`: open a position at the next open if flat; `leave`: close it at the next open (None: levels and time only).
    `unit`: where given, the distances of the strategy's exits are multiples of it at the signal's bar, else they are
    fractions. `cap`: the worst price an entry may fill at (None: any). `score`: 0-100, for ranking pairs against each other.
    """

    enter: Flags
    leave: Flags | None = None
    unit: Column | None = None
    cap: Column | None = None
    score: Column | None = None


class Entries(NamedTuple):
    """The same by row: the bars that may be entered after, ascending, and what belongs to each, shape (k,); `leave` as in `Signals`.

    What a strategy does not say reads as a unit of 1, no cap (infinite) and a score of 0.
    """

    rows: Places
    unit: Column
    cap: Column
    score: Column
    leave: Flags | None = None

    @classmethod
    def of(cls, said: Signals, sign: int) -> Entries:
        """`sign` of the side: 1 long, -1 short."""
        rows = np.flatnonzero(said.enter)

        def at_rows(column: Column | None, unsaid: float) -> Column:
            return np.full(len(rows), unsaid) if column is None else column[rows]

        return cls(rows, at_rows(said.unit, 1.0), at_rows(said.cap, sign * np.inf), at_rows(said.score, 0.0), said.leave)


class Bars:
    """Closed candles of one pair, and their indicators, each computed once per parameter and shared by all strategies.

    `columns`: the candles; `four`: the 4h candles beside them (None: made of the 15m ones when first asked for);
    `warmup`: `exact`, or `short` = ready after three periods.
    """

    def __init__(self, columns: Columns, four: hours.Hours | None = None, *, warmup: str = "exact") -> None:
        if warmup not in WARMUPS:
            raise ConfigError(f"warmup {warmup!r} is not one of {', '.join(WARMUPS)}")
        self.columns, self._short = columns, warmup == "short"
        self._four = four
        self._known: dict[tuple[Any, ...], Any] = {}
        self.time, self.open, self.high, self.low = columns.time, columns.open, columns.high, columns.low
        self.close, self.volume = columns.close, columns.volume

    def __len__(self) -> int:
        return len(self.close)

    def rsi(self, period: int) -> Column:
        """Relative strength index of the close, 0-100."""
        return self.once(("rsi", period), lambda: technical.rsi(self.close, period))

    def ema(self, period: int) -> Column:
        """Exponential moving average of the close."""
        return self.once(("ema", period), lambda: technical.ema(self.close, period))

    def ema_cross(self, fast: int, slow: int) -> crossings.Crossings:
        """1 where EMA(fast) of the close gets above EMA(slow), -1 where it no longer is, else 0."""
        return self.once(("ema_cross", fast, slow), lambda: crossings.crossed(self.ema(fast), self.ema(slow)))

    def sma(self, period: int) -> Column:
        """Simple moving average of the close."""
        return self.once(("sma", period), lambda: technical.sma(self.close, period))

    def atr(self, period: int = technical.ATR_PERIOD) -> Column:
        """Average true range, in price units."""
        return self.once(("atr", period), lambda: technical.atr(self.high, self.low, self.close, period))

    def macd(self) -> tuple[Column, Column, Column]:
        """MACD(12, 26, 9): line, signal, histogram."""
        return self.once(("macd",), lambda: technical.macd(self.close))

    def bollinger(self) -> tuple[Column, Column, Column]:
        """Upper, middle and lower band of BBANDS(20, 2, 2)."""
        return self.once(("bollinger",), lambda: technical.bollinger(self.close))

    def highest(self, period: int) -> Column:
        """Highest high of the last `period` bars."""
        return self.once(("highest", period), lambda: technical.highest(self.high, period))

    def lowest(self, period: int) -> Column:
        """Lowest low of the last `period` bars."""
        return self.once(("lowest", period), lambda: technical.lowest(self.low, period))

    @property
    def four(self) -> hours.Hours:
        """The 4h candles; only complete ones where they are made of the 15m candles."""
        if self._four is None:
            self._four = hours.made_of(self.time, self.close)
        return self._four

    def features(self, parameters: Parameters) -> Features:
        """The columns that the six strategies decide on; what does not depend on the RSI period is shared.

        Raises ConfigError for bars without open times, which 4h candles cannot be found for.
        """
        p, four = parameters, self._four_of(parameters)
        return self.once(
            ("features", p.rsi_period, p.trend_ema, p.h4_ema),
            lambda: series.features(
                self.columns, four, p, short=self._short, pivots=self._pivots(),
                base=self.once(("base", p.trend_ema, p.h4_ema), lambda: series.base_of(self.columns, four, p, short=self._short)),
            ),
        )  # fmt: skip

    def ready_at(
        self, parameters: Parameters, chosen: Callable[[Column], Places], least: spots.Least = spots.ANY
    ) -> tuple[Places, Features]:
        """Those of the bars `chosen` by their RSI, ascending, that are ready and hold what is the `least`, and `features` there alone.
        Raises as `features` does."""
        p, market = parameters, self._market(parameters)
        rsi = self.rsi(p.rsi_period)
        return spots.ready_at(chosen(rsi), market, p, rsi, least=least, short=self._short)

    def ready(self, parameters: Parameters, rows: Places) -> Places:
        """Those of these bars, ascending, that `features` calls ready. Raises as it does."""
        p = parameters
        return spots.ready(rows, self._market(p), p, self.rsi(p.rsi_period), short=self._short)

    def _market(self, p: Parameters) -> spots.Market:
        four = self._four_of(p)
        return self.once(("market", p.trend_ema, p.h4_ema), lambda: spots.market_of(self.columns, four, p, self._pivots()))

    def _pivots(self) -> tuple[Places, Places]:
        return self.once(("pivots",), lambda: patterns.pivots(self.high, self.low))

    def _four_of(self, parameters: Parameters) -> hours.Hours:
        if len(self.time) != len(self):
            raise ConfigError(f"strategy {parameters.strategy}: field 'time' is missing; the 4h candles are found by it")
        return self.four

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives for these bars, made at the first asking."""
        known = self._known
        if key not in known:
            known[key] = make()
        found: T = known[key]
        return found

    def moved(self, columns: Columns) -> Bars:
        """The same bars where their candles lie now, with nothing made of them yet."""
        return Bars(columns, self._four, warmup="short" if self._short else "exact")

    def forget(self) -> None:
        """Drop what was made, which takes several times the memory of the candles."""
        self._known = {}
