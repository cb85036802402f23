"""Does the scorecard find skill where it was planted, and none where there is none: `python -m benchmarks.scorecard [--runs N] [--quick]`.

A planted advisor looks at a number that correlates with what becomes of each trade by rho, and answers with the probability that would
be right if rho were 0.3, whatever it is. Trades gain 1.5 R or lose 1 R and are worth nothing on average; those of a day hang together.
JSON lines on stdout. Exit code 1 where a goal is missed: at rho 0 the 90 % interval of veto value covers zero in at least 88 % of the
runs and at most 10 % are demoted at 300 labels; rho 0.3 is found (interval above zero) in at least 80 % at --labels; rho -0.3 is demoted
at 300 labels in at least 80 %.

Beside the goals stands `as_written`: demotion at 300 labels of whatever is not yet proven useful, as AI.md words it. That early it takes
the veto from nearly every advisor without skill and from half of those that have it; so lack of proof demotes at 1,500 labels, where
1 - `found` is its share.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.kernel import figure
from tests.amounts import whole
from trader.domain.verdicts import Ruling
from trader.research.scorecard.card import Card, card
from trader.research.scorecard.scored import Group, Scored
from trader.research.scorecard.standing import PROOF, WINDOW, Cause, Health, demotion, newest

GAIN_R, LOSS_R = 1.5, -1.0
BREAK_EVEN = GAIN_R / (GAIN_R - LOSS_R)  # P(loss) at which a trade is worth nothing; the threshold of the veto, too
STAKE = 100.0  # quote currency at risk
SIGNALS_A_DAY = 10
TOGETHER = 0.2  # share of the variance of an outcome that all trades of a day have in common
CLAIM = 0.3  # the correlation that answers are worded for
LABELS = PROOF
GROUP = Group(provider="planted", model="planted", prompt_version="1", strategy="viable/mitraillette/AGGRESSIVE", is_twin=True)
COVER_LEAST, FALSE_MOST, FOUND_LEAST = 0.88, 0.10, 0.80
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the runs of one advisor. `covers`, `found`: by the interval over all labels; the rest at 300 labels."""

    covers: float
    found: float
    demoted: float
    harmful: float
    misleading: float
    as_written: float


def planted(seed: int, labels: int, rho: float) -> list[Scored]:
    """Signals of an advisor whose number correlates with the loss by `rho`, answering as if it did by 0.3."""
    rng = np.random.default_rng([seed, labels, round(1_000 * (rho + 1))])
    day = np.arange(labels) // SIGNALS_A_DAY
    common = rng.standard_normal(day[-1] + 1)[day]
    fate = math.sqrt(TOGETHER) * common + math.sqrt(1.0 - TOGETHER) * rng.standard_normal(labels)
    hint = rho * fate + math.sqrt(1.0 - rho * rho) * rng.standard_normal(labels)
    bar = _NORMAL.inv_cdf(1.0 - BREAK_EVEN)
    score = rng.uniform(50.0, 90.0, labels)
    rows = []
    for i in range(labels):
        p = 1.0 - _NORMAL.cdf((bar - CLAIM * float(hint[i])) / math.sqrt(1.0 - CLAIM * CLAIM))
        r = LOSS_R if fate[i] > bar else GAIN_R
        rows.append(
            Scored(
                decision_id=f"{seed}-{i}",
                group=GROUP,
                day=int(day[i]),
                ruling=Ruling.VETO if p >= BREAK_EVEN else Ruling.ALLOW,
                p_loss=p,
                age_ms=30_000.0,
                r=r,
                quote=STAKE * r,
                score=float(score[i]),
            )
        )
    return rows


def run(runs: int, labels: int, rho: float, *, seed: int = 1) -> Shares:
    """Judge `runs` advisors by the functions that judge the real one."""
    whole, causes, written = [], [], 0
    for number in range(runs):
        rows = planted(seed * 100_000 + number, labels, rho)
        whole.append(_card(rows, number).veto.r)
        recent = _card(newest(rows), number)
        causes.append(demotion(recent, Health()))
        written += not recent.veto.r.above_zero
    return Shares(
        covers=sum(one.low <= 0.0 <= one.high for one in whole) / runs,
        found=sum(one.above_zero for one in whole) / runs,
        demoted=sum(bool(one) for one in causes) / runs,
        harmful=sum(Cause.HARMFUL in one for one in causes) / runs,
        misleading=sum(Cause.MISLEADING in one for one in causes) / runs,
        as_written=written / runs,
    )


def _card(rows: Sequence[Scored], seed: int) -> Card:
    found = card(rows, seed=seed)
    assert found is not None
    return found


def tell(runs: int, labels: int, seed: int) -> list[str]:
    """Print all figures; what of them misses its goal."""
    none, good, bad = (run(runs, labels, rho, seed=seed) for rho in (0.0, 0.3, -0.3))
    figure("scorecard.runs", runs, "runs")
    figure("scorecard.labels", labels, "labels")
    for name, shares in (("none", none), ("good", good), ("bad", bad)):
        for field, share in asdict(shares).items():
            figure(f"scorecard.{name}.{field}", share, "share")
    goals = (
        ("rho 0: the interval covers zero", none.covers >= COVER_LEAST, none.covers),
        (f"rho 0: demoted at {WINDOW} labels", none.demoted <= FALSE_MOST, none.demoted),
        (f"rho 0.3: found at {labels} labels", good.found >= FOUND_LEAST, good.found),
        (f"rho -0.3: demoted at {WINDOW} labels", bad.demoted >= FOUND_LEAST, bad.demoted),
    )
    return [f"{words}: {share:.3f} of {runs} runs" for words, reached, share in goals if not reached]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scorecard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=whole(), default=500)
    parser.add_argument("--labels", type=whole(), default=LABELS, help="at which skill of 0.3 must be found")
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--quick", action="store_true", help="40 runs; goals that a few runs cannot decide are only printed")
    asked = parser.parse_args(arguments)
    if asked.runs < 1 or asked.labels < WINDOW:
        parser.error(f"--runs from 1, --labels from {WINDOW}")
    problems = tell(40 if asked.quick else asked.runs, asked.labels, asked.seed)
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    return 1 if problems and not asked.quick else 0


if __name__ == "__main__":
    sys.exit(main())
