"""The synthetic market: same past for everybody, candles that agree to the last digit, honest listings."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trader.domain.market import DAY, MINUTE, SECOND, Timeframe
from trader.indicators.resample import aggregate
from trader.ports import Columns
from trader.simulation.market import EPOCH_US, FIRST_US, SyntheticMarket
from trader.simulation.price_path import ticks

FIELDS = ("time", "open", "high", "low", "close", "volume", "filled")
LONGER = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(7)


def same(a: Columns, b: Columns) -> bool:
    return len(a) == len(b) > 0 and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def digest(columns: Columns) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(getattr(columns, name)).tobytes() for name in FIELDS)).hexdigest()


@pytest.mark.parametrize("place", [0, 1, 5, 60, 120, 149])
def test_every_timeframe_is_the_exact_aggregate_of_its_minutes(market: SyntheticMarket, place: int) -> None:
    pair = market.pairs[place]
    start, end = EPOCH_US - 9 * DAY, EPOCH_US + 8 * DAY
    minutes = market.candles(pair, Timeframe.M1, start, end)
    assert len(minutes) == 17 * 1_440
    for frame in LONGER:
        assert same(aggregate(minutes, Timeframe.M1, frame), market.candles(pair, frame, start, end)), frame
    assert same(
        aggregate(market.candles(pair, Timeframe.M15, start, end), Timeframe.M15, Timeframe.H4),
        market.candles(pair, Timeframe.H4, start, end),
    )


def test_aggregates_agree_when_empty_minutes_are_left_out_as_the_archive_does(market: SyntheticMarket) -> None:
    pair = market.pairs[-1]
    minutes = market.candles(pair, Timeframe.M1, EPOCH_US, EPOCH_US + 10 * DAY)
    bars = market.candles(pair, Timeframe.M15, EPOCH_US, EPOCH_US + 10 * DAY)
    compared = 0
    for row in np.flatnonzero(~bars.filled):
        traded = slice(15 * row, 15 * row + 15)
        there = ~minutes.filled[traded]
        assert minutes.open[traded][there][0] == bars.open[row]
        assert minutes.high[traded][there].max() == bars.high[row]
        assert minutes.low[traded][there].min() == bars.low[row]
        assert minutes.close[traded][there][-1] == bars.close[row]
        compared += int(there.sum() < 15)
    assert compared > 100


def test_candles_are_well_formed_and_filled_ones_repeat_the_close_before(market: SyntheticMarket) -> None:
    filled = 0
    for pair in (market.pairs[0], market.pairs[75], market.pairs[-1]):
        for frame in (Timeframe.M1, Timeframe.M15):
            c = market.candles(pair, frame, EPOCH_US - 20 * DAY, EPOCH_US)
            assert np.array_equal(np.diff(c.time), np.full(len(c) - 1, frame.us))
            assert (c.low > 0).all() and (c.low <= np.minimum(c.open, c.close)).all() and (c.high >= np.maximum(c.open, c.close)).all()
            assert np.array_equal(c.filled, c.volume == 0) and (c.volume >= 0).all()
            empty = np.flatnonzero(c.filled[1:]) + 1
            for column in (c.open, c.high, c.low, c.close):
                assert np.array_equal(column[empty], c.close[empty - 1])
            filled += len(empty)
    assert filled > 1_000


def test_prices_are_exact_multiples_of_the_tick_and_volumes_of_the_lot(market: SyntheticMarket) -> None:
    for pair in market.pairs[::13]:
        listing = market.listing(pair)
        c = market.candles(pair, Timeframe.M1, EPOCH_US, EPOCH_US + DAY)
        for value in (*c.open[:50], *c.high[:50], *c.low[:50], *c.close[:50]):
            assert Decimal(repr(float(value))) % listing.tick == 0
            assert round(float(value), listing.pair_decimals) == value
        assert all(Decimal(repr(float(volume))) % Decimal("1e-8") == 0 for volume in c.volume[:200])


def test_any_range_in_any_order_shows_the_same_past(market: SyntheticMarket) -> None:
    pair = "SOL/EUR"
    whole = market.candles(pair, Timeframe.M15, EPOCH_US - 400 * DAY, EPOCH_US + 30 * DAY)
    assert len(whole) == 430 * 96
    other = SyntheticMarket(7, count=3)  # fewer pairs, asked backwards, after a far future day
    other.candles(pair, Timeframe.M15, EPOCH_US + 2_000 * DAY, EPOCH_US + 2_001 * DAY)
    for day in (29, 3, 0, -1, -57, -399):
        start = EPOCH_US + day * DAY + 5 * Timeframe.M15.us
        part = other.candles(pair, Timeframe.M15, start, start + 90 * Timeframe.M15.us)
        rows = slice(*np.searchsorted(whole.time, (start, start + 90 * Timeframe.M15.us)))
        assert len(part) == 90
        assert all(np.array_equal(getattr(part, name), getattr(whole, name)[rows]) for name in FIELDS)


def test_other_seeds_have_other_prices_at_the_same_level() -> None:
    a, b = (SyntheticMarket(seed, count=2).candles("BTC/EUR", Timeframe.M15, EPOCH_US, EPOCH_US + DAY) for seed in (7, 8))
    assert not np.array_equal(a.close, b.close)
    assert abs(a.open[0] / 60_000 - 1) < 0.05 and abs(b.open[0] / 60_000 - 1) < 0.05


def test_same_bytes_for_another_hash_seed() -> None:
    code = (
        "from tests.unit.simulation.test_market import *\n"
        "print(digest(SyntheticMarket(7, count=9).candles('DOGE/EUR', Timeframe.M1, EPOCH_US - DAY, EPOCH_US + DAY)))"
    )
    seen = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": h}, capture_output=True, text=True, check=True).stdout
        for h in ("1", "2")
    }
    here = digest(SyntheticMarket(7, count=9).candles("DOGE/EUR", Timeframe.M1, EPOCH_US - DAY, EPOCH_US + DAY))
    assert seen == {here + "\n"}


def test_minute_serves_the_same_candles_as_history_for_all_pairs(market: SyntheticMarket) -> None:
    start = EPOCH_US + 7 * DAY - 30 * MINUTE  # over a day and a block of days
    rows = [market.minute(start + i * MINUTE) for i in range(60)]
    for place, pair in enumerate(market.pairs[::10]):
        c = market.candles(pair, Timeframe.M1, start, start + 60 * MINUTE)
        for name in ("open", "high", "low", "close", "volume"):
            assert [float(getattr(row, name)[10 * place]) for row in rows] == getattr(c, name).tolist()
    open_, *_, volume = rows[0]
    assert open_.shape == volume.shape == (150,)


def test_last_price_walks_open_low_high_close(market: SyntheticMarket) -> None:
    start = EPOCH_US + 100 * MINUTE
    row = market.minute(start)
    seen = [market.last_price("BTC/EUR", start + s * SECOND) for s in (0, 19, 20, 39, 40, 57, 58, 59)]
    o, h, low, c = (float(column[0]) for column in (row.open, row.high, row.low, row.close))
    assert seen == [o, o, low, low, h, h, c, c]


def test_tick_schedule_says_where_prices_jump_and_shares_the_volume() -> None:
    path = ticks(Timeframe.M5)
    assert [(tick.offset_us // SECOND, tick.field, tick.continuous) for tick in path] == [
        (0, "open", False),
        (100, "low", True),
        (200, "high", True),
        (298, "close", True),
    ]
    assert sum(tick.volume_share for tick in path) == 1.0


def test_history_reaches_400_days_back_and_stops_where_the_market_began(market: SyntheticMarket) -> None:
    assert EPOCH_US - FIRST_US >= 400 * DAY
    first = market.candles("BTC/EUR", Timeframe.D1, 0, FIRST_US + 3 * DAY)
    assert first.time.tolist() == [FIRST_US, FIRST_US + DAY, FIRST_US + 2 * DAY]
    assert len(market.candles("BTC/EUR", Timeframe.M1, 0, FIRST_US)) == 0
    assert np.isnan(market.minute(FIRST_US - MINUTE).close).all()


def test_only_whole_candles_are_returned(market: SyntheticMarket) -> None:
    c = market.candles("ETH/EUR", Timeframe.H4, EPOCH_US + 1, EPOCH_US + 12 * 60 * MINUTE - 1)
    assert c.time.tolist() == [EPOCH_US + 240 * MINUTE]
    assert len(market.candles("ETH/EUR", Timeframe.H4, EPOCH_US + 1, EPOCH_US + 2)) == 0


def test_listings_have_krakens_names_and_sane_rules(market: SyntheticMarket) -> None:
    names = {p: (market.listing(p).pair_id, market.listing(p).altname, market.listing(p).wsname) for p in market.pairs}
    assert market.pairs[0] == "BTC/EUR" and len(set(market.pairs)) == 150
    assert names["BTC/EUR"] == ("XXBTZEUR", "XBTEUR", "XBT/EUR")
    assert names["ETH/EUR"] == ("XETHZEUR", "ETHEUR", "ETH/EUR")
    assert names["XRP/EUR"] == ("XXRPZEUR", "XRPEUR", "XRP/EUR")
    assert names["DOGE/EUR"] == ("XDGEUR", "XDGEUR", "XDG/EUR")
    assert names["SOL/EUR"] == ("SOLEUR", "SOLEUR", "SOL/EUR")
    prices = []
    for pair in market.pairs:
        listing = market.listing(pair)
        price = float(market.candles(pair, Timeframe.M15, EPOCH_US - 15 * MINUTE, EPOCH_US).close[0])
        prices.append(price)
        assert float(listing.tick) / price < 1e-4 and listing.costmin == Decimal("0.5") and listing.lot_decimals == 8
        assert 1 < float(listing.ordermin) * price < 8 and listing.ordermin % Decimal("1e-8") == 0
        assert listing.quote == "EUR" and listing.base not in {"USD", "GBP", "USDT", "USDC", "DAI"}
    assert min(prices) < 2e-5 and max(prices) > 55_000


def test_beyond_the_list_of_names_tickers_are_invented() -> None:
    pairs = SyntheticMarket(1, count=500).pairs
    assert len(set(pairs)) == 500 and any(pair.startswith("QX") for pair in pairs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.listing("NOPE/EUR"), "'NOPE/EUR' is not listed"),
        (lambda m: m.candles("NOPE/EUR", Timeframe.M1, 0, 1), "'NOPE/EUR' is not listed"),
        (lambda m: m.minute(EPOCH_US + 1), "must be a whole minute"),
        (lambda m: SyntheticMarket(-1), "seed -1 must be at least 0"),
    ],
)
def test_bad_questions_get_one_clear_error(market: SyntheticMarket, call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(market)
