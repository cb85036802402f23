"""The venue's rules while a session runs: read each hour, entries off when too old, a pair out after two refusals of its size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.account import PositionState
from trader.domain.market import MINUTE, Instrument
from trader.domain.orders import Rejected
from trader.errors import RejectedError, RetryableError, TraderError
from trader.execution.positions import Exit, ExitKind
from trader.execution.venue_rules import DELISTED, EVERY_US, SHUT_S, STATUS_S, TOO_OLD_US, Openness, VenueRules, too_small
from trader.simulation.faults import Fault
from trader.simulation.loops import run_stepped

RULES = Instrument(pair="A/EUR", base="A", quote="EUR", tick=Decimal("0.01"), lot=Decimal("0.1"), order_min=Decimal(1), cost_min=Decimal(1))
OTHER = replace(RULES, pair="B/EUR", base="B")
SIZE, FUNDS, BUG = (Rejected(kind=kind, message=f"{kind} words") for kind in ("size", "funds", "bug"))


CLOSED = [
    *(("system", mode) for mode in ("maintenance", "cancel_only", "post_only")),
    *(("pair", mode) for mode in ("maintenance", "cancel_only", "post_only", "limit_only", "reduce_only")),
]


class Venue:
    """A wiring's clock, ledger and exchange in one."""

    def __init__(self) -> None:
        self.now, self.told, self.notes, self.asked = 0, {"A/EUR": RULES, "B/EUR": OTHER}, [], 0
        self.away: TraderError | None = None
        self.held: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def now_us(self) -> int:
        return self.now

    def note(self, kind: str, _payload: Mapping[str, Any], _now_us: int) -> None:
        self.notes.append(kind)

    def positions(self) -> list[Any]:
        return [SimpleNamespace(pair=pair) for pair in self.held]

    async def instruments(self) -> Mapping[str, Instrument]:
        self.asked += 1
        self.meanwhile()
        if self.away is not None:
            raise self.away
        return self.told


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def rules(venue: Venue) -> VenueRules:
    wiring: Any = SimpleNamespace(clock=venue, ledger=venue, exchange=venue, instruments=dict(venue.told))
    return VenueRules(wiring)


def test_they_are_read_each_hour_and_what_is_no_longer_listed_enters_nothing(venue: Venue, rules: VenueRules) -> None:
    known = rules.w.instruments
    asyncio.run(rules.refresh())
    assert venue.asked == 0
    venue.told = {"A/EUR": replace(RULES, order_min=Decimal(7))}
    venue.now = EVERY_US
    asyncio.run(rules.refresh())
    asyncio.run(rules.refresh())
    assert venue.asked == 1
    assert rules.w.instruments is known and known["A/EUR"].order_min == Decimal(7)
    assert known["B/EUR"] == replace(OTHER, status=DELISTED)


def test_a_pair_is_in_the_mode_that_the_stream_told_last(venue: Venue, rules: VenueRules) -> None:
    told, venue.held = [], ["A/EUR"]
    for status in ("online", "limit_only", "limit_only", "online"):
        rules.told("A/EUR", status)
        told.append(rules.w.instruments["A/EUR"])
    rules.told("B/EUR", "limit_only")
    rules.told("C/EUR", "online")
    assert told == [RULES, replace(RULES, status="limit_only"), replace(RULES, status="limit_only"), RULES]
    assert rules.w.instruments["B/EUR"].status == "limit_only" and "C/EUR" not in rules.w.instruments
    assert venue.notes == ["pair.status"] * 2, "of what is held"


@pytest.mark.parametrize(
    ("told", "away", "open_"),
    [
        ({"A/EUR": RULES}, None, True),  # the stream missed the end of it
        ({"A/EUR": replace(RULES, status="limit_only")}, None, False),
        ({"B/EUR": OTHER}, None, True),  # off the venue: its stop is gone with it
        ({"A/EUR": RULES}, RetryableError("away"), False),
    ],
)
def test_a_closed_pair_is_asked_for_before_an_exit_waits_for_it(told: dict[str, Instrument], away: TraderError | None, open_: bool) -> None:
    venue: Any = Venue()
    venue.told, venue.away = told, away
    assert asyncio.run(Openness(lambda: venue, {"A/EUR": replace(RULES, status="limit_only")}).pair("A/EUR")) is open_
    assert asyncio.run(Openness(lambda: venue, {"A/EUR": RULES}).pair("A/EUR")) and venue.asked == 1, "an open one is not asked for"


@pytest.mark.parametrize(
    ("answer", "open_"),
    [("online", True), ("cancel_only", False), (RetryableError("away"), True), (RejectedError("EGeneral:Unknown"), True), (None, True)],
)
def test_an_exit_waits_for_a_closed_venue_and_for_no_answer(answer: str | TraderError | None, open_: bool) -> None:
    async def system_status() -> str:
        if answer is None:
            await asyncio.sleep(2 * STATUS_S)
        if isinstance(answer, TraderError):
            raise answer
        return answer or "cancel_only"

    venue: Any = SimpleNamespace(system_status=system_status)
    assert run_stepped(lambda: Openness(lambda: venue, {"A/EUR": RULES}).venue("A/EUR")) is open_


def test_every_touch_of_a_closed_pair_asks_for_no_rules_of_its_own() -> None:
    async def ask() -> list[tuple[bool, int]]:
        venue: Any = Venue()
        venue.told = closed = {"A/EUR": replace(RULES, status="limit_only"), "B/EUR": OTHER}
        openness, answers = Openness(lambda: venue, closed), []
        for told, pause_s in ((closed, 0.0), (closed, SHUT_S), ({"A/EUR": RULES}, 0.0)):
            venue.told = told
            answers.append((await openness.pair("A/EUR"), venue.asked))
            await asyncio.sleep(pause_s)
        return answers

    assert run_stepped(ask) == [(False, 1), (False, 1), (True, 2)]


@pytest.mark.parametrize("told", [[], ["cancel_only"], ["cancel_only", "online"], ["online"]])
def test_a_mode_told_while_the_rules_are_read_is_newer_than_they_are(venue: Venue, rules: VenueRules, told: list[str]) -> None:
    rules.told("A/EUR", "post_only")
    venue.told = {"A/EUR": replace(RULES, status="limit_only"), "B/EUR": OTHER}
    venue.meanwhile = lambda: [rules.told("A/EUR", status) for status in told]
    venue.now = EVERY_US
    asyncio.run(rules.refresh())
    assert rules.w.instruments["A/EUR"].status == [*told, "limit_only"][max(0, len(told) - 1)]


@pytest.mark.parametrize("trouble", [RetryableError("no answer"), RejectedError("EGeneral:Invalid arguments")])
def test_rules_that_nobody_could_read_for_a_day_are_too_old(venue: Venue, rules: VenueRules, trouble: TraderError) -> None:
    venue.away = trouble
    venue.now = TOO_OLD_US
    asyncio.run(rules.refresh())
    assert not rules.too_old
    venue.now += MINUTE
    asyncio.run(rules.refresh())
    assert rules.too_old and venue.notes == ["rules.unread", "rules.unread"]
    venue.away = None
    asyncio.run(rules.refresh())
    assert not rules.too_old


@pytest.mark.parametrize(
    ("answers", "out"),
    [
        ([SIZE], False),
        ([SIZE, SIZE], True),
        ([SIZE, FUNDS, SIZE], False),
        ([SIZE, None, SIZE], False),
        ([BUG], True),
        ([FUNDS, FUNDS], False),
    ],
)
def test_what_takes_a_pair_out(venue: Venue, rules: VenueRules, answers: list[Rejected | None], out: bool) -> None:
    for answer in answers:
        if answer is None:
            rules.taken("A/EUR")
        else:
            rules.refused("A/EUR", answer)
    assert (set(rules.suspended) == {"A/EUR"}) is out
    asyncio.run(rules.refresh())
    assert venue.asked == int(SIZE in answers), "a refused size asks for the rules anew"


def test_a_held_pair_that_is_no_longer_listed_stops_no_other_from_being_looked_after() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        listed = house.keeper.instruments
        house.keeper.held.clear()
        house.keeper.instruments = {pair: rules for pair, rules in listed.items() if pair != PAIR}
        house.keeper.load()
        held = house.keeper.held[position.position_id]
        house.keeper.begin_guard(held)
        await house.keeper.protect(held)
        assert held.guard is None and len(house.orders(status="open")) == 1, "its stop rests on untouched"

    in_house(test)


@pytest.mark.parametrize(("of", "mode"), CLOSED)
def test_an_exit_waits_under_its_stop_while_the_venue_takes_none(of: str, mode: str) -> None:
    async def test(house: House) -> None:
        position, stop = await house.bought_before(mode, of=of)
        held = house.keeper.held[position.position_id]
        leaving = asyncio.create_task(house.keeper.leave(held, "FLATTEN"))
        await house.keeper.act(held, [Exit(kind=ExitKind.MARKET, reason="MAX_HOLD", price=Decimal(1), quantity=position.quantity)])
        await asyncio.sleep(50)
        assert [order.txid for order in house.orders(status="open")] == [stop.txid]
        await leaving
        await house.quiet()
        assert house.ledger.positions() == [] and [leg.reason for leg in house.ledger.trade_legs()] == ["FLATTEN"]

    in_house(test)


def test_an_exit_below_a_minimum_that_came_down_again_is_made() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        house.keeper.instruments[PAIR] = replace(house.keeper.instruments[PAIR], order_min=position.quantity * 2)  # type: ignore[index]
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        assert house.ledger.positions() == []

    in_house(test)


def test_an_exit_below_a_minimum_that_was_raised_leaves_the_stop_where_it_is() -> None:
    async def test(house: House) -> None:
        position = await house.buy()
        house.world.twin.inject(Fault(where="pair", action="raise_minimum", arg={"pair": PAIR, "ordermin": "1000000", "for_s": 600}))
        house.keeper.instruments[PAIR] = replace(house.keeper.instruments[PAIR], order_min=position.quantity * 2)  # type: ignore[index]
        (stop,) = house.orders(status="open")
        await house.keeper.leave(house.keeper.held[position.position_id], "FLATTEN")
        assert [order.txid for order in house.orders(status="open")] == [stop.txid]
        assert [p.state for p in house.ledger.positions()] == [PositionState.OPEN]

    in_house(test)


RAISED = replace(RULES, order_min=Decimal(1000))


@pytest.mark.parametrize(
    ("told", "away", "small"),
    [
        ({"A/EUR": RULES}, None, False),  # it came down since it was read
        ({"A/EUR": RAISED}, None, True),
        ({"B/EUR": OTHER}, None, False),  # not listed: nobody can say
        ({"A/EUR": RAISED}, RetryableError("away"), False),
    ],
)
def test_a_holding_is_written_off_only_by_rules_just_read(told: dict[str, Instrument], away: TraderError | None, small: bool) -> None:
    venue: Any = Venue()
    venue.told, venue.away = told, away
    assert asyncio.run(too_small(venue, RAISED, Decimal(5), Decimal(10))) is small
    assert asyncio.run(too_small(venue, RULES, Decimal(5), Decimal(10))) is False
