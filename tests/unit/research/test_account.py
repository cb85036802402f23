"""The account pass: shared cash, slots and halts in time order, through the session's own review and exit plan."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from trader.domain.market import Instrument, Timeframe
from trader.domain.money import ZERO, add
from trader.errors import ConfigError
from trader.ports import Columns
from trader.research.account import Pass, account_pass
from trader.research.backtester import S1, of_table, six
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.strategy import modes
from trader.strategy.columns import Bars

DAYS = 40
AGGRESSIVE = of_table(modes.parameters("viable", "mitraillette", "AGGRESSIVE"))
CASH = Decimal(10_000)


def _instrument(market: SyntheticMarket, pair: str) -> Instrument:
    listing = market.listing(pair)
    return Instrument(
        pair=pair, base=listing.base, quote=listing.quote, tick=listing.tick, lot=Decimal(1).scaleb(-listing.lot_decimals),
        order_min=listing.ordermin, cost_min=listing.costmin,
    )  # fmt: skip


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, tuple[Columns, Columns]], dict[str, Instrument]]:
    market = SyntheticMarket(5, count=12)
    spans = {Timeframe.M15: DAYS, Timeframe.H4: 160}
    candles = {
        pair: tuple(market.candles(pair, tf, EPOCH_US - days * 86_400_000_000, EPOCH_US) for tf, days in spans.items())
        for pair in market.pairs
    }
    return candles, {pair: _instrument(market, pair) for pair in market.pairs}  # type: ignore[return-value]


@pytest.fixture(scope="module")
def bars(world: tuple[dict[str, tuple[Columns, Columns]], dict[str, Instrument]]) -> dict[str, Bars]:
    return {pair: Bars(*both) for pair, both in world[0].items()}


@pytest.fixture(scope="module")
def found(world, bars: dict[str, Bars]) -> Pass:
    return account_pass(AGGRESSIVE, bars, world[1], cash=CASH)


def test_an_exit_counts_from_the_close_of_its_own_bar(found: Pass) -> None:
    """What leaves at the open after a close is neither cash nor result at that close, though the bars carry the same time."""
    assert sum(leg.exit_us == row.time_us for row in found.equity for leg in found.legs) >= 5
    for row in found.equity:
        assert row.realised == add(ZERO, *(leg.net for leg in found.legs if leg.exit_us < row.time_us))


def test_every_signal_is_a_trade_a_refusal_or_open(found: Pass) -> None:
    entries = {leg.position_id for leg in found.legs}
    assert len(entries) >= 20
    assert found.signals - sum(found.refusals.values()) - len(entries) in range(len(found.open) + 1)


def test_money_is_conserved_to_the_last_digit(found: Pass) -> None:
    last = found.equity[-1]
    assert last.realised == add(ZERO, *(leg.net for leg in found.legs if leg.exit_us < last.time_us))
    if not found.open:
        assert last.equity == add(CASH, last.realised)
    assert last.fees > 0
    assert all(row.cash >= 0 for row in found.equity)


def test_equity_has_a_row_at_the_close_of_every_bar_in_which_a_leg_was_sold(found: Pass) -> None:
    times = {row.time_us for row in found.equity}
    bars = {leg.exit_us + Timeframe.M15.us for leg in found.legs}
    assert len(bars) >= 20
    assert bars <= times


def test_a_watched_pair_is_read_but_not_traded(found: Pass, world, bars: dict[str, Bars]) -> None:
    (reference,) = (pair for pair in bars if pair.startswith("BTC/"))
    rest = account_pass(AGGRESSIVE, bars, world[1], cash=CASH, watched=[reference])
    assert reference in {leg.pair for leg in found.legs}
    assert {leg.pair for leg in rest.legs} == {leg.pair for leg in found.legs} - {reference}
    assert "NO_REGIME" not in rest.refusals


def test_never_more_positions_than_slots_and_never_two_in_a_pair(found: Pass) -> None:
    spans: dict[str, tuple[str, int, int]] = {}
    for leg in found.legs:
        pair, first, last = spans.get(leg.position_id, (leg.pair, leg.entry_us, leg.exit_us))
        spans[leg.position_id] = (pair, first, max(last, leg.exit_us))
    ordered = sorted(spans.values(), key=lambda span: span[1])
    for pair in {span[0] for span in ordered}:
        own = [span for span in ordered if span[0] == pair]
        assert all(later[1] > earlier[2] for earlier, later in itertools.pairwise(own))


def test_cooldowns_and_entries_per_bar_hold(found: Pass) -> None:
    p = AGGRESSIVE.parameters
    assert p is not None
    at = Counter(entry for _, entry in {(leg.position_id, leg.entry_us) for leg in found.legs})
    assert max(at.values()) <= p.max_new_per_bar
    by_pair: dict[str, list[tuple[int, int, str]]] = {}
    for leg in found.legs:
        by_pair.setdefault(leg.pair, []).append((leg.entry_us, leg.exit_us, leg.reason))
    checked = 0
    for legs in by_pair.values():
        for _entry, exit_us, reason in legs:
            later = [entry for entry, _, _ in legs if entry > exit_us]
            wait = p.cooldown_stop_bars if reason == "STOP_LOSS" else p.cooldown_bars
            checked += len(later)
            assert all(entry - exit_us > wait * Timeframe.M15.us for entry in later)
    assert checked >= 20


def test_the_same_inputs_give_the_same_lines_and_less_cash_other_ones(found: Pass, world, bars: dict[str, Bars]) -> None:
    again = account_pass(AGGRESSIVE, {pair: Bars(*both) for pair, both in world[0].items()}, world[1], cash=CASH)
    assert again.lines() == found.lines()
    assert len(found.lines()) >= 20
    assert account_pass(AGGRESSIVE, bars, world[1], cash=Decimal(300)).lines() != found.lines()


def test_a_halt_refuses_entries_until_the_next_day(world, bars: dict[str, Bars]) -> None:
    p = AGGRESSIVE.parameters
    assert p is not None
    strict = replace(AGGRESSIVE, parameters=replace(p, daily_loss=0.0005))
    halted = account_pass(strict, bars, world[1], cash=CASH)
    assert halted.halted["DAILY_LOSS"] >= 2  # set, cleared at 00:00, set again
    assert halted.refusals["HALTED"] >= 1


def test_without_the_reference_pair_nothing_is_entered(world, bars: dict[str, Bars]) -> None:
    rest = {pair: one for pair, one in bars.items() if not pair.startswith("BTC/")}
    alone = account_pass(AGGRESSIVE, rest, world[1])
    assert alone.legs == ()
    assert alone.refusals == {"NO_REGIME": alone.signals}
    assert alone.signals >= 20


def test_the_future_does_not_change_the_past(found: Pass, world) -> None:
    cut = {
        pair: tuple(
            Columns(
                **{name: getattr(c, name)[: int(len(c) * 0.8)] for name in ("time", "open", "high", "low", "close", "volume", "filled")}
            )
            for c in both
        )
        for pair, both in world[0].items()
    }
    end = min(int(both[0].time[-1]) for both in cut.values())
    early = account_pass(AGGRESSIVE, {pair: Bars(both[0], world[0][pair][1]) for pair, both in cut.items()}, world[1], cash=CASH)
    before = [leg.line() for leg in found.legs if leg.exit_us < end]
    assert len(before) >= 10
    assert [leg.line() for leg in early.legs if leg.exit_us < end] == before


def test_what_cannot_run_is_refused_with_its_name(world, bars: dict[str, Bars]) -> None:
    with pytest.raises(ConfigError, match="strategy S1: the account pass takes one of the six"):
        account_pass(S1, bars, world[1])
    with pytest.raises(ConfigError, match="no pair to run on"):
        account_pass(AGGRESSIVE, {}, {})
    pair = next(iter(bars))
    coarse = {pair: replace(world[1][pair], tick=Decimal("7"))}
    with pytest.raises(ConfigError, match=f"{pair}: prices do not lie on the tick 7"):
        account_pass(AGGRESSIVE, {pair: bars[pair]}, coarse)


def test_short_warm_up_reaches_further_back_than_exact(world) -> None:
    pair = next(iter(world[0]))
    columns, _ = world[0][pair]
    exact, short = (Bars(columns, warmup=kind) for kind in ("exact", "short"))
    ready = [int(np.count_nonzero(one.features(AGGRESSIVE.parameters).ready)) for one in (exact, short)]  # type: ignore[arg-type]
    assert ready[0] == 0 < ready[1]  # 40 days hold 240 4h candles: exact asks for 690, short for 166
    with pytest.raises(ConfigError, match="warmup 'long' is not one of exact, short"):
        Bars(columns, warmup="long")


def test_the_six_have_names_of_their_own() -> None:
    assert len({strategy.name for strategy in six()}) == 6
