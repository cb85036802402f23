"""Contract of the Ledger port: what a session may rely on, whatever stores it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import ACCOUNT, T0, TTL, ack, buy, entry, fill_of, lease_of, open_ledger, reducing, sell
from postgres_kit import postgres_ledger

from trader.data.ledger import SqlLedger
from trader.domain.account import PositionState
from trader.domain.market import MINUTE
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import ExchangeStatus, Leg, Outcome, Side
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.errors import BeginRefused, FatalError, LeaseLostError
from trader.ports import DecisionRow, EquityRow, Halt, Ledger


@pytest.fixture(params=["file", "memory", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with ExitStack() as stack:
        if request.param == "file":
            made = open_ledger(tmp_path)
        else:
            made = SqlLedger(":memory:" if request.param == "memory" else stack.enter_context(postgres_ledger()), account=ACCOUNT)
            made.set_opening_cash({"EUR": Decimal(10_000)}, T0)
        yield made
        made.close()


# --- lease --------------------------------------------------------------------------------------------------------------
def test_a_second_holder_is_refused_until_expiry_and_grace_then_gets_a_higher_token(ledger: Ledger) -> None:
    first = ledger.acquire_lease(ACCOUNT, "one", T0, TTL)
    for late in (0, TTL, TTL + 9_999_999):
        with pytest.raises(LeaseLostError, match="traded by 'one'"):
            ledger.acquire_lease(ACCOUNT, "two", T0 + late, TTL)
    second = ledger.acquire_lease(ACCOUNT, "two", T0 + TTL + 10_000_000, TTL)
    assert second.token == first.token + 1
    with pytest.raises(LeaseLostError, match="not the newest"):
        ledger.renew_lease(first, T0 + TTL + 10_000_001, TTL)
    intent, position = entry()
    with pytest.raises(LeaseLostError):
        ledger.begin(intent, first, T0 + TTL + 10_000_001, position=position)
    assert ledger.intents() == []


def test_a_released_lease_is_free_at_once_and_an_expired_one_cannot_send_or_renew(ledger: Ledger) -> None:
    first = ledger.acquire_lease(ACCOUNT, "one", T0, TTL)
    first = ledger.renew_lease(first, T0 + 10_000_000, TTL)
    assert first.expires_us == T0 + 10_000_000 + TTL
    intent, position = entry()
    with pytest.raises(LeaseLostError, match="expired"):
        ledger.begin(intent, first, first.expires_us, position=position)
    with pytest.raises(LeaseLostError, match="expired"):
        ledger.renew_lease(first, first.expires_us, TTL)
    ledger.release_lease(first, T0 + 20_000_000)
    assert ledger.acquire_lease(ACCOUNT, "two", T0 + 20_000_001, TTL).token == 2


def test_another_account_is_refused(ledger: Ledger) -> None:
    with pytest.raises(FatalError, match="belongs to account 'demo'"):
        ledger.acquire_lease("other", "one", T0, TTL)


# --- begin --------------------------------------------------------------------------------------------------------------
def test_begin_commits_the_intent_as_sent_and_the_opening_position(ledger: Ledger) -> None:
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    assert ledger.intents(live_only=True) == [intent]
    assert ledger.positions() == [position]
    assert intent.outcome is Outcome.SENT and position.state is PositionState.OPENING


def test_one_entry_per_key_for_ever(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    intent, position = entry()
    ledger.begin(intent, lease, T0, position=position)
    ledger.resolve(intent.cl_ord_id, Outcome.REJECTED, T0, reason="EOrder:Insufficient funds")
    with pytest.raises(BeginRefused) as refused:
        ledger.begin(intent, lease, T0, position=position)
    assert refused.value.code == "DUPLICATE_KEY"
    assert len(ledger.intents()) == 1


def test_a_halt_refuses_entries_and_passes_exits(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    ledger.set_halt(Halt(cause="operator", level="REDUCING", since_us=T0, reason="lunch", who="ada"))
    intent, position = entry("ETH/EUR")
    with pytest.raises(BeginRefused) as refused:
        ledger.begin(intent, lease, T0, position=position)
    assert refused.value.code == "HALTED" and "operator" in str(refused.value)
    sell(ledger, lease, held, "0.5")
    assert ledger.positions() == []
    ledger.clear_halt("operator", "ada", "back", T0)
    ledger.begin(intent, lease, T0, position=position)
    assert [p.pair for p in ledger.positions()] == ["ETH/EUR"]


def test_a_halt_rises_but_never_falls_and_keeps_its_first_time(ledger: Ledger) -> None:
    ledger.set_halt(Halt(cause="operator", level="REDUCING", since_us=T0, reason="pause", who="ada"))
    ledger.set_halt(Halt(cause="operator", level="HALTED", since_us=T0 + 5, reason="stop", who="bob"))
    ledger.set_halt(Halt(cause="operator", level="REDUCING", since_us=T0 + 9, reason="pause", who="ada"))
    assert ledger.halts() == [Halt(cause="operator", level="HALTED", since_us=T0, reason="stop", who="bob")]


def test_live_and_unresolved_sells_together_never_exceed_what_is_held(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    stop = reducing(held, "0.3", leg=Leg.STOP)
    ledger.begin(stop, lease, T0)
    too_much = reducing(held, "0.21")
    with pytest.raises(BeginRefused) as refused:
        ledger.begin(too_much, lease, T0)
    assert refused.value.code == "OVERSELL"
    exact = reducing(held, "0.2")
    ledger.begin(exact, lease, T0)
    ledger.resolve(stop.cl_ord_id, Outcome.ABSENT, T0, proof={"passes": 2})
    again = reducing(held, "0.3", leg=Leg.STOP, attempt=ledger.next_attempt(held.key, Leg.STOP))
    assert again.attempt == 1
    ledger.begin(again, lease, T0)
    live = ledger.intents(live_only=True, position_id=held.position_id)
    assert [i.cl_ord_id for i in live if i.leg.reducing] == [exact.cl_ord_id, again.cl_ord_id]


def test_partly_filled_sells_promise_only_their_rest(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    stop = reducing(held, "0.5", leg=Leg.STOP)
    ledger.begin(stop, lease, T0)
    txid = ack(ledger, stop)
    ledger.apply_fills([fill_of(stop, "part", "0.2")], T0, source="stream")
    ledger.set_status(txid, ExchangeStatus.CANCELED, T0)
    with pytest.raises(BeginRefused, match=r"exceed the 0\.3 held"):
        ledger.begin(reducing(held, "0.4"), lease, T0)
    ledger.begin(reducing(held, "0.3"), lease, T0)
    assert [i.quantity for i in ledger.intents(live_only=True) if i.leg.reducing] == [Decimal("0.3")]


def test_a_sell_without_its_position_is_refused(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    with pytest.raises(BeginRefused, match="no position"):
        ledger.begin(reducing(entry()[0], "0.1"), lease, T0)


def test_an_entry_must_bring_its_own_opening_position(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    intent, position = entry()
    for wrong in (None, replace(position, position_id="x"), replace(position, state=PositionState.OPEN)):
        with pytest.raises(FatalError):
            ledger.begin(intent, lease, T0, position=wrong)
    assert ledger.intents() == [] and ledger.positions() == []


# --- outcomes -----------------------------------------------------------------------------------------------------------
def test_no_intent_ends_in_a_guess(ledger: Ledger) -> None:
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    for outcome in (Outcome.ACKED, Outcome.REJECTED, Outcome.ABSENT):
        with pytest.raises(FatalError, match="without"):
            ledger.resolve(intent.cl_ord_id, outcome, T0)
    assert ledger.intents()[0].outcome is Outcome.SENT


def test_resolving_twice_is_harmless_and_contradicting_is_fatal(ledger: Ledger) -> None:
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    txid = ack(ledger, intent)
    before = ledger.journal_hash()
    ack(ledger, intent)
    assert ledger.journal_hash() == before
    with pytest.raises(FatalError):
        ledger.resolve(intent.cl_ord_id, Outcome.ACKED, T0, txid="other")
    with pytest.raises(FatalError):
        ledger.resolve(intent.cl_ord_id, Outcome.REJECTED, T0, reason="no")
    found = ledger.intent_by_txid(txid)
    assert found is not None and found.outcome is Outcome.ACKED


def test_an_order_found_after_it_was_proved_absent_is_taken_back(ledger: Ledger) -> None:
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    ledger.resolve(intent.cl_ord_id, Outcome.ABSENT, T0, proof={"passes": 2})
    assert ledger.intents(live_only=True) == []
    ledger.drop_opening(position.position_id, T0)
    ack(ledger, intent)
    ledger.apply_fills([fill_of(intent, "late", "0.5")], T0, source="rest")
    (reopened,) = ledger.positions()
    assert reopened.state is PositionState.OPEN and reopened.closed_us is None and reopened.quantity == Decimal("0.5")


def test_a_final_status_never_changes_and_the_same_status_writes_nothing(ledger: Ledger) -> None:
    intent, position = entry()
    ledger.begin(intent, lease_of(ledger), T0, position=position)
    txid = ack(ledger, intent)
    ledger.set_status(txid, ExchangeStatus.OPEN, T0)
    ledger.set_status(txid, ExchangeStatus.CANCELED, T0)
    before = ledger.journal_hash()
    for late in (ExchangeStatus.OPEN, ExchangeStatus.CLOSED, ExchangeStatus.CANCELED):
        ledger.set_status(txid, late, T0)
    assert ledger.journal_hash() == before
    assert [i.status for i in ledger.intents()] == [ExchangeStatus.CANCELED]


def test_terms_of_an_amended_stop_are_kept(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    stop = reducing(held, "0.5", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.begin(stop, lease, T0)
    txid = ack(ledger, stop)
    ledger.set_terms(txid, T0, trigger_price=Decimal("99.5"), reason="RATCHET_L1")
    ledger.set_terms(txid, T0, quantity=Decimal("0.2"))
    found = ledger.intent_by_txid(txid)
    assert found is not None
    assert (found.quantity, found.trigger_price, found.reason) == (Decimal("0.2"), Decimal("99.5"), "RATCHET_L1")


def test_a_conditional_close_is_adopted_once_and_counts_as_a_live_sell(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    stop = replace(reducing(held, "0.5", leg=Leg.STOP, reason="STOP_LOSS"), outcome=Outcome.ACKED, txid="TSTOP", status=ExchangeStatus.OPEN)
    ledger.adopt(stop, T0)
    before = ledger.journal_hash()
    ledger.adopt(replace(stop, cl_ord_id="another", attempt=1), T0)
    assert ledger.journal_hash() == before
    assert ledger.intent_by_txid("TSTOP") == stop
    with pytest.raises(BeginRefused, match="would exceed"):
        ledger.begin(reducing(held, "0.1"), lease, T0)


# --- fills, positions, cash ---------------------------------------------------------------------------------------------
def test_a_fill_moves_position_and_cash_exactly_once(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    intent = buy(ledger, lease, trade_id="one")
    fill = fill_of(intent, "one", "0.5")
    assert ledger.apply_fills([fill, fill], T0, source="stream") == []
    (position,) = ledger.positions()
    assert (position.quantity, position.entry_cost, position.entry_fee) == (Decimal("0.5"), Decimal("50.0"), Decimal("0.2"))
    assert position.opened_us == fill.time_us
    assert ledger.cash() == {"EUR": Decimal("9949.8")}
    assert ledger.intents()[0].filled == Decimal("0.5")


def test_new_fills_come_back_with_their_intent_and_foreign_ones_touch_nothing(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    intent, position = entry()
    ledger.begin(intent, lease, T0, position=position)
    ack(ledger, intent)
    ours, foreign = fill_of(intent, "a", "0.2"), fill_of(intent, "b", "9", txid="T-stranger")
    news = ledger.apply_fills([ours, foreign], T0, source="rest")
    assert [(f.trade_id, None if i is None else i.filled) for f, i in news] == [("a", Decimal("0.2")), ("b", None)]
    assert ledger.cash() == {"EUR": Decimal("9979.8")}
    assert [p.quantity for p in ledger.positions()] == [Decimal("0.2")]


def test_a_fill_that_came_before_its_ack_is_booked_when_the_order_is_known(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    intent, position = entry()
    ledger.begin(intent, lease, T0, position=position)
    assert ledger.apply_fills([fill_of(intent, "early", "0.5")], T0, source="stream")[0][1] is None
    assert ledger.positions()[0].state is PositionState.OPENING
    ack(ledger, intent)
    assert ledger.positions()[0].quantity == Decimal("0.5")
    assert ledger.cash() == {"EUR": Decimal("9949.8")}
    assert ledger.apply_fills([fill_of(intent, "early", "0.5")], T0, source="rest") == []


def test_more_sold_than_held_is_refused_as_a_whole(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    exit_order = reducing(held, "0.5")
    ledger.begin(exit_order, lease, T0)
    ack(ledger, exit_order)
    with pytest.raises(FatalError, match="does not fit"):
        ledger.apply_fills([fill_of(exit_order, "x", "0.4"), fill_of(exit_order, "y", "0.4")], T0, source="rest")
    assert ledger.positions()[0].quantity == Decimal("0.5")
    assert ledger.cash() == {"EUR": Decimal("9949.8")}


def test_trade_legs_split_entry_cost_and_fee_exactly(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease, quantity="0.7")
    sell(ledger, lease, held, "0.3", price="103", reason="TP1")
    sell(ledger, lease, held, "0.4", price="99", attempt=1, reason="STOP_LOSS")
    first, last = ledger.trade_legs()
    assert (first.reason, first.quantity, first.exit_price) == ("TP1", Decimal("0.3"), Decimal(103))
    assert first.fee + last.fee == Decimal("0.6") and first.fee != last.fee
    (position,) = ledger.positions(open_only=False)
    assert position.state is PositionState.CLOSED
    assert first.net + last.net == position.exit_cost - position.entry_cost - position.entry_fee - position.exit_fee
    assert first.entry_us == T0 and first.line().startswith("BTC/EUR long 2026-01-05T00:00:00Z 2026-01-05T00:00:00Z 100 103 0.3 ")
    assert ledger.trade_legs(since_us=T0 + MINUTE * 60) == []
    assert ledger.last_exits() == {"BTC/EUR": (held.created_us + MINUTE + 1_000_000, "STOP_LOSS")}


def test_the_reason_of_a_leg_is_that_of_the_moment_of_its_fill(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    held = buy(ledger, lease)
    stop = reducing(held, "0.5", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.begin(stop, lease, T0)
    txid = ack(ledger, stop)
    ledger.set_terms(txid, T0, reason="RATCHET_L2")
    ledger.apply_fills([fill_of(stop, "s", "0.5")], T0, source="stream")
    ledger.set_terms(txid, T0, reason="RATCHET_L3")
    assert [leg.reason for leg in ledger.trade_legs()] == ["RATCHET_L2"]


def test_dropping_dust_and_exit_states(ledger: Ledger) -> None:
    lease = lease_of(ledger)
    empty, position = entry("ETH/EUR")
    ledger.begin(empty, lease, T0, position=position)
    ledger.drop_opening(position.position_id, T0 + 1)
    ledger.drop_opening(position.position_id, T0 + 2)
    held = buy(ledger, lease)
    with pytest.raises(FatalError, match="can't be dropped"):
        ledger.drop_opening(held.position_id, T0)
    ledger.save_exit_state(held.position_id, {"stop": "98", "bars": 1}, T0)
    assert ledger.exit_states() == {held.position_id: {"bars": 1, "stop": "98"}}
    before = ledger.journal_hash()
    ledger.save_exit_state(held.position_id, {"bars": 1, "stop": "98"}, T0)
    assert ledger.journal_hash() == before
    ledger.mark_dust(held.position_id, T0)
    assert [p.state for p in ledger.positions()] == [PositionState.DUST]
    assert [p.state for p in ledger.positions(open_only=False)] == [PositionState.CLOSED, PositionState.DUST]


def test_money_from_outside_is_booked_once_per_content(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.external_move("EUR", Decimal("-100.5"), "withdrawal", T0 + 1)
    ledger.external_move("ADA", Decimal(7), "deposit", T0 + 2)
    assert ledger.cash() == {"ADA": Decimal(7), "EUR": Decimal("9899.5")}
    with pytest.raises(FatalError, match="opening cash"):
        ledger.set_opening_cash({"EUR": Decimal(1)}, T0)


# --- the rest -----------------------------------------------------------------------------------------------------------
def test_decisions_equity_notes_and_settings(ledger: Ledger) -> None:
    quiet = Decision(pair="ADA/EUR", close_us=T0, side=Side.BUY, action=Action.HOLD, score=12.0, refusal=Refusal.NO_SIGNAL)
    taken = Decision(
        pair="BTC/EUR", close_us=T0, side=Side.BUY, action=Action.ENTER, score=88.0, points=(Point(name="rsi", value=8.0),),
        strategy="s", evidence={"rsi": float("nan"), "up": True},
    )  # fmt: skip
    ruling = RulingResult(ruling=Ruling.SHRINK, lookup=Lookup.HIT, factor=0.5, p_loss=0.4, age_ms=12.0, verdict_id="v1")
    rows = [DecisionRow(decision=quiet, final="HOLD"), DecisionRow(decision=taken, final="ENTER", ruling=ruling, ai_mode="veto")]
    ledger.record_decisions(rows, T0)
    ledger.record_decisions(rows, T0 + 1)
    row = EquityRow(time_us=T0, cash=Decimal(1), marked=Decimal(2), equity=Decimal(3), realised=Decimal(0), fees=Decimal(0), drawdown=0.25)
    ledger.note("beat", {"number": 1, "lag_s": 0.25}, T0, equity=row)
    assert ledger.equity() == [row] and ledger.equity(T0 + 1) == []
    before = ledger.journal_hash()
    ledger.note("beat", {"beat": 1, "lag_s": 0.5}, T0)
    assert ledger.journal_hash() != before
    assert ledger.meta("watermark") is None
    ledger.set_meta("watermark", "1")
    ledger.set_meta("watermark", "2")
    assert ledger.meta("watermark") == "2"


def test_what_can_not_be_written_the_same_way_twice_is_refused(ledger: Ledger) -> None:
    with pytest.raises(TypeError, match="set"):
        ledger.note("odd", {"pairs": {"a", "b"}}, T0)
    ledger.note("even", {"pairs": ["a", "b"]}, T0)
