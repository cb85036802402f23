"""Outcomes of signals: the same trades as the account pass makes, whatever was done with the signal; none where candles are missing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from trader.bootstrap.candles import instrument
from trader.domain.market import Timeframe
from trader.domain.messages import Action, Decision, TradeLeg
from trader.domain.money import ZERO, add, mul
from trader.domain.orders import Side
from trader.domain.verdicts import SignalKind
from trader.indicators.resample import cut
from trader.ports import Columns
from trader.research.account import account_pass
from trader.research.markets import market_of
from trader.research.scorecard.labelling import Candles, Signal, UnlabelledError, label
from trader.simulation.market import EPOCH_US, SyntheticMarket
from trader.strategy import modes
from trader.strategy.brain import decide
from trader.strategy.columns import Bars
from trader.strategy.context import BrainContext
from trader.strategy.strategies import of_table

M15, DAY_US = Timeframe.M15.us, 86_400_000_000
STRATEGY = of_table(modes.parameters("viable", "mitraillette", "AGGRESSIVE"))
CASH = Decimal(10_000)


class World:
    """Pairs of a synthetic market: their trades one by one, as the account pass makes them, and the decisions behind these."""

    def __init__(self) -> None:
        market = SyntheticMarket(5, count=6)
        spans = {Timeframe.M15: 30, Timeframe.H4: 160}
        self.candles: dict[str, Candles] = {}
        self.trades: list[tuple[Decision, list[TradeLeg]]] = []
        for pair in market.pairs:
            quarters, four = (market.candles(pair, tf, EPOCH_US - days * DAY_US, EPOCH_US) for tf, days in spans.items())
            self.candles[pair] = Candles(quarters=quarters, fine=None, instrument=instrument(market.listing(pair)))
            self._trade(pair, Bars(quarters, four))

    def _trade(self, pair: str, bars: Bars) -> None:
        rules = self.candles[pair].instrument
        found = account_pass(STRATEGY, {pair: bars}, {pair: rules}, cash=CASH, reference=pair)
        features = market_of(bars, rules, STRATEGY.parameters).features
        for entry_us in dict.fromkeys(leg.entry_us for leg in found.legs):
            row = features.row(int(np.searchsorted(bars.time, entry_us - M15)))
            decision = decide(BrainContext.of_row(pair, row, STRATEGY.parameters, side=Side.BUY), STRATEGY.costs)
            legs = [leg for leg in found.legs if leg.entry_us == entry_us]
            if f"{pair}@{entry_us}" not in found.held:
                self.trades.append((decision, legs))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def _signal(decision: Decision, kind: SignalKind = SignalKind.VETOED) -> Signal:
    return Signal(decision=decision, kind=kind, equity=CASH)


def _return(legs: list[TradeLeg]) -> float:
    return float(add(ZERO, *(leg.net for leg in legs)) / add(ZERO, *(mul(leg.entry_price, leg.quantity) for leg in legs)))


def test_a_signal_that_was_vetoed_gets_the_outcome_of_the_trade_it_would_have_been(world: World) -> None:
    assert len(world.trades) >= 10
    for decision, legs in world.trades:
        found = label(_signal(decision), world.candles[decision.pair], STRATEGY, EPOCH_US)
        assert (found.exit_reason, found.bars_held) == (legs[-1].reason, (legs[-1].exit_us - legs[-1].entry_us) // M15)
        assert found.net_return == pytest.approx(_return(legs), abs=2e-5)  # the pass sizes by its own equity: another lot, another fee
        assert found.r == pytest.approx(found.net_return / decision.stop) and found.loss is (found.net <= 0)
    assert {one.reason for _, legs in world.trades for one in legs} >= {"STOP_LOSS", "TP1"}


def test_the_outcome_does_not_depend_on_what_was_done_with_the_signal(world: World) -> None:
    decision, _ = world.trades[0]
    found = [label(_signal(decision, kind), world.candles[decision.pair], STRATEGY, EPOCH_US) for kind in SignalKind]
    assert [one.kind for one in found] == list(SignalKind)
    assert len({(one.net, one.r, one.exit_reason) for one in found}) == 1


def test_a_plan_with_another_stop_has_another_outcome(world: World) -> None:
    """The comparison above can fail."""
    stopped = next(one for one, legs in world.trades if legs[-1].reason == "STOP_LOSS")
    wide = label(_signal(replace(stopped, stop=0.9)), world.candles[stopped.pair], STRATEGY, EPOCH_US)
    assert wide.exit_reason != "STOP_LOSS"


def test_without_its_candles_a_signal_has_no_outcome_but_a_reason(world: World) -> None:
    decision, legs = max(world.trades, key=lambda one: one[1][-1].exit_us - one[1][-1].entry_us)
    rows, entry = world.candles[decision.pair].quarters, legs[-1].entry_us
    cases = {
        "not stored": cut(rows, entry, 2**62),
        "stored candles end": cut(rows, 0, entry + M15),
        "the stored candles end at": cut(rows, 0, entry),
        "15m candles are missing from": _without(rows, entry + M15),
    }
    for words, columns in cases.items():
        with pytest.raises(UnlabelledError, match=words):
            label(_signal(decision), replace(world.candles[decision.pair], quarters=columns), STRATEGY, EPOCH_US)


def _without(rows: Columns, time_us: int) -> Columns:
    kept = rows.time != time_us
    return Columns(**{name: getattr(rows, name)[kept] for name in Columns.__dataclass_fields__})


def test_an_entry_beyond_its_band_and_a_short_are_not_scored(world: World) -> None:
    decision, _ = world.trades[0]
    candles = world.candles[decision.pair]
    with pytest.raises(UnlabelledError, match="beyond its entry band"):
        label(_signal(replace(decision, close=decision.close * 0.9)), candles, STRATEGY, EPOCH_US)
    with pytest.raises(UnlabelledError, match="a short"):
        label(_signal(replace(decision, side=Side.SELL)), candles, STRATEGY, EPOCH_US)
    with pytest.raises(ValueError, match="ENTER"):
        label(_signal(replace(decision, action=Action.HOLD)), candles, STRATEGY, EPOCH_US)
