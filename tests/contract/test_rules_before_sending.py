"""What our own check lets out, the exchange accepts: lots, ticks, minimums; and rounding never goes against the limit."""

from __future__ import annotations

import random
from decimal import Decimal

from kraken_kit import World, on_twin

from trader.domain.market import Instrument
from trader.kraken.exchange import add_order
from trader.kraken.instruments import refusal_of
from trader.simulation.exchange_orders import Refused
from trader.simulation.kraken_server.spot.order_requests import order_request

ORDERS = 600


def plan(rng: random.Random, rules: Instrument, last: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """A raw quantity near the minimums, a raw limit and a raw stop around the price."""
    quantity = rules.order_min * Decimal(repr(rng.uniform(0.5, 40.0)))
    return quantity, last * Decimal(repr(rng.uniform(0.9, 1.05))), last * Decimal(repr(rng.uniform(0.7, 0.95)))


def test_nothing_our_check_lets_out_is_refused_for_size_tick_or_minimum() -> None:
    async def test(w: World) -> None:
        rng, seen = random.Random(5), {"sent": 0, "kept": 0}
        instruments, tickers = await w.exchange.instruments(), await w.market.tickers()
        for number in range(ORDERS):
            pair = list(instruments)[number % len(instruments)]
            rules = instruments[pair]
            raw, limit, stop = plan(rng, rules, tickers[pair].last)
            quantity, price, trigger = rules.quantity_down(raw), rules.price_down(limit), rules.price_down(stop)
            assert quantity <= raw
            assert price <= limit  # a buy never pays more than it may
            assert rules.price_up(limit) >= limit  # a sell never takes less
            if refusal_of(rules, quantity, price) is not None:
                seen["kept"] += 1
                continue
            changes = {"pair": pair, "quantity": quantity, "limit_price": price, "close_trigger": trigger}
            fields = add_order(await w.entry(**changes), "", "")
            close = fields.pop("close")
            form = fields | {"close[ordertype]": close["ordertype"], "close[price]": close["price"], "deadline": ""}
            seen["sent"] += 1
            try:
                w.twin.exchange.check(order_request(form, pair, w.clock.now_us()), w.clock.now_us())
            except Refused as refusal:
                assert refusal.error == "EOrder:Insufficient funds", (changes, refusal.error)
        assert seen["sent"] > ORDERS // 2
        assert seen["kept"] > 0

    on_twin(test, pairs=12)
