"""Our own model of Kraken's counters: it never runs below the venue's and keeps a share for exits.

Times are exchange time, so a simulated venue counts on the same clock. A charge does not fall while its call is under way:
the venue counts it at some moment between departure and answer, and we must not be the first to forget it. Ages are taken
from the answer that made an order known, hence never above the venue's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from trader.errors import RetryableError
from trader.kraken.tariff import ENGINE_COST, REST_COST, TIERS, Kind, Tier
from trader.ports import Clock

RESERVE = 0.25  # of each maximum is left to reducing orders and what must be known about them
LONGEST_WAIT_S = 60.0  # a wait beyond this is an answer ("later"), not a pause
YIELD_S = 0.01  # how often a background call looks whether another one waits
REMEMBERED = 5000  # orders whose age we know
PUBLIC = (Kind.PUBLIC, Kind.CANDLES, Kind.STATUS)
ANY_PAIR = ""  # charges whose pair is not known count for every pair
ROUNDING = 1e-9  # sums of decimal fractions may end a hair above a maximum


@dataclass(slots=True)
class Tally:
    """A counter that falls with time; `value` as of `time_us`, and what is under way on top of it."""

    maximum: float
    decay: float
    value: float = 0.0
    time_us: int = 0
    pending: float = 0.0

    def at(self, now_us: int) -> float:
        """Its value now; time that runs backwards does not lower it."""
        return self.pending + self._fallen(now_us)

    def settle(self, now_us: int, cost: float) -> None:
        """A pending charge has been counted by now: from here on it falls."""
        self.pending -= cost
        self._set(now_us, self._fallen(now_us) + cost)

    def raise_to(self, now_us: int, value: float) -> None:
        """The counter holds at least this much, besides what is under way."""
        self._set(now_us, max(self._fallen(now_us), value))

    def _fallen(self, now_us: int) -> float:
        return max(0.0, self.value - self.decay * max(0, now_us - self.time_us) / 1e6)

    def _set(self, now_us: int, value: float) -> None:
        self.value, self.time_us = value, max(now_us, self.time_us)


@dataclass(slots=True)
class Charge:
    """A call under way and what it costs."""

    counter: Tally | None
    cost: float
    pair: str = ANY_PAIR
    amended: str | None = None


class Limiter:
    """Says how long a call must wait, and counts the calls that are made."""

    def __init__(self, clock: Clock, *, tier: Tier = TIERS["starter"], public_per_s: float | None = 1.0) -> None:
        self._clock = clock
        self._tier = tier
        self._public_us = int(1e6 / public_per_s) if public_per_s else 0
        self._next_public_us = 0
        self._next_address_us = 0  # the same but for candles, which the venue counts apart: never later
        self._public_waiting = 0  # calls that no background call may overtake
        self._blocked_until_us = 0
        self._started_us = clock.now_us()
        self._ages: dict[str, tuple[str, int]] = {}
        self._changing: Counter[str] = Counter()  # orders with an amend under way: the next call may find them just changed
        self.rest = Tally(tier.rest_max, tier.rest_decay)
        self.engine: dict[str, Tally] = {}

    # --- calls ----------------------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def turn(
        self, kind: Kind, *, pair: str | None = None, txid: str | None = None, reducing: bool = False, orders: int = 1,
        background: bool = False,
    ) -> AsyncIterator[None]:  # fmt: skip
        """Around a call: waits until it fits, counts it, and lets the count fall once it has ended, however it ended.

        `background`: a public call that lets every other one go first. Raises RetryableError where the wait is over a minute
        (or a lockout lasts).
        """
        ahead = kind in PUBLIC and not background
        self._public_waiting += ahead
        try:
            while (delay := self.delay_s(kind, pair=pair, txid=txid, reducing=reducing, orders=orders, background=background)) > 0:
                if delay > LONGEST_WAIT_S:
                    raise RetryableError(f"our own limit: a {kind} call must wait {delay:.0f} s", retry_after_s=delay)
                await self._clock.sleep(delay + 1e-3)
        finally:
            self._public_waiting -= ahead
        charge = self.charge(kind, pair=pair, txid=txid, orders=orders)
        try:
            yield
        finally:
            self.settle(charge)

    def delay_s(
        self, kind: Kind, *, pair: str | None = None, txid: str | None = None, reducing: bool = False, orders: int = 1,
        background: bool = False,
    ) -> float:  # fmt: skip
        """Seconds of exchange time before this call fits."""
        now, share = self._clock.now_us(), 1.0 if reducing else 1.0 - RESERVE
        if kind in PUBLIC:
            yields_s = max(self._public_us / 1e6, YIELD_S) if background and self._public_waiting else 0.0
            free_us = self._next_address_us if kind is Kind.STATUS else self._next_public_us
            return max(yields_s, (free_us - now) / 1e6)
        blocked = max(0, self._blocked_until_us - now) / 1e6
        if kind in REST_COST:
            return max(blocked, _wait_s(self.rest, self.rest.at(now) + REST_COST[kind], share))
        name = self._pair(pair, txid)
        full = self.engine_at(name) + orders * self._engine_cost(kind, txid, now)
        return max(blocked, _wait_s(self._engine(name), full, share))

    def public_room(self, seconds: float) -> float:
        """How many public calls fit into the next seconds."""
        if not self._public_us:
            return math.inf
        return max(0.0, (self._clock.now_us() + seconds * 1e6 - self._next_public_us) // self._public_us)

    def charge(self, kind: Kind, *, pair: str | None = None, txid: str | None = None, orders: int = 1) -> Charge:
        """Count a call that is about to be made; `settle` it when it has ended."""
        now = self._clock.now_us()
        if kind in PUBLIC:
            self._next_public_us = max(now, self._next_public_us) + self._public_us
            if kind is not Kind.CANDLES:
                self._next_address_us = max(now, self._next_address_us) + self._public_us
            return Charge(None, 0.0)
        if kind in REST_COST:
            made = Charge(self.rest, REST_COST[kind])
        else:
            name = self._pair(pair, txid)
            cost = orders * self._engine_cost(kind, txid, now)
            made = Charge(self._engine(name), cost, name, txid if kind in (Kind.AMEND, Kind.EDIT) else None)
        assert made.counter is not None
        made.counter.pending += made.cost
        if made.amended is not None:
            self._changing[made.amended] += 1
        return made

    def settle(self, charge: Charge) -> None:
        """The call has ended: its charge falls from now on, and an amended order is young again."""
        now = self._clock.now_us()
        if charge.counter is not None:
            charge.counter.settle(now, charge.cost)
        if charge.amended is not None:
            self.saw_order(charge.amended, charge.pair, now)
            self._changing[charge.amended] -= 1
            if not self._changing[charge.amended]:
                del self._changing[charge.amended]

    # --- what is learnt -------------------------------------------------------------------------------------------------
    def saw_order(self, txid: str, pair: str, changed_us: int) -> None:
        """Remember when an order was placed or last amended; the newest time counts, and none is before we started:
        what was amended earlier does not show."""
        known = self._ages.pop(txid, None)
        self._ages[txid] = (pair, max(changed_us, self._started_us, 0 if known is None else known[1]))
        while len(self._ages) > REMEMBERED:
            del self._ages[next(iter(self._ages))]

    def refused(self, pair: str | None, retry_after_s: float | None, *, engine: bool) -> None:
        """The venue counted higher than we did, or told us to stay away."""
        now = self._clock.now_us()
        if retry_after_s is not None:
            self._blocked_until_us = max(self._blocked_until_us, now + int(retry_after_s * 1e6))
        elif engine:
            self.counted(pair or ANY_PAIR, self._tier.engine_max)
        else:
            self.rest.raise_to(now, self.rest.maximum)

    def counted(self, pair: str, value: float) -> None:
        """The venue told its engine counter of a pair (`ratecounter` of the executions channel); ours is never below it."""
        self._engine(pair).raise_to(self._clock.now_us(), value)

    def engine_at(self, pair: str) -> float:
        """Our model of a pair's engine counter now, with what could be this pair's."""
        now = self._clock.now_us()
        return self._engine(pair).at(now) + (self._engine(ANY_PAIR).at(now) if pair != ANY_PAIR else 0.0)

    def _engine(self, pair: str) -> Tally:
        return self.engine.setdefault(pair, Tally(self._tier.engine_max, self._tier.engine_decay))

    def _pair(self, pair: str | None, txid: str | None) -> str:
        return pair or self._ages.get(txid or "", (ANY_PAIR, 0))[0]

    def _engine_cost(self, kind: Kind, txid: str | None, now_us: int) -> float:
        if txid is None or txid not in self._ages or txid in self._changing:
            return ENGINE_COST[kind].at(0.0)
        return ENGINE_COST[kind].at((now_us - self._ages[txid][1]) / 1e6)


def _wait_s(counter: Tally, full: float, share: float) -> float:
    """Seconds until a counter that would stand at `full` fits under its share of the maximum."""
    return max(0.0, full - counter.maximum * share - ROUNDING) / counter.decay
