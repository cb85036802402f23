"""What the night may suggest, and what a person may make of it. Nothing here, and nothing that uses it, applies a suggestion by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from trader.domain.market import DAY

MOST: Final = 5  # of one night
LIFE_US: Final = 7 * DAY
STEP: Final = 0.25  # a proposal may move a number by this share of it
NOTE_LENGTH: Final = 400


class SuggestionKind(StrEnum):
    PARAM_CHANGE = "PARAM_CHANGE"
    NEW_RULE = "NEW_RULE"  # a note, never executed
    REFACTOR = "REFACTOR"  # a note, never executed


class Tunable(StrEnum):
    """Numbers of the strategy's table that a suggestion may be about: all say when to enter. Risk limits, stops, fees, mode and
    budget are not among them."""

    RSI_OVERSOLD = "rsi_oversold"
    COMPOSITE_LIMIT = "composite_limit"
    MIN_SCORE = "min_score"
    COOLDOWN_BARS = "cooldown_bars"
    COOLDOWN_STOP_BARS = "cooldown_stop_bars"


RANGES: Final[Mapping[Tunable, tuple[float, float]]] = {
    Tunable.RSI_OVERSOLD: (5.0, 50.0), Tunable.COMPOSITE_LIMIT: (10.0, 60.0), Tunable.MIN_SCORE: (40.0, 95.0),
    Tunable.COOLDOWN_BARS: (1.0, 96.0), Tunable.COOLDOWN_STOP_BARS: (1.0, 96.0),
}  # fmt: skip
"""Declared range of each, both ends included."""
WHOLE: Final = frozenset({Tunable.COOLDOWN_BARS, Tunable.COOLDOWN_STOP_BARS})


class SuggestionReason(StrEnum):
    TOO_FEW_SIGNALS = "TOO_FEW_SIGNALS"
    TOO_MANY_SIGNALS = "TOO_MANY_SIGNALS"
    WEAK_ENTRIES_LOSE = "WEAK_ENTRIES_LOSE"
    STRONG_ENTRIES_MISSED = "STRONG_ENTRIES_MISSED"
    REPEATED_LOSSES_IN_A_PAIR = "REPEATED_LOSSES_IN_A_PAIR"
    CODE_UNCLEAR = "CODE_UNCLEAR"


class SuggestionState(StrEnum):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REVERTED = "REVERTED"


class Act(StrEnum):
    """What a person does with a suggestion."""

    APPROVE = "approve"
    REJECT = "reject"
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A suggestion as it was parsed; `parameter`, `current` and `proposed` only of a PARAM_CHANGE, `note` plain text of the others."""

    name: str
    kind: SuggestionKind
    strategy: str
    reason: SuggestionReason
    evidence: tuple[str, ...] = ()
    parameter: Tunable | None = None
    current: float = 0.0
    proposed: float = 0.0
    note: str = ""

    @property
    def words(self) -> str:
        """What it is about, in a line."""
        change = f"{self.parameter.value} {self.current:g} -> {self.proposed:g}" if self.parameter is not None else self.note
        return f"{self.kind.value}: {change}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A proposal as it is kept. `trial`: what a walk-forward run says of it, attached before anybody sees it; `acts`: what people did,
    oldest first, as (act, who, why, time)."""

    suggestion_id: str
    night: str
    proposal: Proposal
    trial: Mapping[str, Any]
    model: str
    is_twin: bool
    made_us: int
    acts: tuple[tuple[Act, str, str, int], ...] = field(default=())

    @property
    def expires_us(self) -> int:
        return self.made_us + LIFE_US

    def state(self, now_us: int) -> SuggestionState:
        """Where it stands; one that nobody answered in time can only expire."""
        done = {act for act, *_ in self.acts}
        if Act.REVERT in done:
            return SuggestionState.REVERTED
        if Act.APPROVE in done:
            return SuggestionState.APPROVED
        if Act.REJECT in done:
            return SuggestionState.REJECTED
        return SuggestionState.EXPIRED if now_us >= self.expires_us else SuggestionState.PENDING


def allowed(parameter: Tunable, current: float, proposed: float) -> str:
    """Why a number may not be proposed; empty where it may."""
    low, high = RANGES[parameter]
    if not low <= proposed <= high:
        return f"{parameter} {proposed:g} is outside {low:g} to {high:g}"
    if abs(proposed - current) > STEP * abs(current) + 1e-9:
        return f"{parameter} {proposed:g} is more than {100 * STEP:.0f} % from {current:g}"
    if proposed == current:
        return f"{parameter} is {current:g} already"
    if parameter in WHOLE and proposed != int(proposed):
        return f"{parameter} {proposed:g} must be whole"
    return ""
