"""Our own model of Kraken's counters (KRAKEN.md section 8): it never runs below the venue's and keeps a share for exits.

Times are exchange time, so a simulated venue counts on the same clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trader.errors import RetryableError
from trader.ports import Clock

RESERVE = 0.25  # of each maximum is left to reducing orders
LONGEST_WAIT_S = 60.0  # a wait beyond this is an answer ("later"), not a pause
REMEMBERED = 5000  # orders whose age we know
# (age below seconds, charge): the venue charges early changes of an order; an unknown age counts as zero.
AMEND_AGES = ((5.0, 3.0), (10.0, 2.0), (15.0, 1.0))
CANCEL_AGES = ((5.0, 8.0), (10.0, 6.0), (15.0, 5.0), (45.0, 4.0), (90.0, 2.0), (300.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Maximum and decay per second of the key's REST counter and of each pair's engine counter."""

    rest_max: float
    rest_decay: float
    engine_max: float
    engine_decay: float


TIERS = {
    "starter": Tier(rest_max=15, rest_decay=0.33, engine_max=60, engine_decay=1.0),
    "intermediate": Tier(rest_max=20, rest_decay=0.5, engine_max=125, engine_decay=2.34),
    "pro": Tier(rest_max=20, rest_decay=1.0, engine_max=180, engine_decay=3.75),
    "unlimited": Tier(rest_max=1e9, rest_decay=1e9, engine_max=1e9, engine_decay=1e9),  # a twin that counts nothing
}


class Kind(StrEnum):
    """What a call is charged as."""

    PUBLIC = "public"
    READ = "read"
    HISTORY = "history"  # TradesHistory, Ledgers
    ADD = "add"
    AMEND = "amend"
    CANCEL = "cancel"


REST_COST = {Kind.READ: 1.0, Kind.HISTORY: 2.0}


@dataclass(slots=True)
class Counter:
    """A counter that falls with time; `value` as of `time_us`."""

    maximum: float
    decay: float
    value: float = 0.0
    time_us: int = 0

    def at(self, now_us: int) -> float:
        """Its value now; time that runs backwards does not lower it."""
        return max(0.0, self.value - self.decay * max(0, now_us - self.time_us) / 1e6)

    def wait_s(self, now_us: int, cost: float, share: float) -> float:
        """Seconds until `cost` fits under `share` of the maximum."""
        return max(0.0, (self.at(now_us) + cost - self.maximum * share) / self.decay)

    def charge(self, now_us: int, cost: float) -> None:
        """Add `cost`, which may go over the maximum."""
        self.value = self.at(now_us) + cost
        self.time_us = max(now_us, self.time_us)

    def fill(self, now_us: int) -> None:
        """The venue said "too many": believe it."""
        self.value = max(self.at(now_us), self.maximum)
        self.time_us = max(now_us, self.time_us)


class Limiter:
    """Says how long a call must wait, and counts the calls that were made."""

    def __init__(self, clock: Clock, *, tier: Tier = TIERS["starter"], public_per_s: float | None = 1.0) -> None:
        self._clock = clock
        self._tier = tier
        self._public_us = int(1e6 / public_per_s) if public_per_s else 0
        self._next_public_us = 0
        self._blocked_until_us = 0
        self._ages: dict[str, tuple[str, int]] = {}
        self.rest = Counter(tier.rest_max, tier.rest_decay)
        self.engine: dict[str, Counter] = {}

    async def wait(self, kind: Kind, *, pair: str | None = None, txid: str | None = None, reducing: bool = False) -> None:
        """Pause until the call fits, then charge it. Raises RetryableError where that takes over a minute (or a lockout lasts)."""
        while (delay := self.delay_s(kind, pair=pair, txid=txid, reducing=reducing)) > 0:
            if delay > LONGEST_WAIT_S:
                raise RetryableError(f"our own limit: a {kind} call must wait {delay:.0f} s", retry_after_s=delay)
            await self._clock.sleep(delay + 1e-3)
        self.charge(kind, pair=pair, txid=txid)

    def delay_s(self, kind: Kind, *, pair: str | None = None, txid: str | None = None, reducing: bool = False) -> float:
        """Seconds of exchange time before this call fits."""
        now, share = self._clock.now_us(), 1.0 if reducing else 1.0 - RESERVE
        if kind is Kind.PUBLIC:
            return max(0, self._next_public_us - now) / 1e6
        blocked = max(0, self._blocked_until_us - now) / 1e6
        if kind in REST_COST:
            return max(blocked, self.rest.wait_s(now, REST_COST[kind], share))
        return max(blocked, self._engine(self._pair(pair, txid)).wait_s(now, self._engine_cost(kind, txid, now), share))

    def charge(self, kind: Kind, *, pair: str | None = None, txid: str | None = None) -> None:
        """Count a call that is about to be made."""
        now = self._clock.now_us()
        if kind is Kind.PUBLIC:
            self._next_public_us = max(now, self._next_public_us) + self._public_us
        elif kind in REST_COST:
            self.rest.charge(now, REST_COST[kind])
        else:
            self._engine(self._pair(pair, txid)).charge(now, self._engine_cost(kind, txid, now))
            if kind is Kind.AMEND and txid is not None:
                self.saw_order(txid, self._pair(pair, txid), now)

    def saw_order(self, txid: str, pair: str, changed_us: int) -> None:
        """Remember when an order was placed or last amended; the newest time counts."""
        known = self._ages.pop(txid, None)
        self._ages[txid] = (pair, changed_us if known is None else max(known[1], changed_us))
        while len(self._ages) > REMEMBERED:
            del self._ages[next(iter(self._ages))]

    def refused(self, pair: str | None, retry_after_s: float | None, *, engine: bool) -> None:
        """The venue counted higher than we did, or told us to stay away."""
        now = self._clock.now_us()
        if retry_after_s is not None:
            self._blocked_until_us = max(self._blocked_until_us, now + int(retry_after_s * 1e6))
        elif engine:
            self._engine(pair or "").fill(now)
        else:
            self.rest.fill(now)

    def _engine(self, pair: str) -> Counter:
        return self.engine.setdefault(pair, Counter(self._tier.engine_max, self._tier.engine_decay))

    def _pair(self, pair: str | None, txid: str | None) -> str:
        return pair or self._ages.get(txid or "", ("", 0))[0]

    def _engine_cost(self, kind: Kind, txid: str | None, now_us: int) -> float:
        if kind is Kind.ADD:
            return 1.0
        age = (now_us - self._ages[txid][1]) / 1e6 if txid in self._ages else 0.0
        ages = AMEND_AGES if kind is Kind.AMEND else CANCEL_AGES
        return (1.0 if kind is Kind.AMEND else 0.0) + next((charge for below, charge in ages if age < below), 0.0)
