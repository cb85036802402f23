"""Bars that closed while nobody followed a position: its exits go by them as if somebody had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from desk_kit import House, in_house
from kraken_kit import PAIR
from ledger_kit import PLAN

from tests.unit.execution.test_positions_guard import RULES, bar, held
from trader.domain.market import MINUTE, SECOND, Candle, Timeframe
from trader.errors import RetryableError
from trader.execution.missed_bars import FEED_US, MissedBars
from trader.execution.positions import ExitKind, Guard

CALM, UP, HIGH = (100.0, 100.4, 99.6, 100.0), (100.0, 101.9, 99.8, 101.8), (101.8, 101.9, 101.2, 101.5)
M15 = Timeframe.M15.us


def guard_of(**plan: Any) -> Guard:
    return Guard.begin(replace(held(), plan=replace(PLAN, legs=(0.0, 0.0), **plan)), RULES)


def walk(seed: int, count: int) -> list[Candle]:
    """A random walk from 100 that comes near to a stop at 98 and over a few levels of the ratchet."""
    rng, price, bars = Random(seed), 100.0, []
    for number in range(1, count + 1):
        close = price * (1 + rng.gauss(0.0005, 0.004))
        high, low = max(price, close) * (1 + rng.random() / 500), min(price, close) * (1 - rng.random() / 500)
        bars.append(bar(round(price, 1), round(high, 1), round(low, 1), round(close, 1), number))
        price = close
    return bars


def followed(guard: Guard, bars: Sequence[Candle]) -> str:
    """The reason of the first exit that is asked for, bar by bar, or none."""
    return next((exits[0].reason for one in bars if (exits := guard.closed(one))), "")


# --- the state ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("plan", "bars", "reason"),
    [
        ({}, [CALM] * 4, ""),
        ({}, [CALM] * 5, "STAGNATION"),
        ({}, [*[CALM] * 5, UP], "STAGNATION"),  # it was due then, whatever the price is now
        ({"max_hold_bars": 3}, [UP, HIGH, HIGH], "MAX_HOLD"),
        ({}, [UP, (101.8, 101.8, 100.0, 101.0)], "RATCHET_L1"),  # through a level that never rested
        ({}, [(100.0, 103.0, 99.5, 100.0)], "RATCHET_L2"),  # a level above the close cannot rest
    ],
)
def test_what_was_missed_decides_as_if_it_had_been_followed(plan: dict[str, Any], bars: list[tuple[float, ...]], reason: str) -> None:
    guard, through = guard_of(**plan), guard_of(**plan)
    missed = [bar(*values, number) for number, values in enumerate(bars, start=1)]
    wanted = guard.missed(missed)
    assert [(exit.kind, exit.reason) for exit in wanted] == ([(ExitKind.MARKET, reason)] if reason else [])
    assert followed(through, missed) == reason
    if reason:
        assert guard.touched(guard.stop_price + 1) == wanted, "and stays due until it is done"
    else:
        assert guard.state == through.state


def test_wherever_a_walk_is_interrupted_its_exits_are_the_same() -> None:
    outcomes = set()
    for seed in range(60):
        bars, rng = walk(seed, 30), Random(seed)
        died, back = sorted((rng.randrange(30), rng.randrange(30)))
        through, other = guard_of(stagnation_bars=25), guard_of(stagnation_bars=25)
        if followed(other, bars[:died]) or any(one.low <= other.stop_price for one in bars[died:back]):
            continue  # gone before, or sold meanwhile by the stop that rests
        wanted = other.missed(bars[died:back])
        reason = wanted[0].reason if wanted else followed(other, bars[back:])
        assert reason == followed(through, bars), f"seed {seed}, from {died} to {back}"
        assert reason or other.state == through.state
        outcomes.add(reason)
    assert {"", "STOP_LOSS", "STAGNATION", "RATCHET_L1"} <= outcomes, "all that can happen did"


def test_a_stop_found_nearer_than_an_older_backup_knew_is_not_touched_by_what_went_before_it() -> None:
    guard = guard_of()
    guard.tighten(RULES.price(1009))  # where the ratchet of the forgotten bars had put it
    assert guard.missed([bar(*CALM, 1), bar(*UP, 2), bar(*HIGH, 3)]) == []
    assert (guard.stop_price, guard.stop_reason) == (RULES.price(1009), "RATCHET_L1")


def test_a_target_that_was_passed_is_not_sold_below_its_level() -> None:
    guard = Guard.begin(held(), RULES)
    assert guard.missed([bar(100, 102.5, 99.5, 101.8)]) == []
    assert (guard.state.held, guard.state.legs, guard.stop_reason) == (1, 0, "RATCHET_L1")
    assert [exit.reason for exit in guard.touched(RULES.price(1020))] == ["TP1"]


def test_no_bar_counts_twice_and_none_from_before_the_entry() -> None:
    guard = guard_of()
    for _ in range(2):
        guard.missed([bar(*CALM, number) for number in (-1, 0, 1, 2)])
        guard.closed(bar(*CALM, 0))
        guard.closed(bar(*CALM, 2))
    assert guard.state.held == 2
    guard.closed(bar(*CALM, 3))
    assert guard.state.held == 3


@pytest.mark.parametrize("way", ["closed", "missed"])
@pytest.mark.parametrize(("before_end_s", "counts"), [(0.0, False), (0.1, False), (5.0, False), (5.1, True), (890.0, True)])
def test_a_bar_that_was_decided_on_is_none_of_the_positions_though_a_clock_puts_the_fill_in_it(
    before_end_s: float, counts: bool, way: str
) -> None:
    wild, opened_us = bar(100.0, 103.0, 97.0, 100.0), bar(*CALM, 2).time_us - int(before_end_s * SECOND)
    guard = Guard.begin(replace(held(), opened_us=opened_us), RULES)
    assert bool(guard.closed(wild) if way == "closed" else guard.missed([wild])) is counts, "through its stop, and above the ratchet"
    if not counts:
        assert guard.owed(wild.close_us) is None
        assert guard.closed(bar(*CALM, 2)) == [] and guard.state.held == 1


def test_a_bar_behind_a_hole_counts_the_hole_and_the_best_price_in_it_moves_the_ratchet_later() -> None:
    guard, first = guard_of(), bar(*CALM, 1).time_us
    guard.closed(bar(*CALM, 1))
    guard.closed(bar(*CALM, 4))
    assert (guard.state.held, guard.owed(first + 4 * M15)) == (4, first + M15)
    guard.missed([bar(*UP, 2), bar(*CALM, 3), bar(*CALM, 4)])
    assert (guard.state.held, guard.owed(first + 4 * M15), guard.stop_reason) == (4, None, "STOP_LOSS")
    guard.closed(bar(101.0, 101.2, 100.9, 101.1, 5))
    assert guard.stop_reason == "RATCHET_L1"


@pytest.mark.parametrize(("until", "owed"), [(1, None), (2, 1), (5, 1)])
def test_what_is_owed_begins_behind_the_last_that_counts(until: int, owed: int | None) -> None:
    guard, first = guard_of(), bar(*CALM, 1).time_us
    guard.closed(bar(*CALM, 1))
    assert guard.owed(first + until * M15) == (None if owed is None else first + owed * M15)


# --- asking for them ---------------------------------------------------------------------------------------------------
class Market:
    """15m candles by REST, or what else it answers with."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[int]()

    async def history(self, _pair: str, _timeframe: Timeframe, since_us: int) -> list[Candle]:
        self.asked.append(since_us)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [one for one in self.answer if one.time_us >= since_us]


def bars_of(house: House, count: int, price: float) -> list[Candle]:
    first = Timeframe.M15.floor(house.held().opened_us)
    return [
        Candle(pair=PAIR, timeframe=Timeframe.M15, time_us=first + n * M15, open=price, high=price, low=price, close=price, volume=1.0)
        for n in range(count)
    ]


async def due_after(house: House, bars: int) -> float:
    """A position whose longest time is so many bars; what it was bought at."""
    position = await house.buy()
    (one,) = house.keeper.held.values()
    assert one.guard is not None
    one.guard.state = one.guard.state._replace(terms=one.guard.state.terms._replace(max_hold_bars=bars))
    return float(position.entry_cost / position.entry_quantity)


def looking(house: House, answer: Any, minutes: float) -> tuple[MissedBars, Market]:
    """Such a look, that many minutes after the bar of the entry began."""
    market = Market(answer)
    now_us = Timeframe.M15.floor(house.held().opened_us) + int(minutes * MINUTE)
    wiring: Any = SimpleNamespace(market=market, ledger=house.ledger, clock=SimpleNamespace(now_us=lambda: now_us))
    return MissedBars(wiring, house.keeper, house.keeper.spawn), market


def spoilt(bars: list[Candle]) -> list[Candle]:
    return [replace(bars[0], low=0.0), *bars[1:]]


def test_an_exit_that_came_due_meanwhile_is_carried_out_at_once() -> None:
    async def test(house: House) -> None:
        price = await due_after(house, 3)
        missed, market = looking(house, bars_of(house, 3, price), 45.5)
        missed.look()
        missed.look()
        await house.quiet()
        assert house.ledger.positions() == []
        assert [i.reason for i in house.ledger.intents() if i.leg == "exit"] == ["MAX_HOLD"]
        assert len(market.asked) == 1, "one question at a time"

    in_house(test)


@pytest.mark.parametrize("due", [True, False])
def test_a_way_out_that_was_decided_before_a_death_is_taken_at_the_start(due: bool) -> None:
    async def test(house: House) -> None:
        price = await due_after(house, 1 if due else 2)
        spawn, house.keeper.spawn = house.keeper.spawn, lambda coroutine, _: coroutine.close()  # it dies before it sells
        house.keeper.on_close(bars_of(house, 1, price)[0])
        house.keeper.spawn = spawn
        house.keeper.held.clear()
        house.keeper.load()
        missed, market = looking(house, [], 16)
        missed.begin()
        await house.quiet()
        assert [leg.reason for leg in house.ledger.trade_legs()] == ["MAX_HOLD"] * due
        assert market.asked == []

    in_house(test)


def test_a_bar_that_the_feed_may_still_tell_of_is_left_to_it() -> None:
    async def test(house: House) -> None:
        price = await due_after(house, 3)
        missed, market = looking(house, bars_of(house, 3, price), 45 + (FEED_US - SECOND) / MINUTE)
        missed.look()
        await house.quiet()
        (one,) = house.keeper.held.values()
        assert one.guard is not None
        assert one.guard.state.held == 2
        missed.look()
        assert len(market.asked) == 1, "nothing is owed now"

    in_house(test)


@pytest.mark.parametrize("kind", ["no answer", "backwards", "spoilt"])
def test_bars_that_do_not_come_fail_nothing_and_are_asked_for_again(kind: str) -> None:
    async def test(house: House) -> None:
        price = await due_after(house, 3)
        bars = bars_of(house, 3, price)
        answer = {"no answer": RetryableError("busy"), "backwards": bars[::-1], "spoilt": spoilt(bars)}[kind]
        missed, market = looking(house, answer, 45.5)
        missed.look()
        await house.quiet()
        assert house.rows()[-1] == "history.unknown"
        market.answer = bars
        missed.look()
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)
