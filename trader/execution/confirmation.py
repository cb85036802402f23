"""AI confirmation without I/O: which pairs to ask about, and when. What the answers allow: `verdict_book`.

Verdicts are bought before the signal; the order path only reads a dict. Rules and numbers: docs AI.md section 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trader.domain.market import SECOND
from trader.domain.messages import Decision
from trader.domain.verdicts import Question, Verdict, VerdictKey
from trader.execution.thresholds import tau_veto
from trader.execution.verdict_book import ConfirmationParameters, VerdictBook

_MOVE_S = 97.0  # length of the move the band must cover
_RANGE_PER_SIGMA = math.sqrt(8.0 / math.pi)  # mean range of a Brownian path / its sigma at the end (Feller 1951)


def band_fraction(atr_fraction: float, sigmas: float = 3.0) -> float:
    """Half-width of the price band a question holds for, as a fraction of price: `sigmas` x sigma of a 97-s move.

    ATR of 15m bars is close to the mean range, and the mean range of a Brownian path is sqrt(8 / pi) sigma (Feller
    1951), so sigma(97 s) = ATR / 1.596 x sqrt(97 / 900); at 3 sigma the band is 0.617 ATR each side.
    """
    return sigmas * atr_fraction / _RANGE_PER_SIGMA * math.sqrt(_MOVE_S / 900.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A pair close to its trigger, as the prescan or a DEFERred signal sees it. `stop`, `target`, `atr_fraction`: fractions
    of price; `costs`: round trip, a fraction; `features`: numbers and enum words; the prompt takes only the fields it knows."""

    key: VerdictKey
    price: float
    atr_fraction: float
    stop: float
    target: float
    costs: float
    features: dict[str, float | str] = field(default_factory=dict)


def snapshot_of(decision: Decision, costs: float, horizon_bars: int = 0) -> Snapshot:
    """The snapshot of a decision to enter; `costs` = round trip c, a fraction; `horizon_bars` 0 = none."""
    return snapshot(
        VerdictKey(pair=decision.pair, side=decision.side, strategy=decision.strategy),
        decision.evidence,
        price=decision.close,
        stop=decision.stop,
        target=decision.tp1,
        costs=costs,
        score=decision.score,
        horizon_bars=horizon_bars,
    )


def snapshot(
    key: VerdictKey,
    evidence: Mapping[str, float | bool | str],
    *,
    price: float,
    stop: float,
    target: float,
    costs: float,
    score: float | None = None,
    horizon_bars: int = 0,
) -> Snapshot:
    """A snapshot from the values of a `BrainContext` (`full()`, or of a forming row) and the plan they would lead to."""
    atr_fraction = _value(evidence, "atr_fraction")
    features = {name: _value(evidence, name) for name in ("rsi", "rsi_previous", "bb_position", "volume_ratio")}
    atr = _value(evidence, "atr")
    if atr > 0:
        features["ema_distance_atr"] = (_value(evidence, "close") - _value(evidence, "ema_trend")) / atr
        features["macd_atr"] = _value(evidence, "macd_hist") / atr
        features["h4_distance_atr"] = (_value(evidence, "h4_close") - _value(evidence, "h4_ema")) / atr
    plan = {"atr_bp": atr_fraction, "stop_bp": stop, "target_bp": target, "cost_bp": costs}
    features |= {name: 1e4 * value for name, value in plan.items()}
    if score is not None:
        features["score"] = score
    if horizon_bars:
        features["horizon_bars"] = float(horizon_bars)
    words: dict[str, float | str] = {
        "h4": "bearish" if evidence.get("h4_bearish") else "neutral",
        "fib_zone": "in" if evidence.get("fib_zone") else "out",
        "divergence": "bearish" if evidence.get("bearish_divergence") else "bullish" if evidence.get("bullish_divergence") else "none",
    }
    words |= {name: value for name, value in features.items() if math.isfinite(value)}
    return Snapshot(key=key, price=price, atr_fraction=atr_fraction, stop=stop, target=target, costs=costs, features=words)


def _value(evidence: Mapping[str, float | bool | str], name: str) -> float:
    """A number of the evidence, NaN where it is absent."""
    value = evidence.get(name)
    return math.nan if value is None or isinstance(value, str) else float(value)


# --- the desk ----------------------------------------------------------------------------------------------------------
class DeskState(StrEnum):
    """Where a key stands; FAR keys are not kept."""

    FAR = "FAR"
    WANTED = "WANTED"
    INFLIGHT = "INFLIGHT"
    FRESH = "FRESH"
    STALE = "STALE"
    FAILED = "FAILED"


@dataclass(slots=True, kw_only=True)
class _Entry:
    state: DeskState = DeskState.WANTED
    asked_us: int = -1
    retry_us: int = 0
    failures: int = 0
    missed_scans: int = 0


class Desk:
    """Decides what to ask and when: FAR -> WANTED -> INFLIGHT -> FRESH -> STALE -> WANTED, with FAILED and its backoff.

    A refresh never blanks the verdict still held: the book keeps it until it expires.
    """

    def __init__(self, book: VerdictBook, parameters: ConfirmationParameters | None = None) -> None:
        self._book = book
        self._parameters = parameters or ConfirmationParameters()
        self._entries: dict[VerdictKey, _Entry] = {}
        self._regime: str | None = None

    def state(self, key: VerdictKey) -> DeskState:
        entry = self._entries.get(key)
        return entry.state if entry else DeskState.FAR

    def counts(self) -> dict[DeskState, int]:
        """Keys per state, for status and tests."""
        counts = dict.fromkeys(DeskState, 0)
        for entry in self._entries.values():
            counts[entry.state] += 1
        return counts

    def near(self, snapshots: Iterable[Snapshot], now_us: int, regime: str = "") -> list[Question]:
        """One prescan: `snapshots` are the pairs in the near-zone now; returns the questions to send at once."""
        if self._regime is not None and regime != self._regime:
            self._book.void_before(now_us)
        self._regime = regime
        questions: list[Question] = []
        seen: dict[VerdictKey, None] = {}
        for snapshot in snapshots:
            seen[snapshot.key] = None
            entry = self._entries.setdefault(snapshot.key, _Entry())
            entry.missed_scans = 0
            self._advance(entry, snapshot, now_us)
            if entry.state is DeskState.WANTED and len(questions) < self._parameters.questions_per_scan:
                questions += self._ask(entry, snapshot, now_us, priority=False)
        self._leave(seen)
        return questions

    def priority(self, snapshot: Snapshot, now_us: int) -> Question | None:
        """The question for a DEFERred entry, ahead of all others; None while its answer is already on the way."""
        entry = self._entries.setdefault(snapshot.key, _Entry())
        self._advance(entry, snapshot, now_us)
        if entry.state is DeskState.INFLIGHT:
            return None
        asked = self._ask(entry, snapshot, now_us, priority=True)
        return asked[0] if asked else None

    def take(self, verdicts: Sequence[Verdict], now_us: int) -> int:
        """Put answers into the book and move their keys on; returns how many were usable."""
        kept = 0
        for verdict in verdicts:
            good = self._book.put(verdict)
            kept += good
            entry = self._entries.get(verdict.key)
            if entry is None or verdict.asked_us != entry.asked_us:
                continue
            if good:
                entry.state, entry.failures = DeskState.FRESH, 0
            elif entry.state is DeskState.INFLIGHT:
                self._fail(entry, now_us)
        return kept

    def _advance(self, entry: _Entry, snapshot: Snapshot, now_us: int) -> None:
        if entry.state is DeskState.INFLIGHT and now_us - entry.asked_us > self._parameters.answer_limit_s * SECOND:
            self._fail(entry, now_us)
        if entry.state is DeskState.FRESH:
            self._age(entry, snapshot, now_us)
        if entry.state is DeskState.STALE or (entry.state is DeskState.FAILED and now_us >= entry.retry_us):
            entry.state = DeskState.WANTED

    def _age(self, entry: _Entry, snapshot: Snapshot, now_us: int) -> None:
        verdict = self._book.held(snapshot.key)
        if verdict is None or not self._book.fresh(verdict, now_us) or not verdict.band_lo <= snapshot.price <= verdict.band_hi:
            entry.state = DeskState.STALE
        elif self._book.expires_us(verdict) - now_us < self._parameters.refresh_s * SECOND:
            entry.state = DeskState.WANTED

    def _ask(self, entry: _Entry, snapshot: Snapshot, now_us: int, *, priority: bool) -> list[Question]:
        """The question as a list of one, or none where the snapshot's numbers cannot carry a band."""
        half = band_fraction(snapshot.atr_fraction, self._parameters.band_sigmas)
        if not (0.0 < half < 1.0 and 0.0 < snapshot.price < math.inf):
            return []
        self._book.set_tau(snapshot.key, tau_veto(snapshot.stop, snapshot.target, snapshot.costs))
        entry.state, entry.asked_us = DeskState.INFLIGHT, now_us
        return [
            Question(
                key=snapshot.key,
                asked_us=now_us,
                asked_price=snapshot.price,
                band_lo=snapshot.price * (1.0 - half),
                band_hi=snapshot.price * (1.0 + half),
                features=snapshot.features,
                priority=priority,
            )
        ]

    def _fail(self, entry: _Entry, now_us: int) -> None:
        pause_s = min(self._parameters.backoff_s * 2.0**entry.failures, self._parameters.backoff_max_s)
        entry.state, entry.failures = DeskState.FAILED, min(entry.failures + 1, 16)
        entry.retry_us = now_us + int(pause_s * SECOND)

    def _leave(self, seen: dict[VerdictKey, None]) -> None:
        for key in [key for key in self._entries if key not in seen]:
            entry = self._entries[key]
            entry.missed_scans += 1
            if entry.missed_scans >= self._parameters.scans_to_leave:
                del self._entries[key]
