"""Questions to the AI, as the suites of its ports ask them."""

from __future__ import annotations

from trader.domain.orders import Side
from trader.domain.verdicts import Question, VerdictKey

EPOCH = 1_767_571_200_000_000
KEY = VerdictKey(pair="ABC/EUR", side=Side.BUY, strategy="viable/mitraillette/AGGRESSIVE")


def question(pair: str = "ABC/EUR", asked_us: int = EPOCH, *, priority: bool = False, rsi: float = 30.0) -> Question:
    return Question(
        key=VerdictKey(pair=pair, side=Side.BUY, strategy=KEY.strategy),
        asked_us=asked_us,
        asked_price=100.0,
        band_lo=99.0,
        band_hi=101.0,
        features={"rsi": rsi},
        priority=priority,
    )
