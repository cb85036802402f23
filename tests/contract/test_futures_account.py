"""What only futures promise, on the adapter over the twin: shorts, positions, leverage, funding, inverse contracts, every word."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from venue_kit import CASH, FUTURES, FUTURES_IN_PROCESS, Bench, Kind, on_venue

from trader.domain.futures import HOUR_US
from trader.domain.orders import Acked, Ambiguous, Answer, ExchangeStatus, Leg, OrderType, Rejected, Side
from trader.errors import RejectedError
from trader.kraken.futures import KrakenFuturesExchange
from trader.simulation.faults import Fault

INVERSE = "BTC/USD:BTC"


def venue(b: Bench) -> KrakenFuturesExchange:
    assert isinstance(b.exchange, KrakenFuturesExchange)
    return b.exchange


async def short(b: Bench) -> Decimal:
    """Sell without holding anything; what was sold."""
    entry = await b.entry(side=Side.SELL, limit_price=await b.far("0.99"))
    answer = await b.exchange.submit(entry)
    assert isinstance(answer, Acked), answer
    return entry.quantity


def test_a_sell_entry_is_a_short_and_its_stop_buys_it_back() -> None:
    async def test(b: Bench) -> None:
        size = await short(b)
        (position,) = await venue(b).positions()
        (fill,) = await b.exchange.fills(0)
        assert (position.pair, position.side, position.size, position.leverage) == (b.kind.pair, Side.SELL, size, None)
        assert position.entry_price == fill.price
        near = (await b.market.tickers())[b.kind.pair].last + (await b.exchange.instruments())[b.kind.pair].tick
        placed = await b.exchange.submit(await b.stop(size, near, side=Side.BUY))
        assert isinstance(placed, Acked), placed
        for _ in range(60):
            await b.clock.sleep(60)
            if not await b.exchange.open_orders():
                break
        assert list(await venue(b).positions()) == []
        (order,) = await b.exchange.orders([placed.txid])
        assert (order.status, order.filled) == (ExchangeStatus.CLOSED, size)

    on_venue(FUTURES, test)


def test_a_reducing_order_is_cut_to_the_position_and_never_turns_it() -> None:
    async def test(b: Bench) -> None:
        size = await short(b)
        exit_ = await b.entry(
            cl_ord_id="tabcexit0000000001", leg=Leg.EXIT, order_type=OrderType.MARKET, quantity=size * 4, limit_price=None, immediate=False
        )
        await b.exchange.submit(exit_)
        assert [position for position in await venue(b).positions() if position.side is Side.BUY] == []

    on_venue(FUTURES, test)


def test_money_is_cash_and_the_margin_held_for_positions() -> None:
    async def test(b: Bench) -> None:
        fill = await b.bought()
        usd = (await b.exchange.balances())["USD"]
        assert usd.total == CASH - fill.fee  # nothing was bought: only the fee is gone
        assert Decimal("0.9") < usd.held / (fill.cost * Decimal("0.02")) < Decimal("1.1")  # the first level asks for 2 %

    on_venue(FUTURES, test)


def test_leverage_preferences_are_set_read_and_removed() -> None:
    async def test(b: Bench) -> None:
        assert dict(await venue(b).leverages()) == {}
        await venue(b).set_leverage(b.kind.pair, Decimal(5))
        assert dict(await venue(b).leverages()) == {b.kind.pair: Decimal(5)}
        await b.bought()
        (position,) = await venue(b).positions()
        assert position.leverage == 5
        with pytest.raises(RejectedError, match="NIX"):
            await venue(b).set_leverage(b.kind.unlisted, Decimal(5))

    on_venue(FUTURES, test)


def test_funding_is_read_hour_by_hour() -> None:
    async def test(b: Bench) -> None:
        rates = await venue(b).funding_rates(b.kind.pair)
        assert len(rates) >= 24
        assert all(after.time_us - before.time_us == 3_600_000_000 for before, after in itertools.pairwise(rates))
        assert all(abs(rate.relative) <= Decimal("0.0025") for rate in rates)

    on_venue(FUTURES, test)


@pytest.mark.parametrize("kind", [FUTURES, FUTURES_IN_PROCESS], ids=lambda kind: kind.name)
def test_funding_is_paid_on_the_hour_and_with_the_trade_that_ends_a_position(kind: Kind) -> None:
    async def test(b: Bench) -> None:
        before = (await b.exchange.balances())["USD"].total
        entry = await b.entry(side=Side.SELL, limit_price=await b.far("0.99"))
        await b.exchange.submit(entry)
        await b.clock.sleep_until(b.clock.now_us() // HOUR_US * HOUR_US + 2 * HOUR_US + 1_200_000_000)
        now_us = b.clock.now_us()
        cover = await b.entry(
            cl_ord_id="tabcexit0000000001", leg=Leg.EXIT, order_type=OrderType.MARKET, quantity=entry.quantity, limit_price=None,
            immediate=False, created_us=now_us, deadline_us=now_us + 5_000_000,
        )  # fmt: skip
        assert isinstance(await b.exchange.submit(cover), Acked)
        paid = await b.exchange.funding(0)
        assert [one.pair for one in paid] == [b.kind.pair] * 3
        assert [one.time_us % HOUR_US for one in paid[:2]] == [0, 0] and paid[2].time_us % HOUR_US
        assert list(await b.exchange.funding(paid[1].time_us)) == [paid[2]]
        sold, bought = await b.exchange.fills(0)
        gain = sold.cost - bought.cost - sold.fee - bought.fee
        assert (await b.exchange.balances())["USD"].total == before + gain + sum(one.amount for one in paid)

    on_venue(kind, test)


def test_an_inverse_contract_counts_usd_and_pays_in_coins() -> None:
    async def test(b: Bench) -> None:
        ask, coins = (await b.market.tickers())[INVERSE].ask, "BTC@fi_xbtusd"
        before = (await b.exchange.balances())[coins].total
        rules = (await b.exchange.instruments())[INVERSE]
        entry = await b.entry(pair=INVERSE, quantity=Decimal(1000), limit_price=rules.price_up(ask * Decimal("1.01")))
        answer = await b.exchange.submit(entry)
        assert isinstance(answer, Acked), answer
        (fill,) = await b.exchange.fills(0)
        assert (fill.pair, fill.quantity) == (INVERSE, 1000)
        assert abs(fill.cost - 1000 / fill.price) < Decimal("1e-9")
        assert (await b.exchange.balances())[coins].total == before - fill.fee
        (position,) = await venue(b).positions()
        assert (position.pair, position.side, position.size) == (INVERSE, Side.BUY, 1000)

    on_venue(FUTURES, test)


def test_fees_of_fills_follow_the_rates_the_source_told() -> None:
    async def test(b: Bench) -> None:
        fill, (taker, _) = await b.bought(), await b.exchange.fee_rates()
        assert abs(fill.fee - fill.cost * taker) < Decimal("1e-9")

    on_venue(FUTURES, test)


@pytest.mark.parametrize("counting", [True, False], ids=["limiter on", "limiter off"])
def test_a_burst_of_three_times_the_allowance(counting: bool) -> None:
    """185 orders of 10 units at once against 500 in 10 s: paced with the limiter, refused by the venue without it."""

    async def test(b: Bench) -> None:
        assert b.limiter is not None
        assert b.twin is not None
        b.limiter.counting = counting
        entry, started_us = await b.entry(limit_price=await b.far("0.5"), immediate=False), b.clock.now_us()
        kinds = []
        for number in range(185):
            now_us = b.clock.now_us()
            order = replace(entry, cl_ord_id=f"tabc{number:014d}", deadline_us=now_us + 30_000_000, quantity=Decimal("0.0001"))
            answer = await b.exchange.submit(order)
            kinds.append(answer.kind if isinstance(answer, Rejected) else type(answer).__name__)
        took_s = (b.clock.now_us() - started_us) / 1e6
        refused = b.twin.futures.limits.refused
        if counting:
            assert (refused, kinds) == (0, ["Acked"] * 185)
            assert 375 * took_s / 10 * 0.9 <= 1500  # of what entries may use, 9 tenths at least were used
            assert took_s <= 45
        else:
            assert refused > 100
            assert kinds.count("later") == refused

    on_venue(FUTURES, test)


# --- every word on every write, counted at the venue -----------------------------------------------------------------------
WORDS = {
    "apiLimitExceeded": "later", "marketUnavailable": "pair", "requiredArgumentMissing": "bug", "unavailable": "", "Unavailable": "",
    "authenticationError": "auth", "accountInactive": "auth", "invalidAccount": "auth", "invalidAmount": "bug",
    "insufficientFunds": "funds", "INSUFFICIENT_MARGIN": "funds", "Bad Request": "bug", "invalidUnit": "bug", "Json Parse Error": "bug",
    "nonceBelowThreshold": "nonce", "nonceDuplicate": "nonce", "notFound": "gone", "Server Error": "", "unknownError": "",
    "contractNotFound": "pair", "invalidArgument: size": "bug", "neverHeardOf": "",
}  # fmt: skip


@pytest.mark.parametrize("write", ["sendorder", "editorder", "cancelorder"])
def test_every_word_on_a_write_has_its_class_and_nothing_is_sent_again(write: str) -> None:
    faults = [Fault(where=f"futures:{write}", action="error", nth=(nth,), arg=text) for nth, text in enumerate(WORDS, start=1)]
    seen: dict[str, str] = {}

    async def act(b: Bench, stop: Any) -> Answer:
        if write == "sendorder":
            return await b.exchange.submit(await b.entry())
        if write == "cancelorder":
            return await b.exchange.cancel(stop)
        trigger = await b.far("0.8")
        deadline_us = b.clock.now_us() + 5_000_000
        return await b.exchange.amend(stop, pair=b.kind.pair, quantity=None, trigger_price=trigger, deadline_us=deadline_us)

    async def test(b: Bench) -> None:
        txid = "unplaced"
        if write != "sendorder":
            placed = await b.exchange.submit(await b.stop((await b.bought()).quantity, await b.far("0.9")))
            assert isinstance(placed, Acked), placed
            txid = placed.txid
        for number, word in enumerate(WORDS, start=1):
            await b.clock.sleep(11)  # a refusal for want of units fills our own window
            answer = await act(b, txid)
            seen[word] = answer.kind if isinstance(answer, Rejected) else "" if isinstance(answer, Ambiguous) else "acked"
            assert b.calls[f"futures:{write}"] == number, word
        assert len(await b.exchange.fills(0)) == (0 if write == "sendorder" else 1)

    on_venue(FUTURES, test, *faults)
    assert seen == (WORDS | {"notFound": ""} if write == "sendorder" else WORDS)
    assert len(seen) == 22
