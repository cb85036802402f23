"""The scorecard of one group of verdicts, and of every group there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trader.domain.verdicts import Ruling
from trader.research.scorecard.calibration import Calibration, brier, calibration, recalibrated
from trader.research.scorecard.estimates import DayBlocks
from trader.research.scorecard.scored import Age, Group, Scored, columns
from trader.research.scorecard.veto import Baseline, VetoValue, baseline, veto_value

LABEL_TWIN = "scripted stand-in, not AI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`labels`: signals with a verdict and an outcome; `deferred`: signals without a usable verdict; `days`: with a label.

    `age` None: all verdicts of the group, whatever their age. `brier_recalibrated`: of the probabilities as the labels of the days
    before would have had them corrected; None where it was not asked for.
    """

    group: Group
    age: Age | None
    labels: int
    deferred: int
    days: int
    rulings: dict[str, int]
    calibration: Calibration
    veto: VetoValue
    baseline: Baseline
    brier_recalibrated: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: a figure that is not finite is null; a stand-in's card says what it is."""
        found: dict[str, Any] = _finite(asdict(self))
        return {**found, "label": LABEL_TWIN if self.group.is_twin else ""}


def card(rows: Sequence[Scored], *, seed: int = 0, age: Age | None = None, recalibrate: bool = False) -> Card | None:
    """The card of rows of one group; None where no row has a verdict. `recalibrate` fits a curve for each day, which takes longer than
    all the rest. Raises ValueError for rows of several groups."""
    groups = dict.fromkeys(row.group for row in rows)
    if len(groups) > 1:
        raise ValueError(f"a card is of one group, seen {len(groups)}: twin and service, models or prompts are never mixed")
    c = columns(rows)
    if not len(c):
        return None
    blocks = DayBlocks(c.day, seed=seed)
    return Card(
        group=next(iter(groups)),
        age=age,
        labels=len(c),
        deferred=sum(row.p_loss is None for row in rows),
        days=blocks.days,
        rulings={ruling.value: sum(row.ruling is ruling for row in rows) for ruling in Ruling},
        calibration=calibration(c, blocks),
        veto=veto_value(c, blocks, seed=seed),
        baseline=baseline(c, blocks),
        brier_recalibrated=brier(recalibrated(c), c.loss) if recalibrate else None,
    )


def cards(rows: Sequence[Scored], *, seed: int = 0) -> list[Card]:
    """A card for each group, followed by those of its ages, in order of first appearance."""
    parts: dict[tuple[Group, Age | None], list[Scored]] = {}
    for row in rows:
        parts.setdefault((row.group, None), []).append(row)
    for row in rows:
        if row.p_loss is not None:
            parts.setdefault((row.group, row.age), []).append(row)
    found = (card(part, seed=seed, age=age, recalibrate=True) for (_, age), part in parts.items())
    return [one for one in found if one is not None]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
