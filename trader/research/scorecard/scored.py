"""One signal with what the AI said of it and what became of it, and many of them as columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from trader.domain.verdicts import Ruling

Column = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Age(StrEnum):
    """How old a verdict was when the signal met it."""

    FRESH = "below 60 s"
    MIDDLE = "60-180 s"
    OLD = "180 s and more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is scored together: a change of any of these starts a calibration of its own. `is_twin`: scripted, not AI."""

    provider: str
    model: str
    prompt_version: str
    strategy: str
    is_twin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A signal, its ruling and its counterfactual: what the plan earned in the fill simulator, whether it was entered or not.

    `day`: UTC day number of the signal; `p_loss` None: no usable verdict (DEFER); `ruling`: the book's, in shadow mode too;
    `r`: net result in units of the plan's risk; `quote`: net result in quote currency; `score`: evidence points of the signal.
    Raises ValueError for a number that cannot be scored.
    """

    decision_id: str
    group: Group
    day: int
    ruling: Ruling
    p_loss: float | None
    age_ms: float
    r: float
    quote: float
    score: float

    def __post_init__(self) -> None:
        if self.p_loss is not None and not 0.0 <= self.p_loss <= 1.0:
            raise ValueError(f"{self.decision_id}: p_loss {self.p_loss} is not a probability")
        if (self.p_loss is None) != (self.ruling is Ruling.DEFER):
            raise ValueError(f"{self.decision_id}: {self.ruling} with p_loss {self.p_loss}; DEFER and nothing else has none")
        if not all(map(math.isfinite, (self.r, self.quote, self.score, self.age_ms))):
            raise ValueError(f"{self.decision_id}: r {self.r}, quote {self.quote}, score {self.score} and age must be finite")

    @property
    def loss(self) -> bool:
        """The label: a net result of nothing or less."""
        return self.quote <= 0.0

    @property
    def age(self) -> Age:
        return Age.FRESH if self.age_ms < 60_000 else Age.MIDDLE if self.age_ms < 180_000 else Age.OLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Signals that have a verdict, in order of days. `cell`: a number for each strategy and day."""

    day: Whole
    cell: Whole
    p: Column
    loss: Column
    vetoed: Flags
    r: Column
    quote: Column
    score: Column

    def __len__(self) -> int:
        return len(self.day)


def columns(rows: Sequence[Scored]) -> Columns:
    """The rows that have a probability, by day; those of a day stay in the order given."""
    kept = sorted((row for row in rows if row.p_loss is not None), key=lambda row: row.day)
    cells: dict[tuple[str, int], int] = {}
    return Columns(
        day=np.array([row.day for row in kept], dtype=np.int64),
        cell=np.array([cells.setdefault((row.group.strategy, row.day), len(cells)) for row in kept], dtype=np.int64),
        p=np.array([row.p_loss for row in kept], dtype=np.float64),
        loss=np.array([row.loss for row in kept], dtype=np.float64),
        vetoed=np.array([row.ruling is Ruling.VETO for row in kept], dtype=np.bool_),
        r=np.array([row.r for row in kept], dtype=np.float64),
        quote=np.array([row.quote for row in kept], dtype=np.float64),
        score=np.array([row.score for row in kept], dtype=np.float64),
    )
