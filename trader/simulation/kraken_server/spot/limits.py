"""Rate limits of the spot API, exact on the twin's clock (KRAKEN.md section 8): the REST counter of a key, the engine counter of a pair.

Counters fall continuously and are kept in whole hundred-millionths, so that a decay of 0.33 or 2.34 a second is exact at every
microsecond. A call that would lift a counter over its maximum is refused and not charged; whether the exchange charges it is not
known, and a client that models its own calls counts them either way.
"""

from __future__ import annotations

from dataclasses import dataclass

from trader.errors import ConfigError
from trader.simulation.exchange_orders import Refused

RATE_LIMIT = "EAPI:Rate limit exceeded"
ENGINE_LIMIT = "EOrder:Rate limit exceeded"
LOCKOUT = "EGeneral:Temporary lockout"
TOO_MANY = "EGeneral:Too many requests"

UNIT = 100_000_000  # parts of one count
LOCKOUT_US = 15 * 60 * 1_000_000
ABUSE_US = 60 * 1_000_000  # refusals count towards a lockout for so long

HISTORY = ("Ledgers", "QueryLedgers", "TradesHistory", "QueryTrades")
UNCHARGED = ("AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder", "CancelOrder", "CancelOrderBatch")  # the engine counts these
# (age in seconds below which it holds, charge); the age counts from an order's creation or last amend
AMEND_AGES = ((5, 3), (10, 2), (15, 1))
EDIT_AGES = ((5, 6), (10, 5), (15, 4), (45, 2), (90, 1))
CANCEL_AGES = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
_FIXED = {"amend": 1, "edit": 1, "cancel": 0}
_AGES = {"amend": AMEND_AGES, "edit": EDIT_AGES, "cancel": CANCEL_AGES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Maximum, and decay in hundredths a second, of both counters; `open_orders`: live orders a pair may have."""

    rest_max: int
    rest_decay: int
    engine_max: int
    engine_decay: int
    open_orders: int


TIERS = {
    "starter": Tier(rest_max=15, rest_decay=33, engine_max=60, engine_decay=100, open_orders=60),
    "intermediate": Tier(rest_max=20, rest_decay=50, engine_max=125, engine_decay=234, open_orders=80),
    "pro": Tier(rest_max=20, rest_decay=100, engine_max=180, engine_decay=375, open_orders=225),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """What the twin counts. `tier` None counts no private call.

    `public_per_s`: calls a second of one address, and of one address and pair for OHLC and Trades (None: not counted; Kraken
    names no number). `lockout_after`: rate refusals, and `nonce_ban_after`: bad nonces, of one key within a minute that shut it
    out for 15 minutes (None: never; the exchange does so at numbers it does not tell).
    """

    tier: str | None = None
    public_per_s: int | None = None
    lockout_after: int | None = None
    nonce_ban_after: int | None = None

    def __post_init__(self) -> None:
        if self.tier is not None and self.tier not in TIERS:
            raise ConfigError(f"tier {self.tier!r}: allowed are {', '.join(TIERS)}, none")
        for name in ("public_per_s", "lockout_after", "nonce_ban_after"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} {value!r} must be at least 1")


class Counter:
    """A counter that falls with time; `decay` in hundredths a second, which is also parts of `UNIT` a microsecond."""

    __slots__ = ("_decay", "_maximum", "_time_us", "_value", "peak")

    def __init__(self, maximum: int, decay: int) -> None:
        self._maximum, self._decay = maximum * UNIT, decay
        self._value = self._time_us = 0
        self.peak = 0

    def at(self, now_us: int) -> int:
        """Its value in parts of `UNIT`; a clock that goes back does not lower it."""
        return max(0, self._value - self._decay * max(0, now_us - self._time_us))

    def take(self, cost: int, now_us: int) -> bool:
        """Charge `cost` parts of `UNIT`; False, and nothing charged, where that goes over the maximum."""
        value = self.at(now_us) + cost
        if value > self._maximum:
            return False
        self._value, self._time_us = value, max(now_us, self._time_us)
        self.peak = max(self.peak, value)
        return True


def age_charge(ages: tuple[tuple[int, int], ...], age_us: int) -> int:
    """The charge for an order of this age."""
    return next((charge for below, charge in ages if age_us < below * 1_000_000), 0)


class RateLimits:
    """All counters of one account. Every method raises Refused with Kraken's string, or charges."""

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
        self.tier = TIERS[rules.tier] if rules.tier is not None else None
        self.refusals: dict[str, int] = {}
        self._rest: dict[str, Counter] = {}
        self._engine: dict[str, Counter] = {}
        self._public: dict[tuple[str, str], Counter] = {}
        self._abuse: dict[tuple[str, str], list[int]] = {}
        self._locked: dict[str, int] = {}

    # --- doors -----------------------------------------------------------------------------------------------------
    def rest(self, key: str, endpoint: str, now_us: int) -> None:
        """A private REST call of an API key (named by its fingerprint)."""
        if self.tier is None or endpoint in UNCHARGED:
            return
        counter = self._rest.setdefault(key, Counter(self.tier.rest_max, self.tier.rest_decay))
        if not counter.take((2 if endpoint in HISTORY else 1) * UNIT, now_us):
            self._abused(key, RATE_LIMIT, self.rules.lockout_after, now_us)
            raise self._refused(RATE_LIMIT)

    def add(self, pair: str, now_us: int) -> None:
        """An order as it arrives, before it is looked at."""
        self._charge(pair, UNIT, now_us)

    def add_batch(self, pair: str, orders: int, now_us: int) -> None:
        """A batch of so many orders as it arrives: half a count each."""
        self._charge(pair, orders * UNIT // 2, now_us)

    def change(self, kind: str, pair: str, changed_us: int, now_us: int) -> None:
        """An `amend`, `edit` or `cancel` of an order that was created or last amended at `changed_us`."""
        self._charge(pair, (_FIXED[kind] + age_charge(_AGES[kind], now_us - changed_us)) * UNIT, now_us)

    def public(self, address: str, endpoint: str, pair: str, now_us: int) -> None:
        """A public call; OHLC and Trades count per address and pair."""
        if (rate := self.rules.public_per_s) is None:
            return
        who = (address, pair if endpoint in ("OHLC", "Trades") else "")
        if not self._public.setdefault(who, Counter(rate, rate * 100)).take(UNIT, now_us):
            raise self._refused(TOO_MANY)

    def locked(self, key: str, now_us: int) -> None:
        """Refuse a key that is shut out."""
        if now_us < self._locked.get(key, 0):
            raise self._refused(LOCKOUT)

    def bad_nonce(self, key: str, now_us: int) -> None:
        """Count a bad nonce of a key."""
        self._abused(key, "nonce", self.rules.nonce_ban_after, now_us)

    def _abused(self, key: str, what: str, most: int | None, now_us: int) -> None:
        """Enough of one kind within a minute shut a key out."""
        if most is None:
            return
        kept = [time_us for time_us in self._abuse.get((key, what), ()) if time_us > now_us - ABUSE_US]
        self._abuse[key, what] = [*kept, now_us]
        if len(kept) + 1 >= most:
            self._locked[key] = now_us + LOCKOUT_US
            del self._abuse[key, what]

    # --- reading ---------------------------------------------------------------------------------------------------
    def engine_value(self, pair: str, now_us: int) -> float:
        """The engine counter of a pair now, as the executions channel's `ratecounter` shows it."""
        counter = self._engine.get(pair)
        return counter.at(now_us) / UNIT if counter else 0.0

    def rest_value(self, key: str, now_us: int) -> float:
        """The REST counter of an API key now."""
        counter = self._rest.get(key)
        return counter.at(now_us) / UNIT if counter else 0.0

    def figures(self, now_us: int) -> dict[str, object]:
        """Every counter now and at its highest, and the refusals by string."""
        return {
            "tier": self.rules.tier,
            "rest": {key: [item.at(now_us) / UNIT, item.peak / UNIT] for key, item in self._rest.items()},
            "engine": {pair: [item.at(now_us) / UNIT, item.peak / UNIT] for pair, item in self._engine.items()},
            "refused": dict(self.refusals),
        }

    def _charge(self, pair: str, cost: int, now_us: int) -> None:
        if self.tier is None:
            return
        counter = self._engine.setdefault(pair, Counter(self.tier.engine_max, self.tier.engine_decay))
        if not counter.take(cost, now_us):
            raise self._refused(ENGINE_LIMIT)

    def _refused(self, error: str) -> Refused:
        self.refusals[error] = self.refusals.get(error, 0) + 1
        return Refused(error)
