"""A switch of strategy as one question: the table of its statistics, and nothing else (AI.md section 9).

As for trades, the legend is a whitelist: no pair, date, price or free text gets into the prompt, whatever a caller hands over.
"""

from __future__ import annotations

from collections.abc import Mapping

from trader.domain.verdicts import Question
from trader.gemini.prompt import Form, number

_OF_A_STRATEGY: Mapping[str, str] = {
    "sharpe": "daily Sharpe ratio over the test blocks, net of costs",
    "mean_bp": "mean net return of a day, 1/10000",
    "p": "p of 'mean not above zero', stationary bootstrap",
    "p_holm": "the same after Holm over all strategies",
    "trades": "trades in the test blocks",
    "pairs": "pairs traded in the test blocks",
    "gain_a_trade_bp": "mean net gain of a trade, 1/10000 of its stake",
    "train_sharpe": "daily Sharpe ratio of the newest train block, where the candidate was chosen",
}
NUMBERS: Mapping[str, str] = {
    "strategies": "strategies that were compared",
    "days": "days in the test blocks",
    "concentration": "largest share of one pair in the profit",
    "spa": "p of 'no strategy is better than the one in use', Hansen's SPA at equal risk",
    "interval": "lower end of the paired 95 % interval of candidate minus in use, a day at equal risk",
    "gain": "points gained in 30 days over the one in use, both at 1 % a day",
    "overfitting": "probability of backtest overfitting, CSCV",
    "deflated": "deflated Sharpe ratio",
    "costs": "mean net return of a day at 1.5 times the costs",
    **{f"{who}_{name}": f"{words}: {text}" for who, words in (("candidate", "candidate"), ("current", "strategy in use"))
       for name, text in _OF_A_STRATEGY.items()},
}  # fmt: skip
_LEGEND: Mapping[str, object] = {
    "schema": "switch-1",
    "legend": NUMBERS,
    "task": "The question holds the statistics of a planned switch to a candidate. Judge it by these numbers only.",
}


def record(question: Question) -> dict[str, float | str]:
    """The numbers of the legend that are finite; empty where there is none."""
    found = {name: short for name, value in question.features.items() if name in NUMBERS and (short := number(value)) is not None}
    return dict(found)


SWITCH = Form(
    version="switch-1",
    sentence="This switch should be rejected.",
    true_text="The switch should be rejected.",
    false_text="The switch need not be rejected.",
    record=record,
    setting=lambda _newest: _LEGEND,
)
"""Should a switch that passed all statistics be rejected: the AI can only hold it up."""
