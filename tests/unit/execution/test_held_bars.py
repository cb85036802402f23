"""What is held gets its bars whatever the data gate says of its pair: SPEC 9 gates no exit by data quality."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

from desk_kit import House, in_house
from kraken_kit import PAIR

from trader.domain.costs import Costs
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import BarsClosed
from trader.errors import RejectedError
from trader.execution.bars import BarBuilder
from trader.execution.engine import Engine
from trader.execution.held_bars import HeldBars
from trader.execution.joiner import Joiner
from trader.execution.session import Session
from trader.execution.wiring import run_directly
from trader.ports import SessionSummary
from trader.strategy.modes import parameters


def engine_of(reference: str = "BTC/EUR") -> Engine:
    return Engine(parameters=parameters("viable", "mitraillette", "DEFAULT"), costs=Costs(), reference=reference)


def minutes(first: int, count: int, price: float = 10.0, pair: str = PAIR) -> list[Candle]:
    """One-minute candles that differ in every value, `first` being the number of the first."""
    return [
        Candle(
            pair=pair, timeframe=Timeframe.M1, time_us=n * MINUTE, open=price + n / 7, high=price + n / 3, low=price - n / 9,
            close=price + n / 11, volume=0.1 * n + 0.3, vwap=price + n / 13, count=n,
        )
        for n in range(first, first + count)
    ]  # fmt: skip


def built(candles: Iterable[Candle], builder: BarBuilder | None = None) -> list[Candle]:
    """What the engine's own builder makes of them, or one that has seen others before."""
    builder = builder or BarBuilder(Timeframe.M15)
    return [bar for candle in candles if (bar := builder.add(candle)) is not None]


# --- the bars ----------------------------------------------------------------------------------------------------------
def test_its_bars_are_the_engines_to_the_last_bit() -> None:
    candles, bars = minutes(0, 45), HeldBars((), {})
    assert [bar for candle in candles for bar in bars.take([PAIR], [candle], ())] == built(candles)


def test_a_bar_that_the_engine_closed_comes_once() -> None:
    candles, bars = minutes(0, 30), HeldBars((), {})
    builder = BarBuilder(Timeframe.M15)
    given = []
    for candle in candles:
        closed = [] if (bar := builder.add(candle)) is None else [bar]
        given += bars.take([PAIR], [candle], closed)
    assert given == built(candles)


def test_late_candles_complete_their_bar_and_repeats_change_nothing() -> None:
    candles, bars = minutes(0, 16), HeldBars((), {})
    assert bars.take([PAIR], [*candles[:5], *candles[6:]], ()) == []
    assert bars.take([PAIR], [candles[5], candles[5], candles[14]], ()) == built(candles)


def test_a_pair_that_is_not_held_costs_nothing_and_one_held_again_begins_anew() -> None:
    candles, bars = minutes(0, 15), HeldBars((), {})
    assert bars.take([], candles, ()) == []
    bars.take([PAIR], candles[:7], ())
    bars.take([], candles[7:8], ())
    assert bars.take([PAIR], candles[8:], ()) == []


def test_the_mark_of_a_held_pair_that_nobody_follows_is_its_newest_price() -> None:
    candles, marks = [*minutes(0, 2), *minutes(0, 2, pair="ETH/EUR")], dict[str, float]()
    HeldBars([PAIR], marks).take([PAIR, "ETH/EUR"], candles, ())
    assert marks == {"ETH/EUR": 10.0 + 1 / 11}, "the other's is the engine's own"


# --- the session -------------------------------------------------------------------------------------------------------
async def nothing() -> None:
    """No decision to take."""


class Market:
    """One-minute candles by REST, and who asked to follow what."""

    def __init__(self, candles: list[Candle]) -> None:
        self.candles, self.added, self.ticks = candles, list[str](), list[str]()

    async def add_pairs(self, pairs: list[str]) -> None:
        self.added += pairs

    async def watch_ticks(self, pairs: list[str]) -> None:
        self.ticks = pairs

    async def history(self, pair: str, _timeframe: Timeframe, since_us: int) -> list[Candle]:
        if pair != PAIR:
            raise RejectedError(pair)
        return [candle for candle in self.candles if candle.time_us >= since_us]


def session_of(house: House, engine: Any, market: Any = None) -> Session:
    """The part of a session through which candles come to the house's keeper."""
    session = Session.__new__(Session)
    session.summary, session.keeper, session._closing, session._ticking = SessionSummary(), house.keeper, asyncio.Lock(), []

    def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
        house.keeper.spawn(coroutine, name)

    session.spawn = spawn  # type: ignore[method-assign]
    wiring: Any = SimpleNamespace(stage=run_directly, market=market, base=Timeframe.M1, ledger=house.ledger, clock=house.world.clock)
    closing: Any = SimpleNamespace(absorb=lambda event: engine.absorb(event.candles), decide=lambda *_: nothing(), engine=engine)
    session.w, session.closing, session.held_bars = wiring, closing, HeldBars(engine.pairs, engine.marks)
    return session


async def due_next_close(house: House) -> float:
    """A position whose longest time ends with its next bar; what it was bought at."""
    position = await house.buy()
    (held,) = house.keeper.held.values()
    assert held.guard is not None
    held.guard.state = held.guard.state._replace(terms=held.guard.state.terms._replace(max_hold_bars=1))
    return float(position.entry_cost / position.entry_quantity)


def entry_bar(house: House) -> int:
    """The number of the first minute of the bar in which it was bought."""
    return Timeframe.M15.floor(house.held().opened_us) // MINUTE


def flat(price: float, first: int, count: int) -> list[Candle]:
    return [
        Candle(pair=PAIR, timeframe=Timeframe.M1, time_us=n * MINUTE, open=price, high=price, low=price, close=price, volume=1.0)
        for n in range(first, first + count)
    ]


def test_a_time_exit_comes_for_a_bar_whose_last_minute_was_late() -> None:
    """Its candle came by REST with the close of the next minute; `_bars` hands 15m candles on at quarters only."""

    async def test(house: House) -> None:
        price = await due_next_close(house)
        builder = BarBuilder(Timeframe.M15)
        engine = SimpleNamespace(pairs=[PAIR], marks={}, absorb=lambda candles: built(candles, builder))
        session = session_of(house, engine)
        *early, late, after = flat(price, entry_bar(house), 16)
        for candle in early:
            session._bars(BarsClosed(close_us=candle.close_us, candles=(candle,)))
        session._bars(BarsClosed(close_us=late.close_us, candles=()))
        session._bars(BarsClosed(close_us=after.close_us, candles=(late, after)))
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)


def test_a_time_exit_comes_for_a_pair_that_the_data_gate_blocks() -> None:
    async def test(house: House) -> None:
        price = await due_next_close(house)
        engine = engine_of()
        wiring: Any = SimpleNamespace(ledger=house.ledger, clock=house.world.clock)
        Joiner(wiring, engine, SessionSummary(), {}).block(PAIR, "expect_column_values_to_be_increasing")
        session = session_of(house, engine)
        for candle in flat(price, entry_bar(house), 15):
            session._bars(BarsClosed(close_us=candle.close_us, candles=(candle,)))
        await house.quiet()
        assert house.ledger.positions() == []
        assert [i.reason for i in house.ledger.intents() if i.leg == "exit"] == ["MAX_HOLD"]

    in_house(test)


def test_a_position_in_a_pair_that_left_the_ranking_is_followed_after_a_restart() -> None:
    """It is subscribed, ticks too; the bar that runs is complete, its first minutes by REST; equity has its mark; nothing is joined."""

    async def test(house: House) -> None:
        price = await due_next_close(house)
        engine, bar = engine_of("ETH/EUR"), entry_bar(house)
        candles = flat(price, bar, 15)
        market = Market(candles[:4])
        session = session_of(house, engine, market)
        session._watch()
        await house.quiet()
        assert (market.added, market.ticks, engine.marks, list(engine.pairs)) == ([PAIR], [PAIR], {PAIR: price}, [])
        for candle in candles[4:]:
            session._bars(BarsClosed(close_us=candle.close_us, candles=(candle,)))
        await house.quiet()
        assert house.ledger.positions() == []

    in_house(test)


def test_candles_that_do_not_come_by_rest_fail_nothing() -> None:
    async def test(house: House) -> None:
        await house.buy()
        session = session_of(house, engine_of(), Market([]))
        await session._subscribe(["GONE/EUR"])
        assert house.rows()[-1] == "history.unknown"

    in_house(test)
