"""The market of the twin: its protocol, and the seeded synthetic market (SIMULATION.md sections 4 and 5).

Prices are a pure function of (seed, pair, time): a restarted twin, a backtest and a download see the same past. Candles of all
timeframes come from one set of 15m bars, so they agree to the last digit. Every price is the float nearest to a multiple of the
pair's tick (`repr` prints it exactly); volumes are multiples of 2**-8 base, so their sums are exact.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from trader.domain.market import DAY, MINUTE, Timeframe
from trader.indicators.resample import aggregate, cut, empty
from trader.ports import Columns
from trader.simulation.listings import Listing, synthetic_bases, synthetic_listing
from trader.simulation.market_factors import ANCHOR_DAY, BLOCK, EPOCH_DAY, Floats
from trader.simulation.market_minutes import Minutes, draw_minutes, expand, stack_draws
from trader.simulation.market_paths import TRADE_QUOTE, VOLUME_UNIT, Bars, PathModel, Traits, make_traits
from trader.simulation.price_path import field_at

EPOCH_US = EPOCH_DAY * DAY
FIRST_US = ANCHOR_DAY * DAY  # 1,099 days before the epoch
_MINUTES_A_DAY = 1_440
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Row(NamedTuple):
    """One base candle of every pair, columns in the order of `Market.pairs`, float64, shape (n_pairs,); NaN where a pair has none."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


class Market(Protocol):
    """Where the twin's prices come from. Every answer depends on its arguments only; callers cut at their own clock."""

    seed: int
    base: Timeframe
    pairs: tuple[str, ...]
    quote: str
    first_us: int

    def listing(self, pair: str) -> Listing: ...
    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """Whole candles that open at or after `start_us` and end at or before `end_us`, ascending; none before `first_us`.

        Raises ValueError for an unknown pair, or a timeframe shorter than `base`.
        """

    def minute(self, index_us: int) -> Row:
        """The base candle that opens at `index_us`, of all pairs; raises ValueError off the grid."""

    def last_price(self, pair: str, time_us: int) -> float:
        """Price of the newest tick at `time_us` on the path of `price_path.ticks`; NaN where the pair has none yet."""


class SyntheticMarket:
    """Seeded market of `count` pairs against `quote`, BTC first. Not safe for use from several threads at once."""

    base = Timeframe.M1
    first_us = FIRST_US

    def __init__(self, seed: int, *, count: int = 150, quote: str = "EUR") -> None:
        if seed < 0 or count < 1:
            raise ValueError(f"seed {seed} must be at least 0 and count {count} at least 1")
        self.seed, self.quote = seed, quote
        self._model = PathModel(seed)
        self._traits: dict[str, Traits] = {}
        self._listings: dict[str, Listing] = {}
        for rank, (base, level) in enumerate(synthetic_bases(count)):
            traits = make_traits(seed, base, rank, level)
            listing = synthetic_listing(base, quote, traits.level)
            self._traits[listing.pair], self._listings[listing.pair] = traits, listing
        self.pairs = tuple(self._listings)
        self._place = {pair: place for place, pair in enumerate(self.pairs)}
        self._days: OrderedDict[int, Any] = OrderedDict()
        self._blocks: OrderedDict[int, list[Bars]] = OrderedDict()
        self._bars: OrderedDict[tuple[str, Timeframe, int, int], Columns] = OrderedDict()

    def listing(self, pair: str) -> Listing:
        return _known(self._listings, pair)

    def candles(self, pair: str, timeframe: Timeframe, start_us: int, end_us: int) -> Columns:
        """See `Market`. A 15m, 1h, 4h or 1d candle costs a few us; 1m and 5m ones are made day by day."""
        _known(self._listings, pair)
        start_us = max(-(-start_us // timeframe.us) * timeframe.us, FIRST_US)
        end_us = timeframe.floor(end_us)
        if end_us <= start_us:
            return empty()
        first, last = start_us // DAY, (end_us - 1) // DAY
        if timeframe.us < Timeframe.M15.us:
            days = aggregate(self._minute_columns(pair, first, last), Timeframe.M1, timeframe)
        else:
            days = self._bar_columns(pair, timeframe, first, last)
        return cut(days, start_us, end_us)

    def minute(self, index_us: int) -> Row:
        """See `Market`. A day of all pairs is made at once and kept: about 0.1 s a day, then microseconds a call."""
        if index_us % MINUTE:
            raise ValueError(f"time {index_us} must be a whole minute in microseconds")
        day, rest = divmod(index_us, DAY)
        if day < ANCHOR_DAY:
            nothing = np.full(len(self.pairs), np.nan)
            return Row(open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing)
        columns = self._day(day)[:, rest // MINUTE]
        return Row(open=columns[0], high=columns[1], low=columns[2], close=columns[3], volume=columns[4])

    def last_price(self, pair: str, time_us: int) -> float:
        """See `Market`."""
        place = self._place[_known(self._listings, pair).pair]
        row = self.minute(Timeframe.M1.floor(time_us))
        columns = {"open": row.open, "high": row.high, "low": row.low, "close": row.close}
        return float(columns[field_at(self.base, time_us)][place])

    def _bar_columns(self, pair: str, timeframe: Timeframe, first: int, last: int) -> Columns:
        """15m and longer candles of whole days. The newest are asked for again each hour, by who shows the figures of 24 hours."""

        def make(_: object) -> Columns:
            return aggregate(self._make_bars(pair, first, last), Timeframe.M15, timeframe)

        if last - first > 1:
            return make(None)
        return _cached(self._bars, (pair, timeframe, first, last), 4 * len(self.pairs), make)

    def _bars_of(self, pair: str, first: int, last: int) -> Bars:
        """15m bars of whole days: out of the block that `minute` keeps of them, where it does."""
        block, row = divmod(first - ANCHOR_DAY, BLOCK)
        whole = self._blocks.get(block)
        if whole is None or row + last - first >= BLOCK:
            return self._model.bars(self._traits[pair], self._listings[pair], first, last)
        return _slice(whole[self._place[pair]], slice(96 * row, 96 * (row + last - first + 1)))

    def _make_bars(self, pair: str, first: int, last: int) -> Columns:
        bars = self._bars_of(pair, first, last)
        scale = 10.0 ** self._listings[pair].pair_decimals
        return Columns(
            time=bars.time,
            open=bars.open / scale,
            high=bars.high / scale,
            low=bars.low / scale,
            close=bars.close / scale,
            volume=bars.units.astype(np.float64) * VOLUME_UNIT,
            filled=bars.units == 0,
        )

    def _minute_columns(self, pair: str, first: int, last: int) -> Columns:
        bars = self._bars_of(pair, first, last)
        minutes = self._expand([pair], [bars], range(first, last + 1))
        scale = 10.0 ** self._listings[pair].pair_decimals
        return Columns(
            time=first * DAY + np.arange(minutes.units.size, dtype=np.int64) * MINUTE,
            open=minutes.open.ravel() / scale,
            high=minutes.high.ravel() / scale,
            low=minutes.low.ravel() / scale,
            close=minutes.close.ravel() / scale,
            volume=minutes.units.ravel().astype(np.float64) * VOLUME_UNIT,
            filled=minutes.units.ravel() == 0,
        )

    def _expand(self, pairs: list[str], bars: list[Bars], days: range) -> Minutes:
        """Minutes of whole days, pair after pair."""
        draws = stack_draws([draw_minutes(self.seed, self._traits[pair].key, day) for pair in pairs for day in days])
        scales = (10.0 ** self._listings[pair].pair_decimals for pair in pairs)
        mean_units = np.concatenate([TRADE_QUOTE * scale / part.close / VOLUME_UNIT for scale, part in zip(scales, bars, strict=True)])
        return expand(_joined(bars), mean_units, draws)

    def _day(self, day: int) -> Any:
        """Open, high, low, close, volume of every minute and pair: float64, shape (5, 1440, n_pairs)."""
        return _cached(self._days, day, 3, self._make_day)

    def _make_day(self, day: int) -> Any:
        block, row = divmod(day - ANCHOR_DAY, BLOCK)
        whole = _cached(self._blocks, block, 2, self._make_block)
        bars = [_slice(part, slice(96 * row, 96 * (row + 1))) for part in whole]
        minutes = self._expand(list(self.pairs), bars, range(day, day + 1))
        scales = np.array([10.0**listing.pair_decimals for listing in self._listings.values()])
        prices = (minutes.open, minutes.high, minutes.low, minutes.close)
        columns = [column.reshape(len(self.pairs), _MINUTES_A_DAY).T / scales for column in prices]
        columns.append(minutes.units.reshape(len(self.pairs), _MINUTES_A_DAY).T * VOLUME_UNIT)
        stacked = np.ascontiguousarray(np.stack(columns))
        stacked.flags.writeable = False
        return stacked

    def _make_block(self, block: int) -> list[Bars]:
        first = ANCHOR_DAY + block * BLOCK
        return [self._model.bars(self._traits[pair], self._listings[pair], first, first + BLOCK - 1) for pair in self.pairs]


def _known(listings: dict[str, Listing], pair: str) -> Listing:
    if pair not in listings:
        raise ValueError(f"pair {pair!r} is not listed; {len(listings)} pairs are, the first is {next(iter(listings))}")
    return listings[pair]


def _cached(cache: OrderedDict[K, T], key: K, size: int, make: Callable[[K], T]) -> T:
    """Least recently used look-up; the values are pure, so a miss only costs time."""
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    value = cache[key] = make(key)
    if len(cache) > size:
        cache.popitem(last=False)
    return value


def _slice(bars: Bars, part: slice) -> Bars:
    return Bars(**{name: getattr(bars, name)[part] for name in Bars.__slots__})


def _joined(parts: list[Bars]) -> Bars:
    return Bars(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Bars.__slots__})
