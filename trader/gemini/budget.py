"""When not to ask: a breaker per provider, and what may be spent per UTC day (AI.md section 1). Pure; time is passed in."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass
from enum import StrEnum

from trader.domain.market import DAY, MINUTE, SECOND
from trader.domain.verdicts import AskOutcome
from trader.errors import CorruptError

FAILURES_IN_A_ROW = 3
WINDOW = 20
SLOW_P95_MS = 5_000.0
OPEN_S, OPEN_MAX_S = 60.0, 900.0
KEPT = 0.25  # share of a minute's limits that questions bought ahead do not touch
PRIORITY_ONLY = 0.8  # share of the budget from which only DEFERred entries are asked about
_BATCH = 32


class BreakerState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Breaker:
    """CLOSED -> OPEN on 3 failures in a row, > 50 % of the last 20, or their p95 > 5 s; then one probe of one question.

    Every outcome but OK counts as a failure. After a REFUSED (wrong key, model or API version) it stays OPEN until a
    human acts: `reset`, or a restart of the worker, which sends one probe.
    """

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.reason = ""
        self._until_us: int | None = 0  # None: until a human acts
        self._open_s = OPEN_S
        self._in_row = 0
        self._recent: deque[tuple[bool, float]] = deque(maxlen=WINDOW)
        self._probing = False

    @property
    def needs_human(self) -> bool:
        return self.state is BreakerState.OPEN and self._until_us is None

    def admit(self, now_us: int) -> int:
        """How many questions the next call may hold; 0 = do not call. A probe taken must be answered by `note`."""
        if self.state is BreakerState.CLOSED:
            return _BATCH
        if self.state is BreakerState.OPEN and self._until_us is not None and now_us >= self._until_us:
            self.state, self._probing = BreakerState.HALF_OPEN, False
        if self.state is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return 1
        return 0

    def abandon(self) -> None:
        """A call ended without an outcome (cancelled): a probe may be sent again."""
        self._probing = False

    def note(self, outcome: AskOutcome, latency_ms: float, now_us: int, retry_after_s: float | None = None) -> None:
        """One finished call."""
        if outcome is AskOutcome.REFUSED:
            self._open(now_us, None, outcome)
        elif outcome is AskOutcome.RATE_LIMITED:
            self._open(now_us, min(max(retry_after_s or OPEN_S, 1.0), OPEN_MAX_S), outcome)
        elif self.state is BreakerState.HALF_OPEN:
            self._after_probe(outcome, now_us)
        elif self.state is BreakerState.CLOSED:
            self._count(outcome, latency_ms, now_us)

    def reset(self) -> None:
        """A human has acted."""
        self.state, self.reason, self._open_s, self._in_row, self._probing = BreakerState.CLOSED, "", OPEN_S, 0, False
        self._recent.clear()

    def _after_probe(self, outcome: AskOutcome, now_us: int) -> None:
        if outcome is AskOutcome.OK:
            self.reset()
        else:
            self._open_s = min(2 * self._open_s, OPEN_MAX_S)
            self._open(now_us, self._open_s, outcome)

    def _count(self, outcome: AskOutcome, latency_ms: float, now_us: int) -> None:
        good = outcome is AskOutcome.OK
        self._in_row = 0 if good else self._in_row + 1
        self._recent.append((good, latency_ms))
        failed = sum(not ok for ok, _ in self._recent)
        full = len(self._recent) == WINDOW
        slow = full and sorted(ms for _, ms in self._recent)[int(0.95 * WINDOW) - 1] > SLOW_P95_MS
        if self._in_row >= FAILURES_IN_A_ROW or (full and failed > WINDOW // 2) or slow:
            self._open(now_us, self._open_s, outcome)

    def _open(self, now_us: int, seconds: float | None, outcome: AskOutcome) -> None:
        if self.needs_human and seconds is not None:
            return
        self.state, self.reason, self._probing, self._in_row = BreakerState.OPEN, outcome.value, False, 0
        self._until_us = None if seconds is None else now_us + int(seconds * SECOND)
        self._recent.clear()

    def dump(self) -> dict[str, object]:
        return {"state": self.state.value, "until_us": self._until_us, "open_s": self._open_s, "reason": self.reason}

    def load(self, saved: dict[str, object]) -> None:
        """Continue after a restart: an open breaker stays open; one that waited for a human sends one probe first."""
        state, until_us, open_s = saved.get("state"), saved.get("until_us"), saved.get("open_s")
        if state not in {"OPEN", "HALF_OPEN"}:
            return
        self.state, self.reason = BreakerState.OPEN, str(saved.get("reason", ""))
        self._until_us = until_us if isinstance(until_us, int) else 0
        self._open_s = float(open_s) if isinstance(open_s, int | float) and OPEN_S <= open_s <= OPEN_MAX_S else OPEN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be spent in one UTC day, and what the provider takes in a minute. `usd_per_million`: price of input tokens; None =
    cost is unknown, never 0."""

    calls: int = 6_000
    questions: int = 30_000
    tokens: int = 10_000_000
    usd: float = 1.0
    usd_per_million: float | None = None
    calls_a_minute: int = 200
    tokens_a_minute: int = 50_000


class Pace:
    """Token buckets of a minute's calls and input tokens, full at first. Questions bought ahead leave a quarter of each to waiting
    entries, so that the provider's own limit is not met."""

    def __init__(self, limits: Limits) -> None:
        self._most = (float(limits.calls_a_minute), float(limits.tokens_a_minute))
        self._left, self._at_us = self._most, 0

    def take(self, now_us: int, *, tokens: int, priority: bool) -> bool:
        """Whether a call of this size may go now; what it needs is taken where it may."""
        minutes = max(0, now_us - self._at_us) / MINUTE
        calls, rest = (min(most, left + minutes * most) for most, left in zip(self._most, self._left, strict=True))
        self._left, self._at_us = (calls, rest), max(now_us, self._at_us)
        kept = (0.0, 0.0) if priority else tuple(KEPT * most for most in self._most)
        if calls - 1 < kept[0] or rest - tokens < kept[1]:
            return False
        self._left = (calls - 1, rest - tokens)
        return True


@dataclass(slots=True, kw_only=True)
class Spent:
    day: int = -1
    calls: int = 0
    questions: int = 0
    tokens: int = 0


class Budget:
    """Calls, questions and input tokens of the running UTC day. Tokens are booked by estimate and corrected by the reply."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.spent = Spent()

    def used(self, now_us: int) -> float:
        """Largest share used of any limit, 0-1 and above."""
        self._roll(now_us)
        shares = [
            self.spent.calls / self.limits.calls,
            self.spent.questions / self.limits.questions,
            self.spent.tokens / self.limits.tokens,
        ]
        cost = self.cost_usd(self.spent.tokens)
        return max(shares if cost is None else [*shares, cost / self.limits.usd])

    def admits(self, now_us: int, *, questions: int, tokens: int, priority: bool) -> bool:
        """Whether a call of this size still fits; from 80 % on, only priority questions do."""
        if self.used(now_us) >= PRIORITY_ONLY and not priority:
            return False
        after = self.spent
        cost = self.cost_usd(after.tokens + tokens)
        return (
            after.calls + 1 <= self.limits.calls
            and after.questions + questions <= self.limits.questions
            and after.tokens + tokens <= self.limits.tokens
            and (cost is None or cost <= self.limits.usd)
        )

    def spend(self, now_us: int, *, questions: int, tokens: int) -> None:
        self._roll(now_us)
        self.spent.calls += 1
        self.spent.questions += questions
        self.spent.tokens += tokens

    def correct(self, now_us: int, *, estimated: int, actual: int) -> None:
        """Replace an estimate by the tokens the provider counted."""
        self._roll(now_us)
        self.spent.tokens = max(0, self.spent.tokens + actual - estimated)

    def cost_usd(self, tokens: int) -> float | None:
        price = self.limits.usd_per_million
        return None if price is None else tokens * price / 1e6

    def _roll(self, now_us: int) -> None:
        day = now_us // DAY
        if day > self.spent.day:
            self.spent = Spent(day=day)


def dump(breaker: Breaker, budget: Budget) -> str:
    """Both as one JSON text for the verdict store."""
    return json.dumps({"breaker": breaker.dump(), "spent": asdict(budget.spent)}, sort_keys=True)


def load(text: str, breaker: Breaker, budget: Budget) -> None:
    """Restore what `dump` wrote. Raises CorruptError where the text is something else."""
    try:
        saved = json.loads(text)
        spent = {name: saved["spent"][name] for name in ("day", "calls", "questions", "tokens")}
        breaker_state = dict(saved["breaker"])
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptError(f"stored state of the AI budget: {type(error).__name__}: {error}") from error
    if not all(isinstance(value, int) for value in spent.values()):
        raise CorruptError(f"stored state of the AI budget: whole numbers are needed, seen {spent}")
    breaker.load(breaker_state)
    budget.spent = Spent(day=spent["day"], calls=spent["calls"], questions=spent["questions"], tokens=spent["tokens"])
