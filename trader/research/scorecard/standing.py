"""Whether an advisor keeps its veto, loses it, or may be given it: demotion by itself, promotion by a human only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trader.research.scorecard.card import Card, card
from trader.research.scorecard.scored import Scored

WINDOW = 300
"""Newest scored verdicts that demotion looks at, and labels below which an advisor is on probation."""
INVALID_MOST = 0.05
ANSWERS_LEAST = 20
"""Answers of 24 h from which their unusable share counts: of fewer, a single bad one would be more than 5 %."""
PROOF = 1_500
"""Labels at which a useful advisor (a correlation of 0.3) is proven in at least 80 % of cases (`python -m benchmarks.scorecard`); one that
is not proven by then loses its veto."""
PLACEBO_LEAST = 95.0


class Cause(StrEnum):
    """Why an advisor is demoted from veto to shadow."""

    HARMFUL = "HARMFUL"  # the interval of veto value lies below zero
    MISLEADING = "MISLEADING"  # the interval of Brier skill lies below zero
    UNPROVEN = "UNPROVEN"  # many labels, and the interval of veto value still holds zero
    INVALID = "INVALID"  # too many unusable answers in 24 h
    DRIFT = "DRIFT"  # model or prompt is not the one that was scored


class Status(StrEnum):
    """What a page says of an advisor."""

    PROBATION = "on probation"  # too few labels to say
    UNPROVEN = "unproven"
    PROVEN = "proven"
    DEMOTED = "demoted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of the answers beside their outcome. `answers`, `invalid`: of the last 24 h."""

    answers: int = 0
    invalid: int = 0
    drifted: bool = False

    @property
    def invalid_share(self) -> float:
        return self.invalid / self.answers if self.answers else 0.0

    @property
    def unusable(self) -> bool:
        """Too large a share of enough answers."""
        return self.answers >= ANSWERS_LEAST and self.invalid_share > INVALID_MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The judgement of one group. `missing`: what stands between it and a promotion, in words, besides a human's yes."""

    status: Status
    labels: int
    causes: tuple[Cause, ...]
    missing: tuple[str, ...]

    @property
    def demoted(self) -> bool:
        return bool(self.causes)


def newest(rows: Sequence[Scored], count: int = WINDOW) -> list[Scored]:
    """The newest `count` rows that have a verdict, oldest first; rows of a day in the order given."""
    return sorted((row for row in rows if row.p_loss is not None), key=lambda row: row.day)[-count:]


def standing(rows: Sequence[Scored], health: Health | None = None, *, seed: int = 0) -> Standing:
    """What the rows of one group say: harm shows in its newest 300 verdicts, proof in all of them."""
    health = health or Health()
    recent, whole = card(newest(rows), seed=seed), card(rows, seed=seed)
    causes = demotion(recent, health, whole)
    labels = whole.labels if whole else 0
    proven = whole is not None and whole.veto.r.above_zero and labels >= WINDOW
    status = Status.PROVEN if proven else Status.PROBATION if labels < WINDOW else Status.UNPROVEN
    return Standing(status=Status.DEMOTED if causes else status, labels=labels, causes=causes, missing=promotion(whole, health))


def demotion(recent: Card | None, health: Health, whole: Card | None = None) -> tuple[Cause, ...]:
    """Why veto becomes shadow at once: harm from 300 labels on, lack of proof from 1,500, unusable answers and drift from the first."""
    causes = []
    if recent is not None and recent.labels >= WINDOW:
        causes += [Cause.HARMFUL] if recent.veto.r.below_zero else []
        causes += [Cause.MISLEADING] if recent.calibration.skill.below_zero else []
    if whole is not None and whole.labels >= PROOF and not whole.veto.r.above_zero:
        causes += [Cause.UNPROVEN]
    causes += [Cause.INVALID] if health.unusable else []
    causes += [Cause.DRIFT] if health.drifted else []
    return tuple(causes)


def promotion(whole: Card | None, health: Health) -> tuple[str, ...]:
    """What is missing for shadow to become veto; nothing missing still needs a human's word."""
    if whole is None or whole.labels < WINDOW:
        return (f"{WINDOW} labels in shadow, there are {whole.labels if whole else 0}",)
    missing = []
    if not whole.veto.r.above_zero:
        missing.append(f"a veto value surely above zero, its interval begins at {whole.veto.r.low:.1f} R per 100 vetoes")
    if whole.veto.placebo < PLACEBO_LEAST:
        missing.append(f"better than {PLACEBO_LEAST:.0f} % of random vetoes, it is better than {whole.veto.placebo:.0f} %")
    missing += [f"{cause.value.lower()}: cleared" for cause in demotion(None, health)]
    return tuple(missing)
