"""Both rate counters of the twin against the numbers of the documentation, by table (KRAKEN.md section 8)."""

from __future__ import annotations

import pytest

from trader.errors import ConfigError
from trader.simulation.exchange_orders import Refused
from trader.simulation.kraken_server.spot.limits import ENGINE_LIMIT, LOCKOUT, RATE_LIMIT, TOO_MANY, LimitRules, RateLimits

SECOND = 1_000_000


def refusal(limits: RateLimits, call: str, *arguments: object) -> str | None:
    """The string a charge is refused with, None where it fits."""
    try:
        getattr(limits, call)(*arguments)
    except Refused as refused:
        return refused.error
    return None


@pytest.mark.parametrize(
    ("tier", "endpoint", "fit", "next_after_us"),
    [
        ("starter", "Balance", 15, 3_030_304),  # 1 / 0.33 s, rounded up
        ("starter", "Ledgers", 7, 3_030_304),  # 14 of 15; two counts need one to fall
        ("intermediate", "Balance", 20, 2_000_000),
        ("intermediate", "TradesHistory", 10, 4_000_000),
        ("pro", "Balance", 20, 1_000_000),
        ("pro", "QueryLedgers", 10, 2_000_000),
    ],
)
def test_the_rest_counter_takes_so_many_calls_at_once_and_the_next_when_it_has_fallen(
    tier: str, endpoint: str, fit: int, next_after_us: int
) -> None:
    limits = RateLimits(LimitRules(tier=tier))
    answers = [refusal(limits, "rest", "key", endpoint, 0) for _ in range(fit + 1)]
    assert answers == [None] * fit + [RATE_LIMIT]
    assert refusal(limits, "rest", "key", endpoint, next_after_us - 1) == RATE_LIMIT
    assert refusal(limits, "rest", "key", endpoint, next_after_us) is None
    assert refusal(limits, "rest", "other key", endpoint, next_after_us) is None


def test_order_calls_do_not_count_at_the_key_and_pairs_count_apart() -> None:
    limits = RateLimits(LimitRules(tier="starter"))
    assert {refusal(limits, "rest", "key", "AddOrder", 0) for _ in range(100)} == {None}
    assert [refusal(limits, "add", "BTC/EUR", 0) for _ in range(61)] == [None] * 60 + [ENGINE_LIMIT]
    assert refusal(limits, "add", "ETH/EUR", 0) is None
    assert refusal(limits, "add", "BTC/EUR", SECOND) is None


@pytest.mark.parametrize(
    ("kind", "age_s", "charge"),
    [
        *(("amend", age, charge) for age, charge in ((0, 4), (4.999999, 4), (5, 3), (10, 2), (15, 1), (1e6, 1))),
        *(("edit", age, charge) for age, charge in ((0, 7), (5, 6), (10, 5), (15, 3), (45, 2), (89.9, 2), (90, 1))),
        *(("cancel", age, charge) for age, charge in ((0, 8), (5, 6), (10, 5), (15, 4), (45, 2), (90, 1), (299, 1), (300, 0))),
    ],
)
def test_changes_are_charged_by_the_age_of_the_order(kind: str, age_s: float, charge: int) -> None:
    limits, now_us = RateLimits(LimitRules(tier="pro")), 10**12
    limits.change(kind, "BTC/EUR", now_us - round(age_s * SECOND), now_us)
    assert limits.engine_value("BTC/EUR", now_us) == charge


@pytest.mark.parametrize(("tier", "per_second"), [("starter", 1.0), ("intermediate", 2.34), ("pro", 3.75)])
def test_the_engine_counter_falls_by_its_tier(tier: str, per_second: float) -> None:
    limits = RateLimits(LimitRules(tier=tier))
    for _ in range(20):
        limits.add("BTC/EUR", 0)
    assert limits.engine_value("BTC/EUR", 2 * SECOND) == 20 - 2 * per_second
    assert limits.engine_value("BTC/EUR", 60 * SECOND) == 0


def test_a_batch_counts_half_an_order_each() -> None:
    limits = RateLimits(LimitRules(tier="starter"))
    limits.add_batch("BTC/EUR", 15, 0)
    assert limits.engine_value("BTC/EUR", 0) == 7.5


def test_no_tier_counts_nothing() -> None:
    limits = RateLimits(LimitRules())
    assert {refusal(limits, "rest", "key", "Balance", 0) for _ in range(100)} == {None}
    assert {refusal(limits, "change", "cancel", "BTC/EUR", 0, 0) for _ in range(100)} == {None}
    assert {refusal(limits, "public", "::1", "Trades", "BTC/EUR", 0) for _ in range(100)} == {None}


def test_public_calls_count_per_address_and_history_per_address_and_pair() -> None:
    limits = RateLimits(LimitRules(public_per_s=2))
    assert [refusal(limits, "public", "a", "Time", "", 0) for _ in range(3)] == [None, None, TOO_MANY]
    assert [refusal(limits, "public", "a", "OHLC", "BTC/EUR", 0) for _ in range(3)] == [None, None, TOO_MANY]
    assert refusal(limits, "public", "a", "OHLC", "ETH/EUR", 0) is None
    assert refusal(limits, "public", "b", "Time", "", 0) is None
    assert refusal(limits, "public", "a", "Time", "", SECOND // 2) is None


def test_persistent_abuse_locks_a_key_out_for_fifteen_minutes() -> None:
    limits = RateLimits(LimitRules(tier="pro", lockout_after=3))
    answers = [refusal(limits, "rest", "key", "Balance", 0) for _ in range(23)]
    assert answers == [None] * 20 + [RATE_LIMIT] * 3
    assert refusal(limits, "locked", "key", 900 * SECOND - 1) == LOCKOUT
    assert refusal(limits, "locked", "key", 900 * SECOND) is None
    assert refusal(limits, "locked", "other", 0) is None
    assert limits.refusals == {RATE_LIMIT: 3, LOCKOUT: 1}


def test_bad_nonces_lock_out_only_when_they_come_within_a_minute() -> None:
    limits = RateLimits(LimitRules(nonce_ban_after=3))
    for minute in range(5):
        limits.bad_nonce("key", minute * 31 * SECOND)
    assert refusal(limits, "locked", "key", 125 * SECOND) is None
    limits.bad_nonce("key", 125 * SECOND)
    assert refusal(limits, "locked", "key", 126 * SECOND) == LOCKOUT


@pytest.mark.parametrize("options", [{"tier": "gold"}, {"public_per_s": 0}, {"lockout_after": -1}])
def test_unusable_rules_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        LimitRules(**options)  # type: ignore[arg-type]
