"""From which probability of loss the AI's word counts: the break-even of a plan, or of what the strategy's signals really came to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trader.domain.verdicts import Ruling

SHRINK_FACTOR = 0.5  # the only size change AI can cause
SHRINK_BELOW = 0.10  # tau_shrink = tau_veto - this
TAU_FLOOR, TAU_CEILING = 0.2, 0.8
EARNED_LEAST, EARNED_NEWEST = 100, 300
"""Outcomes of a strategy from which its own mean gain and loss count, and how many of the newest do."""


def tau_veto(stop: float, target: float, costs: float) -> float:
    """P(loss) from which a plan has negative expected value: g / (g + l), clamped to [0.2, 0.8].

    g = target - costs and l = stop + costs, all fractions of the entry price. A plan whose target does not pay its
    costs gets the floor; anything not finite, too.
    """
    gain, loss = target - costs, stop + costs
    if not (math.isfinite(gain) and math.isfinite(loss)) or gain <= 0 or loss <= 0:
        return TAU_FLOOR
    return min(TAU_CEILING, max(TAU_FLOOR, gain / (gain + loss)))


def tau_earned(returns: Sequence[float]) -> float | None:
    """The same with the mean net gain W and loss L of a strategy's simulated signals: W / (W + L), clamped; `returns`: fractions of
    what the entries cost, newest first. None for fewer than 100."""
    newest = returns[:EARNED_NEWEST]
    if len(newest) < EARNED_LEAST:
        return None
    gains, losses = [one for one in newest if one > 0], [-one for one in newest if one <= 0]
    gain, loss = (math.fsum(values) / len(values) if values else 0.0 for values in (gains, losses))
    return min(TAU_CEILING, max(TAU_FLOOR, gain / (gain + loss))) if gain + loss > 0 else TAU_FLOOR


def ruling_at(p_loss: float, tau: float) -> Ruling:
    """What a probability of loss means against a plan's threshold."""
    if p_loss < tau - SHRINK_BELOW:
        return Ruling.ALLOW
    return Ruling.SHRINK if p_loss < tau else Ruling.VETO
