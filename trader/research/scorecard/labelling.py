"""What became of a signal: its plan entered at the next open and followed by the account pass, whether it was traded or not.

There is no second exit logic: review sizes the entry, `Account.alone` fills it, `execution/exits.step` ends it. The stake is the full
one of the equity at the signal in a neutral market, so that vetoed, shrunk and allowed signals are measured alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from trader.domain.market import Instrument, Timeframe
from trader.domain.messages import Decision, TradeLeg, stamp
from trader.domain.money import ZERO, add, mul
from trader.domain.orders import Side, entry_key
from trader.domain.verdicts import FILL_MODEL, Outcome, SignalKind
from trader.execution.risk import AccountView, Approved, Candidate, Refused, review
from trader.indicators.resample import cut
from trader.ports import Columns
from trader.research.account import COINS, Account, Rules
from trader.research.markets import PairMarket, market_of
from trader.strategy.columns import Bars
from trader.strategy.strategies import Strategy

M15: Final = Timeframe.M15.us
DEEP: Final = 1e12  # median turnover: the liquidity cap is not what is measured


class UnlabelledError(Exception):
    """A signal that has no outcome (yet), and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A decision to enter that was put to the AI, what that did to it, and the account's equity at its close, in quote."""

    decision: Decision
    kind: SignalKind
    equity: Decimal

    @property
    def decision_id(self) -> str:
        d = self.decision
        return entry_key(d.pair, d.strategy, d.close_us, d.side)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candles:
    """15m candles of a pair from the signal's on, the shorter ones they were made of (None: not stored), and its trading rules."""

    quarters: Columns
    fine: Columns | None
    instrument: Instrument


def label(signal: Signal, candles: Candles, strategy: Strategy, now_us: int, *, exit_kind: str = "") -> Outcome:
    """The outcome of one signal. Raises UnlabelledError where candles are missing, the plan is still open, or nothing was entered."""
    decision = signal.decision
    if decision.side is Side.SELL:
        raise UnlabelledError("a short: the history store holds spot candles")
    market, ends = _market(decision, candles, strategy)
    approved = _approved(signal, candles.instrument, strategy, exit_kind)
    account = Account(
        strategy, {decision.pair: market}, cash=signal.equity, reference=decision.pair, first_us=decision.close_us, rules=Rules(),
        money=COINS,
    )  # fmt: skip
    legs = account.alone(approved, decision.close_us)
    if decision.pair in account.held:
        raise UnlabelledError(ends)
    if not legs:
        raise UnlabelledError("not entered: the next candle opened beyond its entry band")
    return _outcome(signal, legs, now_us)


def _market(decision: Decision, candles: Candles, strategy: Strategy) -> tuple[PairMarket, str]:
    """The pair's candles from the signal's on without a hole, and why there are no more of them."""
    assert strategy.parameters is not None
    rows = cut(candles.quarters, decision.close_us - M15, 2**62)
    if not len(rows) or int(rows.time[0]) != decision.close_us - M15:
        raise UnlabelledError(f"its own candle of {stamp(decision.close_us - M15)} is not stored")
    holes = np.flatnonzero(np.diff(rows.time) != M15)
    end_us = int(rows.time[holes[0] if holes.size else -1]) + M15
    missing = f"15m candles are missing from {stamp(end_us)}"
    ends = missing if holes.size else f"the stored candles end at {stamp(end_us)}, its plan does not"
    if end_us == decision.close_us:
        raise UnlabelledError(ends)
    rows = cut(rows, 0, end_us)
    fine = None if candles.fine is None else cut(candles.fine, int(rows.time[0]), end_us)
    return market_of(Bars(rows), candles.instrument, strategy.parameters, fine), ends


def _approved(signal: Signal, instrument: Instrument, strategy: Strategy, exit_kind: str) -> Approved:
    """The entry as review sizes it for an account that holds nothing else."""
    assert strategy.parameters is not None
    candidate = Candidate(decision=signal.decision, rank=1, median_quote_volume=DEEP)
    account = AccountView(equity=signal.equity, free_cash=signal.equity, btc_change=0.0)
    (one,) = review(
        [candidate], account, instruments={instrument.pair: instrument}, parameters=strategy.parameters, costs=strategy.costs,
        exit_kind=exit_kind,
    )  # fmt: skip
    if isinstance(one, Approved):
        return one
    raise UnlabelledError(f"{one.code}: {one.detail}" if isinstance(one, Refused) else "deferred")


def _outcome(signal: Signal, legs: tuple[TradeLeg, ...], now_us: int) -> Outcome:
    net = add(ZERO, *(leg.net for leg in legs))
    paid = add(ZERO, *(mul(leg.entry_price, leg.quantity) for leg in legs))
    last, result = legs[-1], float(net) / float(paid)
    return Outcome(
        decision_id=signal.decision_id, kind=signal.kind, strategy=signal.decision.strategy, close_us=signal.decision.close_us,
        net_return=result, r=result / signal.decision.stop, net=net, exit_reason=last.reason,
        bars_held=(last.exit_us - last.entry_us) // M15, fill_model=FILL_MODEL, scored_us=now_us,
    )  # fmt: skip
