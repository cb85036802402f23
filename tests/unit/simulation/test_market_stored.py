"""A market made of stored candles says what the market they came from said; an account taken over goes on where it was."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import numpy as np
import pytest

from trader.domain.market import DAY, MINUTE, Timeframe
from trader.domain.orders import ExchangeStatus, Intent, Leg, OrderType, Outcome, Side
from trader.indicators.resample import cut
from trader.ports import Columns
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.simulation.table import StoredMarket, behind, on_grid
from trader.simulation.venue import Carried, Venue, VenueExchange

START = EPOCH_US + 3 * DAY
SOURCE = SyntheticMarket(5, count=2)
PAIR = SOURCE.pairs[1]


def stored() -> StoredMarket:
    """Minutes of six hours, 15m and 4h candles of the ten days up to their end."""
    end = START + 360 * MINUTE
    minutes = {pair: SOURCE.candles(pair, Timeframe.M1, START, end) for pair in SOURCE.pairs}
    longer = {tf: {pair: SOURCE.candles(pair, tf, START - 10 * DAY, end) for pair in SOURCE.pairs} for tf in (Timeframe.M15, Timeframe.H4)}
    listings = {pair: SOURCE.listing(pair) for pair in SOURCE.pairs}
    return StoredMarket(minutes, longer, listings, base=Timeframe.M1, quote="EUR", seed=5)


def same(a: Columns, b: Columns) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("time", "open", "high", "low", "close", "volume", "filled"))


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4])
def test_candles_of_every_length_are_those_of_the_source(timeframe: Timeframe) -> None:
    market, end = stored(), START + 300 * MINUTE
    since = START if timeframe.us < Timeframe.M15.us else START - 2 * DAY
    found = market.candles(PAIR, timeframe, since, end)
    assert len(found) >= 12
    assert same(found, SOURCE.candles(PAIR, timeframe, since, end))


def test_ticks_are_those_of_the_source_and_nothing_comes_after_the_end() -> None:
    market = stored()
    for minute in (0, 17, 359):
        assert all(
            np.array_equal(a, b)
            for a, b in zip(market.minute(START + minute * MINUTE), SOURCE.minute(START + minute * MINUTE), strict=True)
        )
    assert np.isnan(market.minute(START + 360 * MINUTE).close).all()


def test_a_minute_that_is_not_stored_repeats_the_close_before_without_volume() -> None:
    rows = SOURCE.candles(PAIR, Timeframe.M1, START, START + 10 * MINUTE)
    holed = behind(cut(rows, START, START + 4 * MINUTE), cut(rows, START + 6 * MINUTE, START + 10 * MINUTE))
    found = on_grid(holed, Timeframe.M1)
    assert len(found) == 10
    assert found.close[4] == found.close[5] == found.open[5] == rows.close[3]
    assert found.volume[4] == 0.0
    assert found.filled.tolist() == [False] * 4 + [True] * 2 + [False] * 4


def _stop(trigger: str) -> Intent:
    return Intent(
        cl_ord_id="tabcstop", key="k", leg=Leg.STOP, attempt=0, position_id="p", pair=PAIR, side=Side.SELL, order_type=OrderType.STOP_LOSS,
        quantity=Decimal(2), trigger_price=Decimal(trigger), created_us=START - DAY, outcome=Outcome.ACKED, txid="OABCDE-OLD00-000001",
        status=ExchangeStatus.OPEN,
    )  # fmt: skip


@pytest.mark.parametrize(("above", "fills"), [(True, 1), (False, 0)])
def test_an_account_taken_over_has_its_coins_and_its_stop_still_acts(above: bool, fills: int) -> None:
    async def main() -> tuple[list[str], int, Decimal]:
        market = stored()
        clock = LoopClock(START)
        price = market.last_price(PAIR, START)
        carried = Carried(
            balances={"EUR": Decimal(500), PAIR.split("/")[0]: Decimal(2)}, resting=[_stop(f"{price * (2 if above else 0.5):.4f}")]
        )
        venue = Venue(market, clock, seed=9, tag="abc", starting_cash=Decimal(0), carried=carried)
        exchange = VenueExchange(venue)
        resting = [order.txid for order in await exchange.open_orders()]
        running = asyncio.create_task(venue.run_market(START + 5 * MINUTE))
        await running
        return resting, len(await exchange.fills(0)), (await exchange.balances())["EUR"].total

    resting, sold, cash = run_stepped(main)
    assert resting == ["OABCDE-OLD00-000001"]
    assert sold == fills
    assert (cash > 500) is above
