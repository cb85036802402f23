"""Conservation: whatever is bought and sold, in whatever pieces and order, no cent and no coin appears or vanishes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import ACCOUNT, T0, ack, entry, fill_of, lease_of, reducing

from trader.data.ledger import SqlLedger
from trader.domain.account import PositionState
from trader.domain.money import ZERO, add
from trader.domain.orders import Fill, Intent

price = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-5))
pieces = st.lists(st.integers(1, 10**10), min_size=1, max_size=4)
trade = st.tuples(pieces, st.lists(st.integers(1, 10**10), min_size=0, max_size=4), st.lists(price, min_size=8, max_size=8))


def fills_for(intent: Intent, lots: list[int], prices: list[Decimal], names: count[int]) -> list[Fill]:
    made = []
    for lot, at in zip(lots, prices, strict=False):
        quantity = Decimal(lot).scaleb(-8)
        fill = fill_of(intent, f"t{next(names)}", "1")
        cost = quantity * at
        made.append(replace(fill, quantity=quantity, price=at, cost=cost, fee=(cost * Decimal("0.004")).quantize(Decimal("0.0001"))))
    return made


@settings(max_examples=25, deadline=None)
@given(st.lists(trade, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_cash_and_coins_are_conserved_and_a_second_delivery_changes_nothing(trades: list, chance) -> None:  # type: ignore[type-arg,no-untyped-def]
    ledger = SqlLedger(":memory:", account=ACCOUNT)
    ledger.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    lease = lease_of(ledger)
    names, everything = count(), []
    for number, (bought, sold, prices) in enumerate(trades):
        intent, position = entry(f"P{number}/EUR", quantity=str(Decimal(sum(bought)).scaleb(-8)))
        ledger.begin(intent, lease, T0, position=position)
        ack(ledger, intent)
        fills = fills_for(intent, bought, prices[:4], names)
        ledger.apply_fills(chance.sample(fills, len(fills)), T0, source="rest")
        everything += fills
        left = sum(bought)
        for attempt, part in enumerate(sold):
            lots = min(part, left)
            if lots == 0:
                break
            out = reducing(intent, str(Decimal(lots).scaleb(-8)), attempt=attempt)
            ledger.begin(out, lease, T0)
            ack(ledger, out)
            fills = fills_for(out, [lots], prices[4 + attempt :], names)
            ledger.apply_fills(fills * 2, T0, source="stream")
            everything += fills
            left -= lots
    before = ledger.journal_hash()
    assert ledger.apply_fills(everything, T0, source="rest") == []
    assert ledger.journal_hash() == before
    positions = ledger.positions(open_only=False)
    paid = add(*(p.entry_cost for p in positions))
    got = add(*(p.exit_cost for p in positions))
    fees = add(*(f.fee for f in everything))
    assert ledger.cash()["EUR"] == add(Decimal(10_000), got, -paid, -fees)
    assert fees == add(*(p.entry_fee for p in positions), *(p.exit_fee for p in positions))
    signed = add(*(f.quantity if f.side.value == "buy" else -f.quantity for f in everything))
    assert add(*(p.quantity for p in positions)) == signed
    for position in positions:
        legs = [leg for leg in ledger.trade_legs() if leg.position_id == position.position_id]
        assert add(*(leg.quantity for leg in legs)) == position.exit_quantity
        if position.state is PositionState.CLOSED:
            assert add(*(leg.fee for leg in legs)) == add(position.entry_fee, position.exit_fee)
            assert add(*(leg.net for leg in legs)) == add(position.exit_cost, -position.entry_cost, -position.entry_fee, -position.exit_fee)
        else:
            assert position.quantity > ZERO
    ledger.close()
