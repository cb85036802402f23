"""Reconciliation is pure and idempotent: applied twice, nothing is left to write the second time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import T0, ack, buy, entry, fill_of, lease_of, open_ledger, reducing, sell

from trader.data.ledger import SqlLedger
from trader.domain.account import Position, PositionState
from trader.domain.orders import Balance, ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, RemoteOrder, Side, client_order_id
from trader.execution import reconcile as r

NOW = T0 + 60_000_000


def remote(intent: Intent, *, status: ExchangeStatus = ExchangeStatus.OPEN, filled: str = "0", **changes: object) -> RemoteOrder:
    made = RemoteOrder(
        txid="T-" + intent.cl_ord_id, cl_ord_id=intent.cl_ord_id, refid=None, pair=intent.pair, side=intent.side,
        order_type=intent.order_type.value, status=status, quantity=intent.quantity, filled=Decimal(filled),
        limit_price=intent.limit_price, trigger_price=intent.trigger_price, opened_us=intent.created_us,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def close_of(parent: Intent, **changes: object) -> RemoteOrder:
    """The conditional close that the exchange made for an entry."""
    made = RemoteOrder(
        txid="C-" + parent.cl_ord_id, cl_ord_id=None, refid="T-" + parent.cl_ord_id, pair=parent.pair, side=Side.SELL,
        order_type="stop-loss", status=ExchangeStatus.OPEN,
        quantity=parent.quantity, filled=Decimal(0), limit_price=None, trigger_price=parent.close_trigger,
        opened_us=parent.created_us - 1,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def local(ledger: SqlLedger) -> r.LocalView:
    return r.LocalView(intents=ledger.intents(), positions=ledger.positions(), cash=ledger.cash(), tag="abc")


def view(*orders: RemoteOrder, fills: tuple[Fill, ...] = (), closed: tuple[RemoteOrder, ...] = ()) -> r.RemoteView:
    return r.RemoteView(open=orders, closed=closed, fills=fills, balances={})


def apply(ledger: SqlLedger, fixes: list[r.Fix]) -> None:
    """The ledger's half of what Recovery does with each fix."""
    for fix in fixes:
        match fix:
            case r.Acknowledge():
                ledger.resolve(fix.cl_ord_id, Outcome.ACKED, NOW, txid=fix.txid)
            case r.SetStatus():
                ledger.set_status(fix.txid, fix.status, NOW)
            case r.SetTerms():
                ledger.set_terms(fix.txid, NOW, quantity=fix.quantity, trigger_price=fix.trigger_price)
            case r.ApplyFills():
                ledger.apply_fills(fix.fills, NOW, source="rest")
            case r.DropOpening():
                ledger.drop_opening(fix.position_id, NOW)
            case r.AdoptStop():
                attempt = ledger.next_attempt(fix.entry.key, Leg.STOP)
                ledger.adopt(
                    Intent(
                        cl_ord_id=client_order_id("abc", "demo", fix.entry.key, Leg.STOP, attempt), key=fix.entry.key, leg=Leg.STOP,
                        attempt=attempt, position_id=fix.entry.position_id, pair=fix.order.pair, side=fix.order.side,
                        order_type=OrderType.STOP_LOSS, quantity=fix.order.quantity, trigger_price=fix.order.trigger_price,
                        created_us=NOW, reason="STOP_LOSS", outcome=Outcome.ACKED, txid=fix.order.txid, status=fix.order.status,
                    ),
                    NOW,
                )  # fmt: skip
            case _:
                raise AssertionError(f"not the ledger's alone: {fix}")


def changes(fixes: list[r.Fix]) -> list[r.Fix]:
    """Without fills, which are idempotent by trade id and handed over each time."""
    return [fix for fix in fixes if not isinstance(fix, r.ApplyFills)]


def test_an_entry_that_filled_while_we_were_dead_is_taken_over_with_its_stop_once(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    told = remote(intent, status=ExchangeStatus.CLOSED, filled="0.5")
    world = view(close_of(intent), closed=(told,), fills=(fill_of(intent, "F1", "0.5"),))
    fixes = r.reconcile_orders(local(ledger), world)
    kinds = [type(fix) for fix in fixes]
    assert kinds == [r.Acknowledge, r.AdoptStop, r.ApplyFills, r.SetStatus]
    apply(ledger, fixes)
    assert [(p.state, p.quantity) for p in ledger.positions()] == [(PositionState.OPEN, Decimal("0.5"))]
    before = ledger.journal_hash()
    again = r.reconcile_orders(local(ledger), world)
    assert changes(again) == []
    apply(ledger, again)
    apply(ledger, r.reconcile_positions(local(ledger)))
    assert ledger.journal_hash() == before
    ledger.close()


def test_a_stop_that_fired_while_we_were_dead_closes_the_position_it_belongs_to(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    stop = close_of(intent, status=ExchangeStatus.CLOSED, filled=Decimal("0.5"))
    entered = fill_of(intent, "F1", "0.5")
    left = replace(entered, trade_id="F2", txid=stop.txid, side=Side.SELL, price=Decimal(98), cost=Decimal(49), time_us=NOW)
    world = view(closed=(stop, remote(intent, status=ExchangeStatus.CLOSED, filled="0.5")), fills=(entered, left))
    apply(ledger, r.reconcile_orders(local(ledger), world))
    assert ledger.positions() == []
    assert [(leg.reason, leg.quantity) for leg in ledger.trade_legs()] == [("STOP_LOSS", Decimal("0.5"))]
    assert r.reconcile_positions(local(ledger)) == []
    assert changes(r.reconcile_orders(local(ledger), world)) == []
    ledger.close()


def test_what_the_exchange_does_not_show_is_resolved_and_never_guessed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    assert r.reconcile_orders(local(ledger), view()) == [r.Resolve(cl_ord_id=intent.cl_ord_id)]
    assert r.reconcile_positions(local(ledger)) == [], "an unresolved entry keeps its position"
    ledger.close()


def test_an_absent_entry_drops_its_opening_position_once(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    ledger.resolve(intent.cl_ord_id, Outcome.ABSENT, NOW, proof={"passes_us": [1, 2]})
    fixes = r.reconcile_positions(local(ledger))
    assert fixes == [r.DropOpening(position_id=intent.position_id)]
    apply(ledger, fixes)
    assert r.reconcile_positions(local(ledger)) == []
    ledger.close()


def test_an_acknowledged_order_in_no_list_is_asked_for(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    parent = buy(ledger, lease)
    ledger.set_status("T-" + parent.cl_ord_id, ExchangeStatus.CLOSED, T0)
    stop = reducing(parent, "0.5", leg=Leg.STOP)
    ledger.begin(stop, lease, T0)
    txid = ack(ledger, stop)
    assert r.reconcile_orders(local(ledger), view()) == [r.Missing(txid=txid)]
    assert changes(r.reconcile_orders(local(ledger), view(remote(stop)))) == [r.SetStatus(txid=txid, status=ExchangeStatus.OPEN)]
    ledger.close()


def test_an_amend_that_we_did_not_record_is_taken_over(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    parent = buy(ledger, lease)
    ledger.set_status("T-" + parent.cl_ord_id, ExchangeStatus.CLOSED, T0)
    stop = reducing(parent, "0.5", leg=Leg.STOP)
    ledger.begin(stop, lease, T0)
    txid = ack(ledger, stop)
    ledger.set_status(txid, ExchangeStatus.OPEN, T0)
    moved = view(remote(stop, trigger_price=Decimal(99)))
    assert r.reconcile_orders(local(ledger), moved) == [r.SetTerms(txid=txid, quantity=Decimal("0.5"), trigger_price=Decimal(99))]
    apply(ledger, r.reconcile_orders(local(ledger), moved))
    assert r.reconcile_orders(local(ledger), moved) == []
    ledger.close()


def test_a_live_stop_of_a_flat_position_is_an_orphan(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    lease = lease_of(ledger)
    parent = buy(ledger, lease)
    ledger.adopt(replace(reducing(parent, "0.5", leg=Leg.STOP), outcome=Outcome.ACKED, txid="C1", status=ExchangeStatus.OPEN), T0)
    assert r.reconcile_positions(local(ledger)) == []
    ledger.set_status("C1", ExchangeStatus.CANCELED, T0)
    sell(ledger, lease, parent, "0.5", attempt=1)
    ledger.adopt(
        replace(reducing(parent, "0.5", leg=Leg.STOP, attempt=1), outcome=Outcome.ACKED, txid="C2", status=ExchangeStatus.OPEN), T0
    )
    orphans = [fix for fix in r.reconcile_positions(local(ledger)) if isinstance(fix, r.CancelOrphan)]
    assert r.CancelOrphan(txid="C2") in orphans
    ledger.close()


@pytest.mark.parametrize(
    ("name", "words", "second"),
    [
        (None, "not placed by us", False),
        ("tabcxxxxxxxxxxxxxx", "our tag without an intent", False),
        ("tzzzxxxxxxxxxxxxxx", "another installation", True),
        ("my order", "not placed by us", False),
    ],
)
def test_live_orders_that_are_not_ours_are_shown_and_never_managed(name: str | None, words: str, second: bool, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    intent, _ = entry()
    found = r.reconcile_orders(local(ledger), view(remote(intent, cl_ord_id=name)))
    assert len(found) == 1
    assert isinstance(found[0], r.Foreign)
    assert words in found[0].detail
    assert found[0].second is second
    assert r.reconcile_orders(local(ledger), view(closed=(remote(intent, cl_ord_id=name, status=ExchangeStatus.CLOSED),))) == []
    ledger.close()


def test_balances_compare_cash_and_held_coins_of_every_asset(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    buy(ledger, lease_of(ledger))
    cash = ledger.cash()["EUR"]
    good = {"EUR": Balance(asset="EUR", total=cash, held=Decimal(0)), "BTC": Balance(asset="BTC", total=Decimal("0.5"), held=Decimal(0))}
    assert r.reconcile_balances(local(ledger), replace(view(), balances=good), quote="EUR") == []
    bad = good | {
        "BTC": Balance(asset="BTC", total=Decimal("0.4"), held=Decimal(0)),
        "XRP": Balance(asset="XRP", total=Decimal(1), held=Decimal(0)),
    }
    found = r.reconcile_balances(local(ledger), replace(view(), balances=bad), quote="EUR")
    assert found == [
        r.Mismatch(asset="BTC", ledger=Decimal("0.5"), exchange=Decimal("0.4")),
        r.Mismatch(asset="XRP", ledger=Decimal(0), exchange=Decimal(1)),
    ]
    ledger.close()


def test_an_opening_position_is_not_an_orphan_owner(tmp_path: Path) -> None:
    opening: Position
    ledger = open_ledger(tmp_path)
    intent, opening = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=opening)
    ack(ledger, intent)
    ledger.adopt(replace(reducing(intent, "0.5", leg=Leg.STOP), outcome=Outcome.ACKED, txid="C1", status=ExchangeStatus.OPEN), T0)
    assert r.reconcile_positions(local(ledger)) == []
    ledger.close()


@pytest.mark.parametrize(("leg", "attempt"), [(Leg.EXIT, 0), (Leg.TARGET, 3), (Leg.STOP, 11), (Leg.EXIT, 60), (Leg.STOP, 999)])
def test_a_reducing_order_that_an_older_backup_has_forgotten_is_known_by_its_id(tmp_path: Path, leg: Leg, attempt: int) -> None:
    ledger = open_ledger(tmp_path)
    bought = buy(ledger, lease_of(ledger))
    known = replace(local(ledger), account="demo")
    name = client_order_id("abc", "demo", bought.key, leg, attempt)
    forgotten = remote(bought, cl_ord_id=name, txid="FORGOT", side=Side.SELL, status=ExchangeStatus.CLOSED)
    (fix,) = [fix for fix in r.reconcile_orders(known, view(closed=(forgotten,))) if isinstance(fix, r.Recover)]
    assert (fix.entry.cl_ord_id, fix.leg, fix.attempt) == (bought.cl_ord_id, leg, attempt)
    stranger = replace(forgotten, cl_ord_id="tabc" + "z" * 14, status=ExchangeStatus.OPEN)
    (foreign,) = [fix for fix in r.reconcile_orders(known, view(stranger)) if isinstance(fix, r.Foreign)]
    assert foreign.detail == "our tag without an intent"
    ledger.close()
