"""Any sequence of orders and prices: no coin appears or vanishes, holds are what live orders need, closes equal fills, books reload."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.simulation.test_exchange import SECOND, T0, make, move, request
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Amendment, Refused
from trader.simulation.exchange_terms import CLOSING, LIMITED, TRAILING, TRIGGERED, TYPES, Close, Offset

D = Decimal
START = D(10_000)
SEEN: Counter[str] = Counter()

prices = st.integers(850, 1150).map(lambda n: D(n) / 10)
signed = st.tuples(st.sampled_from("+-#"), st.integers(1, 90), st.booleans()).map(
    lambda t: Offset(sign=t[0], amount=D(t[1]) / 10, percent=t[2])
)
distances = st.tuples(st.integers(1, 90), st.booleans()).map(lambda t: Offset(sign="+", amount=D(t[0]) / 10, percent=t[1]))


@st.composite
def terms(draw: st.DrawFn, kinds: tuple[str, ...]) -> dict[str, Any]:
    """A type with the prices it needs, absolute or relative."""
    kind = draw(st.sampled_from(kinds))
    found: dict[str, Any] = {"ordertype": kind}
    if kind in TRAILING:
        found["trigger_by"] = draw(distances)
    elif kind in TRIGGERED:
        found |= {"trigger": draw(prices)} if draw(st.booleans()) else {"trigger_by": draw(signed)}
    if kind in LIMITED:
        relative = kind in TRAILING or draw(st.booleans())
        found |= {"price_by": draw(signed)} if relative else {"price": draw(prices)}
    return found


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    """AddOrder with every option that fits the type more often than not."""
    asked = draw(terms(TYPES)) | {"side": draw(st.sampled_from(["buy", "buy", "sell"])), "volume": str(draw(st.integers(1, 40)) / D(10))}
    if asked["ordertype"] == "iceberg":
        asked["display"] = D(asked["volume"]) / 2
    if asked["ordertype"] == "limit":
        asked["timeinforce"] = draw(st.sampled_from(["GTC", "GTC", "IOC", "FOK"]))
        asked["post_only"] = asked["timeinforce"] == "GTC" and draw(st.booleans())
    if draw(st.booleans()):
        asked["close"] = Close(**draw(terms(CLOSING)))
    asked["oflags"] = draw(st.sampled_from([("fciq",), ("fcib",), ()]))
    asked["start_us"] = draw(st.sampled_from([0, 0, 0, T0 + 20 * SECOND]))
    return asked


steps = st.one_of(
    orders().map(lambda order: ("place", order)),
    prices.map(lambda price: ("move", price)),
    prices.map(lambda price: ("gap", price)),
    st.tuples(st.integers(0, 5), prices).map(lambda t: ("amend", t)),
    st.integers(0, 5).map(lambda n: ("cancel", n)),
)


def act(exchange: TwinExchange, second: int, step: tuple[str, Any]) -> None:
    """Carry out one step; refusals are part of life, and leave everything as it was."""
    kind, what = step
    now = T0 + second * SECOND
    exchange.elapse(now)  # what falls due at this second does so whatever becomes of the step
    live = exchange.open_orders()
    before = (dict(exchange.state.balances), [order.txid for order in live])
    try:
        if kind == "place":
            exchange.place(request(**what), now)
        elif kind in ("move", "gap"):
            move(exchange, float(what), second=second, gap=kind == "gap")
        elif kind == "cancel" and live:
            exchange.cancel(live[what % len(live)], now)
        elif kind == "amend" and live:
            order = live[what[0] % len(live)]
            change = Amendment(trigger=what[1]) if order.waiting and not order.trailing else Amendment(price=what[1])
            exchange.amend(order, now, change)
        SEEN[kind] += 1
    except Refused:
        SEEN[f"{kind} refused"] += 1
        if kind == "place":
            assert (dict(exchange.state.balances), [order.txid for order in exchange.open_orders()]) == before


def judge(exchange: TwinExchange) -> None:
    """What is true after every step."""
    state = exchange.state
    euros, coins = START, D(0)
    for trade in state.trades.values():
        sign = 1 if trade.side == "buy" else -1
        euros -= sign * trade.cost + (D(0) if trade.fee_base else trade.fee)
        coins += sign * trade.quantity - trade.fee_base
    assert state.balances["EUR"] == euros
    assert state.balances.get("AAA", D(0)) == coins
    assert min(euros, coins) >= 0
    for order in state.orders.values():
        assert order.held >= 0
        assert order.live or order.held == 0
        assert order.executed == sum((state.trades[trade].quantity for trade in order.trades), D(0)) <= order.volume
        if order.closes:
            got = order.executed - sum((state.trades[t].fee_base for t in order.trades if order.side == "buy"), D(0))
            assert sum((state.orders[txid].volume for txid in order.closes), D(0)) == got
            assert len(order.closes) == len(order.trades)
            SEEN["closes"] += len(order.closes)


BUY = {"side": "buy", "volume": "0.1", "oflags": ("fciq",)}
START_BESIDE_REFUSAL = [  # a scheduled order starts at the second at which another one is refused
    *[("move", D(85))] * 18,
    ("place", BUY | {"ordertype": "market", "start_us": T0 + 20 * SECOND}),
    ("place", BUY | {"ordertype": "limit", "price": D(85), "post_only": True}),
]


@settings(max_examples=120, deadline=None)
@example(START_BESIDE_REFUSAL, "1", 1)
@given(st.lists(steps, min_size=5, max_size=25), st.sampled_from(["1", "0.4"]), st.sampled_from([1, 3]))
def test_money_is_conserved_closes_equal_fills_and_books_reload(path: list[tuple[str, Any]], share: str, trades: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        exchange = make(Books(Path(directory)), share=D(share), trades=trades)
        for second, step in enumerate(path, start=1):
            act(exchange, second, step)
            judge(exchange)
        move(exchange, float(exchange.last("AAA/EUR")), second=99, part=4)  # the last tick of a candle is always written down
        again = make(Books(Path(directory)), share=D(share), trades=trades)
        assert json.dumps(again.state.dump()) == json.dumps(exchange.state.dump())
        assert [order.txid for order in again.open_orders()] == [order.txid for order in exchange.open_orders()]
        assert again.dues() == exchange.dues()


def test_the_paths_reached_what_they_are_for() -> None:
    """Runs after the property: a generator that never trades proves nothing."""
    assert SEEN["place"] > 50, SEEN
    assert SEEN["closes"] > 20, SEEN
    assert SEEN["amend"] + SEEN["cancel"] > 10, SEEN
