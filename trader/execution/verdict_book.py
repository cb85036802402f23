"""The newest verdict on each pair, in memory, and what it allows an entry: pure, without I/O. Rules and numbers: docs AI.md section 1."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trader.domain.market import SECOND
from trader.domain.orders import Side
from trader.domain.verdicts import AiMode, AskOutcome, Lookup, Ruling, RulingResult, Verdict, VerdictKey
from trader.execution.thresholds import SHRINK_FACTOR, TAU_FLOOR, ruling_at

_LINK_LOOKUP = {"NO_WORKER": Lookup.NO_WORKER, "BREAKER": Lookup.BREAKER, "BUDGET": Lookup.BUDGET}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationParameters:
    """Knobs of AI.md section 1. Times in seconds of the clock that `now_us` is read from."""

    ttl_s: float = 300.0
    refresh_s: float = 60.0  # ask again when less than this is left
    band_sigmas: float = 3.0
    backoff_s: float = 5.0
    backoff_max_s: float = 120.0
    answer_limit_s: float = 30.0  # an answer that takes longer is lost
    scans_to_leave: int = 2
    questions_per_scan: int = 128  # four calls of 32


class VerdictBook:
    """The newest verdict per key, in memory. Every doubt is DEFER; nothing here waits, raises or does I/O."""

    def __init__(self, parameters: ConfirmationParameters | None = None) -> None:
        self._ttl_us = int((parameters or ConfirmationParameters()).ttl_s * SECOND)
        self._verdicts: dict[VerdictKey, Verdict] = {}
        self._strategies: dict[tuple[str, Side], str] = {}
        self._taus: dict[VerdictKey, float] = {}
        self._void_before_us = -1
        self.link_state = "NO_WORKER"  # until the link says otherwise: fail closed

    def put(self, verdict: Verdict) -> bool:
        """Keep a verdict that is OK, well formed and newer than the one held; returns whether it was kept."""
        if not _usable(verdict):
            return False
        held = self._verdicts.get(verdict.key)
        if held is not None and held.asked_us > verdict.asked_us:
            return False
        self._verdicts[verdict.key] = verdict
        self._strategies[(verdict.key.pair, verdict.key.side)] = verdict.key.strategy
        return True

    def set_tau(self, key: VerdictKey, tau: float) -> None:
        """The veto threshold of the plan behind `key`; without one the strictest (0.2) applies."""
        self._taus[key] = tau

    def void_before(self, time_us: int) -> None:
        """Verdicts asked before this are STALE from now on (the market regime changed)."""
        self._void_before_us = time_us

    def held(self, key: VerdictKey) -> Verdict | None:
        """The verdict kept for a key, expired or not."""
        return self._verdicts.get(key)

    def expires_us(self, verdict: Verdict) -> int:
        """First microsecond at which a verdict is no longer used, whatever its sender promised."""
        return min(verdict.expires_us, verdict.asked_us + self._ttl_us)

    def fresh(self, verdict: Verdict, now_us: int) -> bool:
        return max(verdict.asked_us, 0) <= now_us < self.expires_us(verdict) and verdict.asked_us >= self._void_before_us

    def look_up(self, key: VerdictKey, price: float, now_us: int) -> RulingResult:
        """The ruling on an entry at `price` now: O(1), no I/O."""
        if self.link_state not in ("ok", "PRIORITY", "BUDGET"):
            return _defer(_LINK_LOOKUP.get(self.link_state, Lookup.NO_WORKER))
        verdict = self._verdicts.get(key)
        if verdict is None:
            other = self._strategies.get((key.pair, key.side))
            return _defer(self._or_budget(Lookup.MISS if other is None else Lookup.VERSION))
        if not self.fresh(verdict, now_us):
            return _defer(self._or_budget(Lookup.STALE), verdict, now_us)
        if not verdict.band_lo <= price <= verdict.band_hi:
            return _defer(self._or_budget(Lookup.OUT_OF_BAND), verdict, now_us)
        return _judge(verdict, self._taus.get(key, TAU_FLOOR), now_us)

    def _or_budget(self, lookup: Lookup) -> Lookup:
        """With the day's budget spent a good verdict stays good, but no new one comes: that is the reason to name."""
        return Lookup.BUDGET if self.link_state == "BUDGET" else lookup


def _usable(verdict: Verdict) -> bool:
    p = verdict.p_loss
    if verdict.outcome is not AskOutcome.OK or p is None or not 0.0 <= p <= 1.0:
        return False
    return 0.0 < verdict.band_lo < verdict.band_hi < math.inf and verdict.expires_us > verdict.asked_us


def _result(ruling: Ruling, lookup: Lookup, factor: float, verdict: Verdict, now_us: int) -> RulingResult:
    return RulingResult(
        ruling=ruling,
        lookup=lookup,
        factor=factor,
        p_loss=verdict.p_loss,
        age_ms=(now_us - verdict.asked_us) / 1000.0,
        verdict_id=verdict.verdict_id,
        is_twin=verdict.is_twin,
    )


def _defer(lookup: Lookup, verdict: Verdict | None = None, now_us: int = 0) -> RulingResult:
    if verdict is None:
        return RulingResult(ruling=Ruling.DEFER, lookup=lookup)
    return _result(Ruling.DEFER, lookup, 1.0, verdict, now_us)


def _judge(verdict: Verdict, tau: float, now_us: int) -> RulingResult:
    ruling = ruling_at(verdict.p_loss if verdict.p_loss is not None else 1.0, tau)
    return _result(ruling, Lookup.HIT, SHRINK_FACTOR if ruling is Ruling.SHRINK else 1.0, verdict, now_us)


# --- modes -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """`seen`: what the book said, for the record; `used`: what the entry obeys. They differ in shadow mode only."""

    mode: AiMode
    seen: RulingResult
    used: RulingResult


def rule(mode: AiMode, book: VerdictBook, key: VerdictKey, price: float, now_us: int, *, tau: float | None = None) -> Ruled:
    """The AI's say on one entry. off: ALLOW, no look-up (recorded as MISS under mode off); shadow: looked up, recorded
    and ignored; veto: obeyed. `tau`: threshold of the very plan at hand, else the one of the newest snapshot."""
    if mode is AiMode.OFF:
        free = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.MISS)
        return Ruled(mode=mode, seen=free, used=free)
    if tau is not None:
        book.set_tau(key, tau)
    return _obeyed(mode, book.look_up(key, price, now_us))


def unruled(mode: AiMode) -> Ruled:
    """What an entry meets where the look-up itself broke: no verdict."""
    return _obeyed(mode, _defer(Lookup.BROKEN))


def _obeyed(mode: AiMode, seen: RulingResult) -> Ruled:
    used = seen if mode is AiMode.VETO else replace(seen, ruling=Ruling.ALLOW, factor=1.0)
    return Ruled(mode=mode, seen=seen, used=used)
