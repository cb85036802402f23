"""Stake table: regime, Kelly, caps and floors."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from trader.domain.costs import Costs
from trader.domain.market import DAY, Instrument
from trader.domain.messages import Refusal
from trader.execution.sizing import Record, Room, Size, TradeStats, base_stake, exposure_limit, half_kelly, regime, size
from trader.strategy.modes import parameters

COSTS = Costs()
ROOM = Room(equity=D(10_000), free_cash=D(8_000), headroom=D(5_000))
INSTRUMENT = Instrument(pair="A/EUR", base="A", quote="EUR", tick=D("0.01"), lot=D("0.0001"), order_min=D("0.01"), cost_min=D("0.5"))
MD, SA = parameters("viable", "mitraillette", "DEFAULT"), parameters("viable", "sniper", "AGGRESSIVE")
SEED = parameters("seed", "mitraillette", "DEFAULT")


@pytest.mark.parametrize(
    ("g", "name", "m"),
    [
        (-0.0501, "CRASH", 0.0618),
        (-0.05, "BEAR", 0.382),
        (-0.0201, "BEAR", 0.382),
        (-0.02, "RANGE", 1.0),
        (0.03, "RANGE", 1.0),
        (0.0301, "BULL", 1.618),
    ],
)
def test_regime(g: float, name: str, m: float) -> None:
    assert regime(g) == (name, m)


@pytest.mark.parametrize(("m", "percent"), [(1.0, 50.0), (1.618, 61.8), (0.382, 27.6), (0.0618, 5.8)])
def test_exposure_limit_by_regime(m: float, percent: float) -> None:
    assert float(exposure_limit(D(100), m)) == pytest.approx(percent, abs=0.05)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (TradeStats(trades=100, wins=60, mean_win=0.03, mean_loss=0.02), (0.6 - 0.4 / 1.5) / 2),
        (TradeStats(trades=100, wins=30, mean_win=0.02, mean_loss=0.02), -0.2),
        (TradeStats(trades=10, wins=10, mean_win=0.02, mean_loss=0.0), 0.5),
        (TradeStats(trades=10, wins=0, mean_win=0.0, mean_loss=0.02), 0.0),
        (TradeStats(trades=0, wins=0, mean_win=0.0, mean_loss=0.0), 0.0),
    ],
)
def test_half_kelly(stats: TradeStats, expected: float) -> None:
    assert half_kelly(stats) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("strategy", "stop", "stats", "expected"),
    [
        (MD, 0.0309, None, 10_000 * 0.001 / 0.0399),
        (MD, 0.0001, None, 10_000 * 0.034),  # a tight stop meets max_stake
        (SA, 0.0309, None, 10_000 * 0.21),
        (SA, 0.0309, TradeStats(trades=29, wins=1, mean_win=0.01, mean_loss=0.05), 10_000 * 0.21),  # too few trades to count
        (SA, 0.0309, TradeStats(trades=30, wins=1, mean_win=0.01, mean_loss=0.05), 10_000 * 0.01),
        (SA, 0.0309, TradeStats(trades=30, wins=18, mean_win=0.01, mean_loss=0.01), 10_000 * 0.1),
        (SEED, 0.01, None, 13.0),
        (SEED, 0.01, TradeStats(trades=4, wins=2, mean_win=0.01, mean_loss=0.01), 13.0),
    ],
)
def test_base_stake(strategy: object, stop: float, stats: TradeStats | None, expected: float) -> None:
    assert float(base_stake(strategy, stop, COSTS, ROOM, stats)) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cash", "stats", "expected"),
    [
        (50, None, 5.0),
        (1, None, 2.618),
        (50, TradeStats(trades=10, wins=6, mean_win=0.02, mean_loss=0.02), 5.0),
        (50, TradeStats(trades=10, wins=6, mean_win=0.04, mean_loss=0.02), 10.0),
        (100, TradeStats(trades=10, wins=6, mean_win=0.015, mean_loss=0.02), 3.333333),
        (500, TradeStats(trades=100, wins=51, mean_win=0.01, mean_loss=0.02), 5.0),  # half-Kelly below zero: the least share
    ],
)
def test_seed_base_stake_is_a_share_of_cash_between_its_limits(cash: int, stats: TradeStats | None, expected: float) -> None:
    room = Room(equity=D(1), free_cash=D(cash), headroom=D(1))
    assert float(base_stake(SEED, 0.01, COSTS, room, stats)) == pytest.approx(expected, rel=1e-6)


def sized(
    *,
    room: Room = ROOM,
    turnover: float = 1e6,
    factors: tuple[float, ...] = (1.0,),
    stop: float = 0.0309,
    close: str = "100",
    band: float = 0.00382,
    strategy: object = MD,
) -> Size:
    return size(
        parameters=strategy,
        instrument=INSTRUMENT,
        close=D(close),
        stop=stop,
        band=band,
        median_quote_volume=turnover,
        factors=factors,
        costs=COSTS,
        room=room,
    )  # type: ignore[arg-type]


def test_factors_multiply_and_max_stake_caps_after_them() -> None:
    plain = sized()
    assert float(sized(factors=(0.382, 0.618)).stake) == pytest.approx(float(plain.stake) * 0.382 * 0.618)
    assert sized(stop=0.0001, factors=(1.618,)).stake == D(340)


def test_quantity_pays_the_slipped_price_and_rounds_down_to_the_lot() -> None:
    made = sized()
    assert made.quantity * D("100.05") <= made.stake < (made.quantity + INSTRUMENT.lot) * D("100.05")


@pytest.mark.parametrize(
    ("room", "turnover", "expected"),
    [
        (Room(equity=D(10_000), free_cash=D(8_000), headroom=D(60)), 1e6, 60 * 1.0005 / 1.00382),
        (Room(equity=D(10_000), free_cash=D(60), headroom=D(5_000)), 1e6, 60 / 1.004 * 1.0005 / 1.00382),
        (ROOM, 1_000.0, 50.0),
    ],
)
def test_caps_shrink_the_stake(room: Room, turnover: float, expected: float) -> None:
    assert float(sized(room=room, turnover=turnover, factors=(1.0,), stop=0.001).stake) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("room", "turnover", "factors", "expected"),
    [
        (Room(equity=D(10_000), free_cash=D(0), headroom=D(0)), 0.0, (1e-9,), Refusal.EXPOSURE),
        (Room(equity=D(10_000), free_cash=D(0), headroom=D(-50)), 1e6, (1.0,), Refusal.EXPOSURE),
        (Room(equity=D(10_000), free_cash=D(1), headroom=D(50)), 0.0, (1e-9,), Refusal.CASH),
        (ROOM, 21.0, (1e-9,), Refusal.LIQUIDITY),
        (ROOM, 1e6, (1e-9,), Refusal.MIN_NOTIONAL),
        (ROOM, float("nan"), (1.0,), Refusal.MIN_NOTIONAL),
        (ROOM, 1e6, (float("inf"),), Refusal.MIN_NOTIONAL),
    ],
)
def test_what_falls_below_the_floor_names_its_cap(room: Room, turnover: float, factors: tuple[float, ...], expected: Refusal) -> None:
    made = sized(room=room, turnover=turnover, factors=factors)
    assert made.refusal is expected and made.quantity == 0 and made.detail


def test_the_floor_is_a_tenth_above_the_minimum() -> None:
    """order_min 0.01 at 100 is 1.0, more than cost_min 0.5: the floor is 1.10."""
    base = float(sized().stake)
    assert sized(factors=(1.101 / base,)).refusal is None
    assert sized(factors=(1.099 / base,)).refusal is Refusal.MIN_NOTIONAL


def test_a_record_knows_the_trades_of_its_days_and_not_their_order() -> None:
    trades = [(n * DAY, D(str(net)), D(100)) for n, net in enumerate((1, -2, 3, 0, -1))]
    record = Record(MD)
    for trade in trades:
        record.ended(*trade)
    stats = record.stats(4 * DAY)
    assert (stats.trades, stats.wins) == (5, 2)
    assert stats.mean_win == pytest.approx(0.02) and stats.mean_loss == pytest.approx(0.01)
    later = record.stats(92 * DAY)
    assert (later.trades, later.wins) == (3, 1), "a trade counts for 90 days after its end"
    assert (record.stats(99 * DAY).trades, record.stats(99 * DAY).mean_win) == (0, 0.0)
    short = Record(SEED)
    short.ended(0, D(1), D(100))
    assert (short.stats(7 * DAY).trades, short.stats(7 * DAY + 1).trades) == (1, 0)


def test_thirty_closed_trades_cap_a_losing_mode_at_one_percent() -> None:
    def after(trades: int) -> D:
        record = Record(SA)
        for n in range(trades):
            record.ended(n, D(-1), D(100))
        return base_stake(SA, 0.03, COSTS, ROOM, record.stats(DAY))

    assert after(29) == base_stake(SA, 0.03, COSTS, ROOM, None) > D(1_000)
    assert after(30) == D(100)
