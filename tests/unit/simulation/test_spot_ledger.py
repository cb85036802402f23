"""The ledger is a view of deposit and trades: what it sums to, less fees, is the balance, for any course of trading."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulation.test_exchange import T0, make, move, request
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import BalanceChange, Refused
from trader.simulation.kraken_server.spot.ledger import Ledger

D = Decimal
ORDERS = st.tuples(
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["AAA/EUR", "BBB/EUR"]),
    st.integers(1, 4_000).map(lambda lots: D(lots) / 1000),
    st.sampled_from([("fciq",), ("fcib",), ()]),
    st.integers(60, 140),
)


def trade(exchange: TwinExchange, orders: list[tuple[str, str, Decimal, tuple[str, ...], int]]) -> None:
    """Market orders at moving prices; what the exchange refuses is left out."""
    for second, (side, pair, volume, oflags, price) in enumerate(orders, start=1):
        move(exchange, float(price), second=second)
        try:
            exchange.place(request(side, volume=str(volume), pair=pair, oflags=oflags), T0 + second * 1_000_000)
        except Refused:
            continue


@settings(max_examples=60, deadline=None)
@given(st.lists(ORDERS, min_size=1, max_size=25))
def test_amounts_less_fees_are_the_balance_after_every_entry_and_at_the_end(
    orders: list[tuple[str, str, Decimal, tuple[str, ...], int]],
) -> None:
    exchange = make()
    changes: list[BalanceChange] = []
    exchange.balance_listeners.append(changes.append)
    trade(exchange, orders)
    entries, sums = Ledger(exchange).entries(), dict[str, Decimal]()
    for entry in entries:
        sums[entry.asset] = sums.get(entry.asset, D(0)) + entry.amount - entry.fee
        assert entry.balance == sums[entry.asset]
        assert entry.fee >= 0
    assert sums == exchange.state.balances
    assert len(entries) == 1 + 2 * len(exchange.state.trades)
    assert [(entry.ledger_id, entry.balance) for entry in entries[1:]] == [(change.ledger_id, change.balance) for change in changes]


def test_a_ledger_keeps_up_with_the_trades_and_a_reopened_one_is_the_same(tmp_path: Path) -> None:
    exchange = make(Books(tmp_path))
    ledger = Ledger(exchange)
    assert [(entry.kind, entry.asset, entry.amount) for entry in ledger.entries()] == [("deposit", "EUR", D(10_000))]
    exchange.place(request(volume="2"), T0)
    assert len(ledger.entries()) == 3
    exchange.place(request("sell", volume="1"), T0)
    again = make(Books(tmp_path))
    again.set_prices(np.array([100.0, 50.0]))
    assert Ledger(again).entries() == ledger.entries()
    assert len(ledger.entries()) == 5
    last = ledger.entries()[-1]
    assert ledger.find(last.ledger_id) == last
    assert ledger.find("L") is None


def test_a_movement_that_is_left_out_would_be_noticed() -> None:
    exchange = make()
    exchange.place(request(volume="2"), T0)
    kept = [entry for entry in Ledger(exchange).entries() if entry.kind != "trade"]
    assert {entry.asset: entry.balance for entry in kept} != exchange.state.balances
