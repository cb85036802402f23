"""The rate campaign at a size for every day; in full: `python -m tests.campaigns.rates`."""

from __future__ import annotations

from typing import Any

from tests.campaigns.rates import run
from trader.kraken.limits import Charge, Limiter
from trader.kraken.tariff import Kind

SMALL: dict[str, Any] = {"minutes": 3, "pairs": 6}


class Hasty(Limiter):
    """A planted breach: a charge falls from the moment its call leaves."""

    def charge(self, kind: Kind, *, pair: str | None = None, txid: str | None = None, orders: int = 1) -> Charge:
        made = super().charge(kind, pair=pair, txid=txid, orders=orders)
        super().settle(made)
        return Charge(None, 0.0)


def test_the_limiter_uses_nearly_all_of_both_counters_and_never_stands_below_the_venue() -> None:
    outcome = run(limiter=True, **SMALL)
    assert outcome.refused == 0, outcome
    assert outcome.engine_share >= 0.9, outcome
    assert outcome.rest_share >= 0.9, outcome
    assert outcome.below == 0, outcome
    assert outcome.compared >= 5_000


def test_a_model_that_forgets_a_call_under_way_stands_below() -> None:
    assert run(limiter=True, model=Hasty, **SMALL).below > 50


def test_without_the_limiter_the_same_bursts_are_refused_by_the_hundred() -> None:
    assert run(limiter=False, **SMALL).refused > 100
