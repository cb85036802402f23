"""Halts that the venue, the clock and strangers' coins call for: what sets them, which pairs they bind, who ends them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from desk_kit import BUY, House, in_house
from kraken_kit import PAIR

from trader.data import ledger_control
from trader.domain.costs import Costs
from trader.domain.futures import MarketKind
from trader.domain.halts import binds
from trader.domain.market import SECOND
from trader.domain.money import ZERO
from trader.domain.orders import Acked, Ambiguous, Leg, Outcome
from trader.errors import BeginRefused, FatalError
from trader.execution.accounting import Accounting
from trader.execution.controls import Controls
from trader.execution.halts import HaltLimits
from trader.execution.recovery import Recovery
from trader.ports import EquityRow, Halt
from trader.simulation.faults import Fault
from trader.strategy.modes import parameters

BASE, QUOTE = PAIR.split("/")


@pytest.mark.parametrize(
    ("cause", "pair", "refuses"),
    [
        ("operator", "BTC/EUR", True),
        ("AUTH", "BTC/EUR", True),
        ("foreign BTC", "BTC/EUR", True),
        ("foreign BTC", "ETH/EUR", False),
        ("mismatch BTC", "BTC/USD:USD", True),
        ("mismatch EUR", "ETH/EUR", True),
        ("mismatch TC", "BTC/EUR", False),
    ],
)
def test_which_pairs_a_cause_binds(cause: str, pair: str, refuses: bool) -> None:
    assert binds(cause, pair) is refuses


@pytest.mark.parametrize(("asset", "enters"), [("XYZ", True), (BASE, False), (QUOTE, False)])
def test_coins_of_others_stop_the_entries_of_their_asset_and_no_other(asset: str, enters: bool) -> None:
    async def test(house: House) -> None:
        house.ledger.set_halt(Halt(cause=f"foreign {asset}", level="REDUCING", since_us=1, reason="seen"))
        intent, position = await house.order()
        if enters:
            assert isinstance(await house.desk.send(intent, position=position), Acked)
        else:
            with pytest.raises(BeginRefused, match="halted"):
                await house.desk.send(intent, position=position)

    in_house(test)


@pytest.mark.parametrize(
    ("words", "orders", "cause"),
    [
        ("EGeneral:Permission denied", 1, "AUTH"),
        ("EOrder:Orders limit exceeded", 1, "LIMITS"),
        ("EAPI:Invalid nonce", 1, ""),
        ("EAPI:Invalid nonce", 2, "NONCE"),
        ("EOrder:Insufficient funds", 2, ""),
    ],
)
def test_a_refusal_about_the_key_or_the_account_stops_all_entries(words: str, orders: int, cause: str) -> None:
    async def test(house: House) -> None:
        for number in range(orders):
            intent, position = await house.order(f"k{number}")
            await house.desk.send(intent, position=position)
        assert [(halt.cause, halt.reason) for halt in house.ledger.halts()] == ([(cause, words)] if cause else [])

    in_house(test, Fault(where="AddOrder", match=BUY, action="error", arg=words))


# --- the clock and the first start -----------------------------------------------------------------------------------------
class Off:
    """The exchange with a clock that is so many seconds ahead of the true one, and coins that were there before us."""

    def __init__(self, exchange: Any, seconds: float = 0.0) -> None:
        self._exchange, self.seconds = exchange, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    async def server_time(self) -> int:
        return int(await self._exchange.server_time()) + int(self.seconds * SECOND)


async def recovering(house: House, exchange: Any) -> Recovery:
    wiring: Any = SimpleNamespace(
        exchange=exchange, ledger=house.ledger, clock=house.world.clock, instruments=await exchange.instruments(), quote=QUOTE,
        kind=MarketKind.SPOT, tag="abc", account="kraken", speed=1.0, costs=Costs(), exit_plan="",
        strategy="viable/mitraillette/DEFAULT", parameters=parameters("viable", "mitraillette", "DEFAULT"),
    )  # fmt: skip
    return Recovery(wiring, house.desk, house.keeper, house.desk.on_fills)


def test_a_clock_2_s_off_keeps_a_session_from_starting_and_lets_a_running_one_go_on() -> None:
    async def test(house: House) -> None:
        off = Off(house.world.exchange, 2.0)
        recovery = await recovering(house, off)
        with pytest.raises(FatalError, match="at most 1 s"):
            await recovery.run()
        assert house.ledger.halts() == []
        off.seconds = 0.0
        await recovery.run()
        off.seconds = 2.0
        await recovery.run()
        assert house.ledger.halts() == []

    in_house(test)


def test_a_clock_6_s_off_halts_a_running_session_and_the_next_start_on_a_right_one_ends_that() -> None:
    async def test(house: House) -> None:
        off = Off(house.world.exchange)
        recovery = await recovering(house, off)
        await recovery.run()
        off.seconds = 6.0
        with pytest.raises(FatalError, match="at most 5 s"):
            await recovery.run()
        assert [(halt.cause, halt.level) for halt in house.ledger.halts()] == [("SKEW", "HALTED")]
        off.seconds = 0.0
        await (await recovering(house, off)).run()
        assert house.ledger.halts() == []

    in_house(test)


def test_coins_from_before_the_first_start_take_no_entry_until_a_person_allows_it() -> None:
    async def test(house: House) -> None:
        house.world.twin.exchange.state.balances[BASE] = Decimal(3)
        await (await recovering(house, house.world.exchange)).run()
        assert [halt.cause for halt in house.ledger.halts()] == [f"foreign {BASE}"]
        house.ledger.clear_halt(f"foreign {BASE}", "tester", "my own long-term coins", house.world.clock.now_us())
        position = await house.buy()
        assert sum(i.remaining for i in house.intents(Leg.STOP) if i.outcome is Outcome.ACKED) == position.quantity, "ours, not theirs"
        await (await recovering(house, house.world.exchange)).run()
        assert house.ledger.halts() == [], "allowed once, allowed for good"

    in_house(test, cash=False)


def test_each_beat_compares_coins_and_reconciles_when_they_differ() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        await recovery.cheap_check()
        notes = house.rows().count("reconcile")
        house.world.twin.exchange.state.balances[BASE] = Decimal(1)
        await recovery.cheap_check()
        assert (notes, house.rows().count("reconcile")) == (1, 2)
        assert [halt.cause for halt in house.ledger.halts()] == [f"mismatch {BASE}"]
        await recovery.cheap_check()
        assert house.rows().count("reconcile") == 2, "known, so not looked at again on every beat"

    in_house(test)


def test_a_second_reconciliation_writes_nothing_but_that_it_ran() -> None:
    async def test(house: House) -> None:
        await house.buy()
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        before = house.rows()
        await recovery.run()
        assert house.rows()[len(before) :] == ["reconcile"]
        assert house.held().quantity > ZERO

    in_house(test)


# --- a person's word -------------------------------------------------------------------------------------------------------
def test_flatten_sells_what_an_entry_without_an_answer_turns_out_to_have_bought() -> None:
    async def test(house: House) -> None:
        wiring: Any = SimpleNamespace(ledger=house.ledger, clock=house.world.clock)
        accounting: Any = SimpleNamespace()
        spawn: Any = house.keeper.spawn
        controls = Controls(wiring, house.keeper, accounting, spawn=spawn, stop=print)
        intent, position = await house.order()
        assert isinstance(await house.desk.send(intent, position=position), Ambiguous)
        house.keeper.load()
        with house.ledger._change(house.world.clock.now_us()) as tx:
            ledger_control.submit(tx, "flatten", "", "tester", reason="", key="")
        controls.poll()
        await asyncio.sleep(3)
        assert isinstance(await house.desk.resolve(intent), Acked)
        await house.quiet()
        assert house.ledger.positions() == []
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["FLATTEN"]
        assert house.orders(status="open") == []

    in_house(test, Fault(where="AddOrder", match=BUY, nth=(1,), action="lost_response"))


def test_a_stop_that_a_resume_took_back_before_any_session_saw_it_ends_none() -> None:
    async def test(house: House) -> None:
        wiring: Any = SimpleNamespace(ledger=house.ledger, clock=house.world.clock)
        nothing: Any = None
        stops: list[str] = []
        controls = Controls(wiring, house.keeper, nothing, spawn=nothing, stop=stops.append)
        for key, verbs in enumerate((("stop", "resume"), ("stop",))):
            with house.ledger._change(house.world.clock.now_us()) as tx:
                for verb in verbs:
                    ledger_control.submit(tx, verb, "", "tester", reason="", key=f"{key} {verb}")
            controls.poll()
            assert stops == ["stopped by tester"] * key

    in_house(test)


def resumed(house: House, controls: Controls, cause: str, reason: str) -> None:
    """A person clears a halt with a written reason."""
    with house.ledger._change(house.world.clock.now_us()) as tx:
        ledger_control.submit(tx, "resume", f"{cause}: {reason}", "tester", reason="", key=reason)
    controls.poll()


def watched(house: House, recovery: Recovery, limits: HaltLimits) -> tuple[Accounting, Controls]:
    wiring: Any = recovery.w
    wiring.limits = limits
    accounting = Accounting(wiring)
    spawn: Any = house.keeper.spawn
    return accounting, Controls(wiring, house.keeper, accounting, spawn=spawn, stop=print)


@pytest.mark.parametrize("amount", ["5000", "-5000"])
def test_money_moved_by_hand_is_booked_on_a_persons_word_and_neither_makes_nor_hides_a_drawdown(amount: str) -> None:
    limits = HaltLimits(daily_loss=0.2, drawdown=0.2, stops=8)

    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        accounting, controls = watched(house, recovery, limits)
        now = house.world.clock.now_us()
        for hour, equity in enumerate(("10000", "9000")):
            row = EquityRow(time_us=now + hour, cash=ZERO, marked=ZERO, equity=Decimal(equity), realised=ZERO, fees=ZERO, drawdown=0.0)
            house.ledger.note("beat", {"number": hour}, row.time_us, equity=row)
            accounting.judge(row, row.time_us)
        house.world.twin.exchange.state.balances[QUOTE] += Decimal(amount)
        await recovery.cheap_check()
        assert [halt.cause for halt in house.ledger.halts()] == [f"mismatch {QUOTE}"]
        resumed(house, controls, f"mismatch {QUOTE}", "I moved it")
        await house.quiet()
        assert house.ledger.halts() == []
        assert house.ledger.cash()[QUOTE] == Decimal(10_000) + Decimal(amount)
        left = 9_000 + Decimal(amount)
        for watch in (accounting.watch, Accounting(recovery.w).watch):
            assert watch.last == left
            assert watch.peak == pytest.approx(left / Decimal("0.9"))
        assert await recovery.run() == 0

    in_house(test)


def test_a_cleared_count_of_stops_does_not_halt_again_at_the_next_close_without_a_new_trade() -> None:
    async def test(house: House) -> None:
        recovery = await recovering(house, house.world.exchange)
        await recovery.run()
        accounting, controls = watched(house, recovery, HaltLimits(daily_loss=1.0, drawdown=1.0, stops=1))

        def close() -> list[str]:
            now = house.world.clock.now_us()
            row = accounting.equity_row({}, now)
            assert row is not None
            accounting.judge(row, now)
            return [halt.cause for halt in house.ledger.halts()]

        await house.buy()
        (stop,) = house.orders(status="open", side="sell")
        house.world.twin.exchange.fill_now(stop, house.world.clock.now_us())
        await recovery.run()
        accounting.changed()
        assert close() == ["CONSECUTIVE_STOPS"]
        resumed(house, controls, "CONSECUTIVE_STOPS", "I have looked")
        assert close() == []

    in_house(test)


def test_coins_missing_from_a_position_are_not_written_off_by_a_word() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        recovery = await recovering(house, house.world.exchange)
        _, controls = watched(house, recovery, HaltLimits(daily_loss=1.0, drawdown=1.0, stops=8))
        house.ledger.set_halt(Halt(cause=f"mismatch {BASE}", level="REDUCING", since_us=1, reason="seen"))
        house.world.twin.exchange.state.balances[BASE] -= position.quantity / 2
        resumed(house, controls, f"mismatch {BASE}", "sold them elsewhere")
        await house.quiet()
        assert [halt.cause for halt in house.ledger.halts()] == [f"mismatch {BASE}"]
        assert house.rows()[-1] == "mismatch.not_accepted"
        assert house.ledger.cash().get(BASE, ZERO) == ZERO

    in_house(test)


def test_a_mark_with_more_places_than_the_ledger_keeps_is_written_to_its_places_and_ends_no_session() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        accounting, _ = watched(house, await recovering(house, house.world.exchange), HaltLimits(daily_loss=1.0, drawdown=1.0, stops=8))
        row = accounting.equity_row({PAIR: 0.1234567890123456}, house.world.clock.now_us())
        assert row is not None
        house.ledger.note("beat", {"number": 1}, row.time_us, equity=row)
        exact = position.quantity * Decimal("0.1234567890123456")
        assert ZERO < abs(house.ledger.equity()[-1].marked - exact) < Decimal("1e-18")

    in_house(test)
