"""Rate limits of the futures API (KRAKEN.md section 8): cost units of the derivatives API, tokens of the history API, per key.

Both are buckets that refill steadily: 500 units in 10 s, 100 tokens in 10 min. What a call costs is taken before it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trader.simulation.exchange_orders import Refused

LIMIT_EXCEEDED = "apiLimitExceeded"
COSTS: Mapping[str, int] = {
    "sendorder": 10, "editorder": 10, "cancelorder": 10, "accounts": 2, "openpositions": 2, "openorders": 2, "orders/status": 1,
    "cancelallorders": 25, "cancelallordersafter": 25, "PUT leveragepreferences": 10, "GET leveragepreferences": 2,
    "PUT pnlpreferences": 10, "GET pnlpreferences": 2, "transfer": 10, "unwindqueue": 200, "notifications": 1,
}  # fmt: skip
TOKENS: Mapping[str, int] = {"orders": 1, "executions": 1, "triggers": 1, "positions": 1, "accountlogcsv": 6}
_LOG_TOKENS = ((25, 1), (50, 2), (1_000, 3), (5_000, 6))  # entries asked of the account log -> tokens; more cost 10


def cost_of(name: str, method: str, fields: Mapping[str, str], batch: int) -> int:
    """Cost units of a call of the derivatives API; `batch`: orders inside a batchorder. Public calls cost nothing."""
    if name == "batchorder":
        return 9 + batch
    if name == "fills":
        return 25 if fields.get("lastFillTime") else 2
    return COSTS.get(name, COSTS.get(f"{method} {name}", 0))


def tokens_of(name: str, count: int) -> int:
    """Tokens of a private call of the history API; `count`: entries asked of the account log."""
    if name == "account-log":
        return next((tokens for most, tokens in _LOG_TOKENS if count <= most), 10)
    return TOKENS.get(name, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuturesLimitRules:
    """Size of a bucket and the seconds in which it fills; None counts nothing."""

    units: int | None = 500
    units_s: int = 10
    tokens: int | None = 100
    tokens_s: int = 600


UNLIMITED = FuturesLimitRules(units=None, tokens=None)


@dataclass(slots=True)
class _Bucket:
    spent: float = 0.0
    seen_us: int = 0


@dataclass(slots=True)
class FuturesLimits:
    """Buckets of all keys. `spent` and `refused`: units and tokens taken, and calls refused, for the figures."""

    rules: FuturesLimitRules
    spent: dict[str, int] = field(default_factory=lambda: {"units": 0, "tokens": 0})
    refused: int = 0
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)

    def take_units(self, key: str, cost: int, now_us: int) -> None:
        """Raises Refused(apiLimitExceeded) where the bucket does not hold the cost."""
        self._take("units", key, cost, now_us, most=self.rules.units, fills_s=self.rules.units_s)

    def take_tokens(self, key: str, cost: int, now_us: int) -> None:
        """As `take_units`, of the history API."""
        self._take("tokens", key, cost, now_us, most=self.rules.tokens, fills_s=self.rules.tokens_s)

    def _take(self, kind: str, key: str, cost: int, now_us: int, *, most: int | None, fills_s: int) -> None:
        if most is None or not cost:
            return
        bucket = self._buckets.setdefault((kind, key), _Bucket(seen_us=now_us))
        back = (now_us - bucket.seen_us) / 1e6 * most / fills_s
        bucket.spent, bucket.seen_us = max(0.0, bucket.spent - back), now_us
        if bucket.spent + cost > most:
            self.refused += 1
            raise Refused(LIMIT_EXCEEDED)
        bucket.spent += cost
        self.spent[kind] += cost
