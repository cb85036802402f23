"""Where a backtest's candles come from: a Parquet file, or the history store of a state directory, read as of one instant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from trader.bootstrap.data_desk import opened
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import World
from trader.data.pinned import Pinned, PinnedReader, pin
from trader.data.resample import resample, segments
from trader.domain.market import DAY, Instrument, Timeframe
from trader.domain.messages import stamp
from trader.domain.money import quantum
from trader.errors import ConfigError
from trader.indicators.resample import cut, empty
from trader.ports import Columns
from trader.simulation.kraken_server.spot.market_view import QUOTE_DECIMALS
from trader.simulation.listings import Listing, replay_listing
from trader.simulation.market import Market
from trader.simulation.replay import ReplayMarket, decimals_seen
from trader.simulation.table import StoredMarket, TableMarket

FIELDS = ("time", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")
QUIET = 96
"""A day of 15m candles in a row without a trade is a gap: nothing that was simulated there could have been filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCandles:
    """A pair's candles up to the end of the range: 15m, and 4h ones where the source has them itself (else made of the 15m)."""

    pair: str
    quarters: Columns
    four: Columns | None
    rules: Callable[[], Instrument]

    @property
    def instrument(self) -> Instrument:
        """The pair's trading rules; only worked out where asked for, since a price step may have to be read off its prices."""
        return self.rules()


class Source(Protocol):
    """What a backtest reads. `base`: the finest candles; times are UTC microseconds, ranges half-open."""

    kind: str
    name: str
    base: Timeframe
    pairs: tuple[str, ...]
    first_us: int
    end_us: int

    def fine(self, pair: str, start_us: int, end_us: int) -> Columns:
        """Candles of the finest timeframe that open in the range."""

    def spans(self) -> Mapping[str, tuple[int, int]]:
        """Open times of the first and the newest 15m candle of each pair that has any."""

    def read(self, pairs: Sequence[str], end_us: int) -> Iterator[PairCandles]:
        """15m candles and what goes with them, in the order asked for; a pair without any comes with none. Who drops a pair's before
        the next one's comes has one pair's in memory."""

    def digest(self, pairs: Sequence[str], start_us: int, end_us: int) -> str:
        """SHA-256 of what the result depends on."""

    def market(self, pairs: Sequence[str]) -> TableMarket:
        """These pairs as a market that can be replayed."""


# --- a file ------------------------------------------------------------------------------------------------------------
class FileSource:
    """A Parquet file of candles. Raises ConfigError naming the file and what is wrong with it."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self._market = ReplayMarket(path)
        self.name, self.base, self.pairs = path.name, self._market.base, self._market.pairs
        self.first_us, self.end_us = self._market.first_us, self._market.end_us

    def fine(self, pair: str, start_us: int, end_us: int) -> Columns:
        return self._market.candles(pair, self.base, start_us, end_us)

    def spans(self) -> Mapping[str, tuple[int, int]]:
        return _spans((one.pair, one.quarters) for one in self.read(self.pairs, self.end_us))

    def read(self, pairs: Sequence[str], end_us: int) -> Iterator[PairCandles]:
        for pair in pairs:
            quarters = self._market.candles(pair, Timeframe.M15, self.first_us, end_us)
            yield PairCandles(pair=pair, quarters=quarters, four=None, rules=partial(_listed, self._market, pair))

    def digest(self, pairs: Sequence[str], start_us: int, end_us: int) -> str:
        """Over the columns of the candles in range, pair by pair."""
        seen = hashlib.sha256()
        for pair in sorted(pairs):
            columns = self.fine(pair, start_us, end_us)
            seen.update(pair.encode())
            for name in FIELDS:
                seen.update(getattr(columns, name).tobytes())
        return seen.hexdigest()

    def market(self, pairs: Sequence[str]) -> TableMarket:
        columns = {pair: self.fine(pair, self.first_us, self.end_us) for pair in pairs}
        listings = {pair: self._market.listing(pair) for pair in pairs}
        return TableMarket(columns, listings, base=self.base, quote=self._market.quote, seed=0)


# --- the history store -------------------------------------------------------------------------------------------------
class StoreSource:
    """The history store of a state directory: the part files that count now are pinned for a day of its clock, and read
    (`pinned`: files that somebody pinned before).

    A pair's price step is its market's where the directory holds a simulated one, else the one its prices show.
    Raises ConfigError where there is no store or no candle in it.
    """

    kind = "history"
    base = Timeframe.M15

    def __init__(self, state: Path, pinned: Pinned | None = None) -> None:
        with opened(state) as (store, now_us):
            self.pinned = pinned or pin(store, (Timeframe.M15, Timeframe.H4), now_us + DAY)
            self.pairs = tuple(sorted(store.pairs(), key=lambda pair: (not pair.startswith("BTC/"), pair)))
        self.name = f"history of {state}, {self.pinned.files} parts"
        only_quarters = self.pinned.holds_only(Timeframe.M15)  # then nobody has 4h candles that the 15m ones do not make
        self._reader = PinnedReader(self.pinned, self.pairs, (Timeframe.M15,) if only_quarters else (Timeframe.M15, Timeframe.H4))
        self._held: dict[str, Stored] | None = None
        world = Paths(state).world
        self._market = World.load(world).market() if world.exists() else None
        self._spans = (
            self._reader.spans(Timeframe.M15) if only_quarters else _spans((pair, stored[0]) for pair, stored in self._all().items())
        )
        if not self._spans:
            raise ConfigError(f"--state {state}: its history holds no 15m candle; `trader ingest` fetches them")
        self.first_us = min(first for first, _ in self._spans.values())
        self.end_us = max(newest for _, newest in self._spans.values()) + self.base.us

    def spans(self) -> Mapping[str, tuple[int, int]]:
        return self._spans

    def fine(self, pair: str, start_us: int, end_us: int) -> Columns:
        return cut(self._all()[pair][0], start_us, end_us)

    def read(self, pairs: Sequence[str], end_us: int) -> Iterator[PairCandles]:
        for pair, (quarters, four) in self._stored(pairs):
            yield PairCandles(
                pair=pair, quarters=cut(quarters, 0, end_us), four=None if four is None else cut(four, 0, end_us - Timeframe.H4.us + 1),
                rules=partial(_instrument, self._market, pair, quarters),
            )  # fmt: skip

    def digest(self, pairs: Sequence[str], start_us: int, end_us: int) -> str:
        """Of the pinned parts, whatever is read of them."""
        return self.pinned.digest

    def market(self, pairs: Sequence[str]) -> TableMarket:
        """Of 15m candles, without pairs that have none; what lies before a pair's newest hole is not replayed."""
        found = {pair: stored for pair in pairs if len((stored := self._all()[pair])[0])}
        quarters = {pair: columns for pair, (columns, _) in found.items()}
        made = {pair: resample(quarters[pair], self.base, Timeframe.H4) if four is None else four for pair, (_, four) in found.items()}
        return StoredMarket(
            {pair: segments(columns, self.base)[-1] for pair, columns in quarters.items()},
            {Timeframe.H4: made}, {pair: listing_of(self._market, pair, columns) for pair, columns in quarters.items()}, base=self.base,
            quote=self.pairs[0].split("/")[1], seed=0,
        )  # fmt: skip

    def _all(self) -> Mapping[str, Stored]:
        """Candles of all pairs, for who asks for them in no order: read at the first asking, and kept."""
        if self._held is None:
            self._held = dict(self._stored(self.pairs))
        return self._held

    def _stored(self, pairs: Sequence[str]) -> Iterator[tuple[str, Stored]]:
        if self._held is not None:
            yield from ((pair, self._held[pair]) for pair in pairs)
            return
        for pair, found in self._reader.read(pairs):
            four = found.get(Timeframe.H4, NOTHING) if Timeframe.H4 in self._reader.timeframes else None
            yield pair, (found.get(Timeframe.M15, NOTHING), four)


NOTHING = empty()
Stored = tuple[Columns, Columns | None]
"""15m candles, and 4h ones where the store has some that the 15m ones do not make."""


# --- what both need ----------------------------------------------------------------------------------------------------
def listing_of(market: Market | None, pair: str, columns: Columns) -> Listing:
    """A pair's listing in the simulated market the candles came from; where there is none, with the price step they show."""
    if market is not None and pair in market.pairs:
        return market.listing(pair)
    prices = np.concatenate([getattr(columns, name) for name in PRICES])
    first = float(columns.open[0]) if len(columns) else 1.0
    return replay_listing(pair, pair_decimals=decimals_seen(prices) if len(prices) else 1, first_price=first)


def _spans(candles: Iterable[tuple[str, Columns]]) -> dict[str, tuple[int, int]]:
    return {pair: (int(columns.time[0]), int(columns.time[-1])) for pair, columns in candles if len(columns)}


def instrument(listing: Listing) -> Instrument:
    """The trading rules of a listed pair."""
    return Instrument(
        pair=listing.pair, base=listing.base, quote=listing.quote, tick=listing.tick, lot=quantum(listing.lot_decimals),
        order_min=listing.ordermin, cost_min=listing.costmin, quote_step=quantum(QUOTE_DECIMALS),
    )  # fmt: skip


def _listed(market: ReplayMarket, pair: str) -> Instrument:
    return instrument(market.listing(pair))


def _instrument(market: Market | None, pair: str, columns: Columns) -> Instrument:
    return instrument(listing_of(market, pair, columns))


def gap(columns: Columns, start_us: int, end_us: int, timeframe: Timeframe) -> str:
    """Why these candles are no market to trade in between two moments: "" or where they lack, in words."""
    part = cut(columns, start_us, end_us)
    if not len(part):
        return "no candles in the range"
    steps = np.diff(part.time)
    if (missing := np.flatnonzero(steps != timeframe.us)).size:
        at = int(missing[0])
        count = int(steps[at]) // timeframe.us - 1
        more = f", and {missing.size - 1} more gaps" if missing.size > 1 else ""
        return f"a gap: {count} {timeframe} candles missing after {stamp(int(part.time[at]))}{more}"
    quiet = round(QUIET * Timeframe.M15.us / timeframe.us)
    edges = np.flatnonzero(np.diff(np.r_[False, part.filled, False].astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    if runs.size and int(runs.max()) >= quiet:
        at = int(edges[::2][int(runs.argmax())])
        return f"a gap: {int(runs.max())} {timeframe} candles in a row without a trade from {stamp(int(part.time[at]))}"
    return ""
