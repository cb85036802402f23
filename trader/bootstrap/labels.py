"""What became of the signals that were put to the AI: read from the ledger, followed over the stored candles, kept in ops.sqlite.

Every signal the AI was asked about counts, whatever was done with it. One whose candles are missing or whose plan is still open
stays unlabelled, and is tried again at each of the next nights.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final

from trader.bootstrap import wire
from trader.bootstrap.candles import instrument, listing_of
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import costs_of
from trader.bootstrap.state_time import now_of
from trader.bootstrap.world import World
from trader.config import Settings
from trader.data.engine import exists
from trader.data.history import HistoryStore
from trader.data.outcomes import Outcomes
from trader.data.reader import ALL, LedgerReader
from trader.data.reader_activity import DecisionView
from trader.data.resample import columns_by_pair
from trader.domain.costs import Costs
from trader.domain.market import DAY, Timeframe
from trader.domain.messages import Action, Decision
from trader.domain.money import from_float
from trader.domain.orders import Side
from trader.domain.verdicts import FILL_MODEL, AiMode, Outcome, Ruling, SignalKind
from trader.ports import Columns, EquityRow
from trader.research.scorecard.labelling import Candles, Signal, UnlabelledError, label
from trader.strategy.modes import parameters
from trader.strategy.strategies import Strategy, of_table

TRIED_DAYS: Final = 14
"""How long a signal without candles is tried again."""
KINDS: Final = {Ruling.ALLOW: SignalKind.ALLOWED, Ruling.SHRINK: SignalKind.SHRUNK, Ruling.VETO: SignalKind.VETOED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a run came to. `kinds`: labels there are now, by what the AI's say did; `new` of them are of this run; `unlabelled`:
    decision id -> why, of those still tried."""

    new: int
    kinds: Mapping[str, int]
    unlabelled: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        reasons = Counter(self.unlabelled.values())
        return {
            "new": self.new, "labels": sum(self.kinds.values()), "kinds": dict(self.kinds), "unlabelled": len(self.unlabelled),
            "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        }  # fmt: skip


def label_signals(settings: Settings, until_us: int) -> Labelled:
    """Label what was decided before `until_us` and can be labelled now; running it again changes nothing."""
    paths = Paths(settings.state)
    outcomes = Outcomes(paths.ops)
    try:
        signals = signals_of(paths, until_us - TRIED_DAYS * DAY, until_us, from_float(settings.market.starting_cash_quote))
        waiting = [one for one in signals if one.decision_id not in outcomes.known(FILL_MODEL)]
        found, why = _followed(settings, paths, waiting)
        new = outcomes.add(found)
        kinds = Counter(one.kind.value for one in outcomes.all(FILL_MODEL))
    finally:
        outcomes.close()
    return Labelled(new=new, kinds={kind.value: kinds[kind.value] for kind in SignalKind}, unlabelled=why)


# --- which ----------------------------------------------------------------------------------------------------------------
def signals_of(paths: Paths, since_us: int, until_us: int, cash: Decimal) -> list[Signal]:
    """Decisions of closes in [since, until) that were put to the AI, oldest first; `cash`: equity where the ledger tells none."""
    if not exists(paths.ledger_at):
        return []
    reader = LedgerReader(paths.ledger_at)
    try:
        decisions = [d for d in reader.decisions(ALL, since_us=since_us) if d.close_us < until_us]
        bars = reader.events_of(("decisions",), since_us=since_us, until_us=until_us + DAY)
        rows = reader.equity()
    finally:
        reader.close()
    deferred = frozenset(name for bar in bars for name, final, _ in bar.payload["kept"] if final == "DEFER")
    asked = [(d, kind) for d in reversed(decisions) if (kind := kind_of(d, deferred)) is not None]
    return [Signal(decision=decision_of(d), kind=kind, equity=_equity_at(rows, d.close_us, cash)) for d, kind in asked]


def kind_of(decision: DecisionView, deferred: frozenset[str]) -> SignalKind | None:
    """What the AI's say did to a decision; None where it was not asked. `deferred`: ids that were ever put off: one that had left its
    entry band when its verdict came keeps no ruling of its own."""
    if decision.action != Action.ENTER or decision.ai_mode == AiMode.OFF:
        return None
    if decision.ruling is None:
        return SignalKind.DEFERRED if decision.decision_id in deferred else None
    return SignalKind.SHADOW if decision.ai_mode == AiMode.SHADOW else KINDS.get(Ruling(decision.ruling), SignalKind.DEFERRED)


def decision_of(d: DecisionView) -> Decision:
    """The decision as it was made."""
    return Decision(
        pair=d.pair, close_us=d.close_us, side=Side(d.side), action=Action(d.action), score=d.score or 0.0, points=d.points,
        close=d.close or 0.0, atr_fraction=float(d.evidence["atr_fraction"]), unit=d.unit or 0.0, stop=d.stop or 0.0, tp1=d.tp1 or 0.0,
        tp2=d.tp2 or 0.0, strategy=d.strategy, evidence=dict(d.evidence),
    )  # fmt: skip


def _equity_at(rows: Sequence[EquityRow], time_us: int, otherwise: Decimal) -> Decimal:
    """The newest equity at or before a moment; before the first row, that."""
    place = bisect_right(rows, time_us, key=lambda row: row.time_us)
    return rows[max(0, place - 1)].equity if rows else otherwise


# --- what became of them --------------------------------------------------------------------------------------------------
def _followed(settings: Settings, paths: Paths, signals: Sequence[Signal]) -> tuple[list[Outcome], dict[str, str]]:
    """Labels, and the reason of each signal that has none."""
    found: list[Outcome] = []
    why: dict[str, str] = {}
    if not signals:
        return found, why
    candles, now_us = _candles(paths, signals), now_of(paths)
    costs, exit_kind = costs_of(settings, paths), wire.exit_plan_of(settings)
    for signal in signals:
        try:
            if (known := candles.get(signal.decision.pair)) is None:
                raise UnlabelledError("no candle of its pair is stored")
            found.append(label(signal, known, _strategy(signal.decision.strategy, costs), now_us, exit_kind=exit_kind))
        except UnlabelledError as error:
            why[signal.decision_id] = str(error)
    return found, why


@cache
def _strategy(name: str, costs: Costs) -> Strategy:
    return of_table(parameters(*name.split("/")), costs)


def _candles(paths: Paths, signals: Iterable[Signal]) -> dict[str, Candles]:
    """What is stored of the signals' pairs from the first of them on."""
    if not (paths.history / "catalog.sqlite").exists():
        return {}
    since_us = min(one.decision.close_us for one in signals) - Timeframe.M15.us
    pairs = sorted({one.decision.pair for one in signals})
    store = HistoryStore(paths.history)
    try:
        quarters, minutes = (_columns(store, timeframe, pairs, since_us) for timeframe in (Timeframe.M15, Timeframe.M1))
    finally:
        store.close()
    market = World.load(paths.world).market() if paths.world.exists() else None
    return {
        pair: Candles(quarters=rows, fine=minutes.get(pair), instrument=instrument(listing_of(market, pair, rows)))
        for pair, rows in quarters.items()
    }


def _columns(store: HistoryStore, timeframe: Timeframe, pairs: Sequence[str], since_us: int) -> dict[str, Columns]:
    frame = store.snapshot(tf=timeframe, since=since_us, provisional=True).window(pairs, ALL)
    return dict(columns_by_pair(frame.sort("pair", "time")))
