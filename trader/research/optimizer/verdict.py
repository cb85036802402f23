"""What a judgement says: the conditions of SPEC section 12 one by one, and SWITCH only where all of them hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from trader.research.optimizer.folds import Fold


class Decision(StrEnum):
    """What becomes of the current strategy."""

    KEEP = "KEEP"
    SWITCH = "SWITCH"


class Reason(StrEnum):
    """Why a KEEP is one."""

    NOT_ENOUGH_DATA = "NOT_ENOUGH_DATA"  # nothing was compared
    NOT_JUDGED = "NOT_JUDGED"  # a result is no number
    NO_CANDIDATE = "NO_CANDIDATE"  # no strategy traded enough in the newest train block
    CURRENT_IS_BEST = "CURRENT_IS_BEST"
    CONDITIONS = "CONDITIONS"  # the candidate failed at least one
    VETOED = "VETOED"  # it passed all, and the AI rejects the switch or said nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition: `number` in SPEC section 12, what was seen and what is asked, both in words. One that does not bind is shown only:
    the comparison with the current strategy in plain returns, beside the one at equal risk that decides."""

    name: str
    number: int
    holds: bool
    value: float
    limit: float
    words: str
    binding: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; a value that is not finite is null."""
        return {
            "name": self.name, "spec": self.number, "holds": self.holds, "value": finite(self.value), "limit": self.limit,
            "words": self.words, "binding": self.binding,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A strategy's row of the leaderboard, over the test blocks. Fractions a day; `p`: of (2) before and after Holm.

    `train_*`: in the newest train block, where the candidate is chosen; `eligible`: it traded enough there. `failed`: conditions that
    would not hold were it the candidate (of the current one: none are asked), those that do not bind included.
    """

    name: str
    mean: float
    sharpe: float
    p: float
    p_adjusted: float
    trades: int
    pairs: int
    gain_a_trade: float
    train_mean: float
    train_sharpe: float
    train_trades: int
    eligible: bool
    failed: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: finite(getattr(self, name)) for name in self.__slots__} | {"failed": list(self.failed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRow:
    """A fold for people: who was best in its train block, and what that one and the current one made in its test block."""

    fold: Fold
    best: str
    best_mean: float
    current_mean: float
    trades: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; days since 1970 as they are."""
        f = self.fold
        return {
            "fold": f.number, "train_first": f.train_first, "train_end": f.train_end, "test_first": f.test_first, "test_end": f.test_end,
            "best_in_train": self.best, "test_mean": finite(self.best_mean), "current_mean": finite(self.current_mean),
            "trades": self.trades,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The answer of one run. `candidate` is empty where there was none; `no_edge`: no strategy passes condition (2)."""

    current: str
    candidate: str = ""
    reason: Reason | None = None
    detail: str = ""
    conditions: tuple[Condition, ...] = ()
    standings: tuple[Standing, ...] = ()
    folds: tuple[FoldRow, ...] = ()
    no_edge: bool = False
    days: int = 0

    def decided(self, without: Collection[str] = ()) -> Decision:
        """SWITCH where a candidate passes all conditions, `without` those named (what a control of the harness leaves out)."""
        if self.reason not in (None, Reason.CONDITIONS) or not self.conditions:
            return Decision.KEEP
        return Decision.SWITCH if all(one.holds for one in self.conditions if one.binding and one.name not in without) else Decision.KEEP

    @property
    def decision(self) -> Decision:
        """KEEP or SWITCH."""
        return self.decided()

    @property
    def failed(self) -> tuple[Condition, ...]:
        """Binding conditions that do not hold, in the order of SPEC section 12."""
        return tuple(one for one in self.conditions if one.binding and not one.holds)

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if self.decision is Decision.SWITCH:
            held = sum(one.binding for one in self.conditions)
            return f"SWITCH from {self.current} to {self.candidate}: all {held} conditions hold over {self.days} days."
        if self.reason is Reason.CURRENT_IS_BEST:
            return f"KEEP {self.current}: no other is better at equal risk in the newest train block."
        if self.reason is not Reason.CONDITIONS:
            return f"KEEP {self.current}: {self.reason}: {self.detail}."
        return f"KEEP {self.current}: {self.candidate} fails " + "; ".join(one.words for one in self.failed) + "."

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with the sentence."""
        return {
            "decision": str(self.decision), "current": self.current, "candidate": self.candidate, "reason": str(self.reason or ""),
            "sentence": self.sentence, "no_edge": self.no_edge, "out_of_sample_days": self.days,
            "conditions": [one.as_dict() for one in self.conditions], "leaderboard": [one.as_dict() for one in self.standings],
            "folds": [one.as_dict() for one in self.folds],
        }  # fmt: skip


def finite(value: Any) -> Any:
    """The value, None for a float that is not finite."""
    return None if isinstance(value, float) and not -1e300 < value < 1e300 else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """Pairs that may be judged, and why others may not; `first_day`: number of the first day that can serve."""

    pairs: tuple[str, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)
    first_day: int = 0
