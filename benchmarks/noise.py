"""How often the optimizer switches where there is nothing, and how often it finds what is there (PERFORMANCE.md section 7).

    python -m benchmarks.noise --worlds N --seed S [--days D] [--edge SHARPE] [--pairs P] [--jobs J]
    python -m benchmarks.noise --table [--worlds N]      every edge x days, N worlds each
    python -m benchmarks.noise --quick                   40 worlds of noise and 10 with an edge, small ones
    python -m benchmarks.noise --calibrate               daily Sharpe of the planted strategy by drift: the curve below

A world is candles in a history store of its own, judged by `decide_on`, the function of the flow and of `trader optimize`, with the
strategy in use drawn at random. JSON lines on stdout; beside them, from the same judgements, the controls: each condition left out
singly, and alone; a judge that switches to the best of the newest train block, one that always keeps, and one by the letter of the
specification (candidate by its plain mean, compared in plain returns; docs/decisions/0009). Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import comb
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.kernel import figure
from benchmarks.worlds import BARS, GENERATORS, Shape, candles_of, generators, names_of, planted, stored
from tests.amounts import above, whole
from trader.bootstrap.optimizing import Answer, Question, decide_on
from trader.research.backtester import six
from trader.research.optimizer.folds import TEST_DAYS, TRAIN_DAYS
from trader.research.optimizer.study import Candles
from trader.research.optimizer.universe import LEAST_READY_DAYS
from trader.research.optimizer.verdict import Decision, Reason
from trader.strategy.columns import Bars

SIX = six()
PLANTED = "viable/mitraillette/DEFAULT"
GARCH = "garch"  # the generator of worlds with an edge
WARM_DAYS = 30  # of a short warm-up, which three EMA55 of 4h candles take
EDGES, DAYS = (0.2, 0.4, 0.6, 0.8), (56, 112, 240)
CURVE = ((0.00010, -0.20), (0.00020, -0.04), (0.00030, 0.13), (0.00040, 0.32), (0.00050, 0.50), (0.00070, 0.80), (0.00090, 1.07))
"""Drift a bar -> daily Sharpe of the planted strategy's portfolio run, net of costs; measured by --calibrate."""
FALSE_MOST, POWER_LEAST, SURE = 0.05, 0.80, 200
UNDECIDED = (Reason.NOT_ENOUGH_DATA, Reason.NOT_JUDGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One world to judge; `edge` 0: none planted. `days`: of test blocks."""

    seed: int
    number: int
    days: int
    pairs: int
    edge: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of a world. `switched_to` under all conditions, and with each left out; `as_written`: by the specification's
    letter, the candidate by its plain mean and (3) in plain returns; `alone`: were it the only condition; `undecided`: no decision."""

    generator: str
    switched_to: str
    without: dict[str, str]
    alone: dict[str, str]
    best_in_train: str
    as_written: str
    undecided: str
    trades: dict[str, int]
    sharpe: float
    gain_a_trade: float
    cpu_s: float


def drift_for(edge: float) -> float:
    """The drift at which the planted strategy is expected to have this daily Sharpe."""
    drifts, sharpes = zip(*CURVE, strict=True)
    return float(np.interp(edge, sharpes, drifts))


def blocks(days: int) -> int:
    """Test blocks that come nearest to `days`."""
    return round(days / TEST_DAYS)


def made(world: World) -> tuple[str, str, Shape]:
    """A world's generator, the strategy in use there, and its candles."""
    rng = np.random.default_rng([world.seed, world.number, round(1000 * world.edge)])
    names = [one.name for one in SIX]
    generator = GARCH if world.edge else generators()[world.number % len(generators())]
    judged_days = max(TRAIN_DAYS + blocks(world.days) * TEST_DAYS, LEAST_READY_DAYS + 1)
    shape = GENERATORS[generator](rng, world.pairs, (WARM_DAYS + judged_days) * BARS)
    if world.edge:
        shape = planted(shape, next(one for one in SIX if one.name == PLANTED), drift_for(world.edge))
        names.remove(PLANTED)  # the edge is not the current strategy's already
    return generator, str(rng.choice(names)), shape


def judged(world: World) -> Judged:
    """Make a world, store it, have it judged."""
    generator, current, shape = made(world)
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        stored(candles_of(shape), Path(folder))
        answer = decide_on(Question(current=current, warmup="short"), state=Path(folder))
    return _of(answer, generator, time.process_time() - begin)


def _of(answer: Answer, generator: str, cpu_s: float) -> Judged:
    found = answer.judgement

    def switched(*left_out: str) -> str:
        return found.candidate if found.decided(without=left_out) is Decision.SWITCH else ""

    asked = [one.name for one in found.conditions if one.binding]
    means = {one.name: one.train_mean for one in found.standings if one.eligible}
    by_mean = max(means, key=lambda name: means[name]) if means else found.current
    passes = by_mean != found.current and not set(next(one.failed for one in found.standings if one.name == by_mean)) - {"spa", "interval"}
    planted_one = next((one for one in found.standings if one.name == PLANTED), None)
    return Judged(
        generator=generator, switched_to=switched(), without={name: switched(name) for name in asked},
        alone={name: switched(*(other for other in asked if other != name)) for name in asked},
        best_in_train=found.candidate if found.candidate != found.current else "", as_written=by_mean if passes else "",
        undecided=str(found.reason) if found.reason in UNDECIDED else "", trades={one.name: one.trades for one in found.standings},
        sharpe=planted_one.sharpe if planted_one else 0.0, gain_a_trade=planted_one.gain_a_trade if planted_one else 0.0, cpu_s=cpu_s,
    )  # fmt: skip


def run(worlds: Sequence[World], jobs: int) -> list[Judged]:
    """All worlds, on `jobs` processes, told about on stderr as they go."""
    found: list[Judged] = []
    begin = time.monotonic()
    for one in _each(worlds, jobs):
        found.append(one)
        if len(found) % 20 == 0 or len(found) == len(worlds):
            switched = sum(bool(one.switched_to) for one in found)
            print(
                f"{len(found)} of {len(worlds)} worlds, {switched} switches, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True
            )
    return found


def _each(worlds: Sequence[World], jobs: int) -> Iterator[Judged]:
    if jobs == 1:
        yield from map(judged, worlds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(judged, worlds)


# --- figures -----------------------------------------------------------------------------------------------------------
def bound(hits: int, of: int, *, upper: bool) -> float:
    """One-sided 95 % bound of a share (Clopper and Pearson, Biometrika 26, 1934), by bisection on the binomial tail."""
    if hits == (of if upper else 0):
        return 1.0 if upper else 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        below = sum(comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(hits + upper))
        if (below > 0.05) if upper else (1 - below < 0.05):
            low = p
        else:
            high = p
    return high if upper else low


def tell_noise(found: Sequence[Judged]) -> list[str]:
    """Figures of worlds without an edge; what of them misses its goal."""
    n = len(found)
    false = sum(bool(one.switched_to or one.undecided) for one in found)
    high = bound(false, n, upper=True)
    figure("noise.worlds", n, "worlds")
    figure("noise.false_switch", false / n, "share")
    figure("noise.false_switch.low", bound(false, n, upper=False), "share")
    figure("noise.false_switch.high", high, "share")
    figure("noise.undecided", sum(bool(one.undecided) for one in found) / n, "share")
    for generator in sorted({one.generator for one in found}):
        some = [one for one in found if one.generator == generator]
        figure(f"noise.false_switch.{generator}", sum(bool(one.switched_to or one.undecided) for one in some) / len(some), "share")
    for mode in ("mitraillette", "sniper"):
        counts = [count for one in found for name, count in one.trades.items() if f"/{mode}/" in name]
        figure(f"noise.trades.{mode}", float(np.mean(counts)) if counts else 0.0, "trades")
    figure("noise.always_keep.false_switch", 0.0, "share")
    figure("noise.best_in_sample.false_switch", sum(bool(one.best_in_train) for one in found) / n, "share")
    figure("noise.as_written.false_switch", sum(bool(one.as_written) for one in found) / n, "share")
    for name, share in _by_condition([one.without for one in found], ""):
        figure(f"noise.without.{name}.false_switch", share, "share")
    for name, share in _by_condition([one.alone for one in found], ""):
        figure(f"noise.alone.{name}.false_switch", share, "share")
    figure("noise.cpu", max(one.cpu_s for one in found), "CPU-s")
    return [f"noise.false_switch.high {high:.3f} above {FALSE_MOST} over {n} worlds"] if n >= SURE and high > FALSE_MOST else []


def tell_power(found: Sequence[Judged], edge: float, days: int) -> float:
    """Figures of worlds with an edge; the share that was found."""
    n, name = len(found), f"noise.power.{edge:g}.{days}"
    power = sum(one.switched_to == PLANTED for one in found) / n
    figure(name, power, "share")
    figure(f"{name}.other", sum(one.switched_to not in ("", PLANTED) for one in found) / n, "share")
    figure(f"{name}.sharpe", float(np.mean([one.sharpe for one in found])), "a day")
    figure(f"{name}.gain_a_trade", float(np.mean([one.gain_a_trade for one in found])), "of the stake")
    figure(f"{name}.always_keep", 0.0, "share")
    figure(f"{name}.best_in_sample", sum(one.best_in_train == PLANTED for one in found) / n, "share")
    figure(f"{name}.as_written", sum(one.as_written == PLANTED for one in found) / n, "share")
    for condition, share in _by_condition([one.without for one in found], PLANTED):
        figure(f"{name}.without.{condition}", share, "share")
    return power


def _by_condition(switched: Sequence[dict[str, str]], wanted: str) -> list[tuple[str, float]]:
    """Each condition, and the share of worlds that switch (to `wanted`, or at all) with it left out, or alone."""
    names = sorted({name for one in switched for name in one})
    share = {name: [one.get(name, "") for one in switched] for name in names}
    return [(name, sum(to == wanted if wanted else bool(to) for to in share[name]) / len(switched)) for name in names]


# --- what to run -------------------------------------------------------------------------------------------------------
def table(count: int, seed: int, pairs: int, jobs: int) -> list[str]:
    """Every edge and length; what is not monotone or too weak."""
    power = {}
    for days in DAYS:
        for edge in EDGES:
            worlds = [World(seed=seed, number=k, days=days, pairs=pairs, edge=edge) for k in range(count)]
            power[edge, days] = tell_power(run(worlds, jobs), edge, days)
    slack = 1 / count  # one world
    wrong = [f"power at {e} and {d} days below that of a smaller edge" for d in DAYS for e, f in zip(EDGES[1:], EDGES, strict=False)
             if power[e, d] < power[f, d] - slack]  # fmt: skip
    wrong += [f"power at {e} and {d} days below that of fewer days" for e in EDGES for d, f in zip(DAYS[1:], DAYS, strict=False)
              if power[e, d] < power[e, f] - slack]  # fmt: skip
    found = [edge for edge in EDGES if power[edge, 112] >= POWER_LEAST]
    figure("noise.smallest_edge", found[0] if found else float("inf"), "a day")
    return wrong + ([f"power {power[0.6, 112]} at 0.6 and 112 days, {POWER_LEAST} wanted"] if power[0.6, 112] < POWER_LEAST else [])


def quick(seed: int, jobs: int) -> list[str]:
    """The reduced edition: small worlds, the same functions."""
    noise = run([World(seed=seed, number=k, days=56, pairs=12) for k in range(40)], jobs)
    tell_noise(noise)
    edge = run([World(seed=seed, number=k, days=112, pairs=12, edge=0.8) for k in range(10)], jobs)
    power = tell_power(edge, 0.8, 112)
    wrong = [
        f"{one.generator}: switched to {one.switched_to or one.undecided} on noise" for one in noise if one.switched_to or one.undecided
    ]
    return wrong + ([f"only {power:.0%} of the planted edges were found"] if power < POWER_LEAST else [])


def calibrate(seed: int, pairs: int, worlds: int) -> None:
    """The curve: mean daily Sharpe of the planted strategy over long worlds, by drift."""
    strategy = next(one for one in SIX if one.name == PLANTED)
    for drift, _ in CURVE:
        sharpes = []
        for k in range(worlds):
            shape = GENERATORS[GARCH](np.random.default_rng([seed, k, 1]), pairs, (WARM_DAYS + 240) * BARS)
            columns = candles_of(planted(shape, strategy, drift))
            run_ = Candles.of({pair: Bars(one, warmup="short") for pair, one in columns.items()}, SIX, names_of(1)[0]).run(strategy)
            returns = run_.returns[WARM_DAYS:]
            sharpes.append(float(returns.mean() / returns.std()))
        figure(f"noise.calibrate.{drift:g}", float(np.mean(sharpes)), "a day")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=whole())
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--days", type=whole(), default=112, help="of test blocks")
    parser.add_argument("--edge", type=above(or_equal=True), default=0.0, help="daily Sharpe ratio of the planted strategy, net of costs")
    parser.add_argument("--pairs", type=whole(), default=24)
    parser.add_argument("--jobs", type=whole(), default=1)
    kind = parser.add_mutually_exclusive_group()
    for name in ("table", "quick", "calibrate"):
        kind.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args(arguments)
    if (
        asked.days < 56
        or asked.pairs < 5
        or asked.jobs < 1
        or not 0 <= asked.edge <= CURVE[-1][1]
        or (asked.worlds is not None and asked.worlds < 1)
    ):
        parser.error(f"--days from 56, --pairs from 5, --jobs and --worlds from 1, --edge from 0 to {CURVE[-1][1]}")
    for missing in sorted(set(GENERATORS) - set(generators())):
        print(f"noise: no worlds from generator {missing}: it needs the recorded candles in ../shared/data", file=sys.stderr)
    problems: list[str] = []
    if asked.calibrate:
        calibrate(asked.seed, asked.pairs, asked.worlds or 8)
    elif asked.quick:
        problems = quick(asked.seed, asked.jobs)
    elif asked.table:
        problems = table(asked.worlds or 40, asked.seed, asked.pairs, asked.jobs)
    else:
        count = asked.worlds or (40 if asked.edge else SURE)
        found = run(
            [World(seed=asked.seed, number=k, days=asked.days, pairs=asked.pairs, edge=asked.edge) for k in range(count)], asked.jobs
        )
        if asked.edge:
            tell_power(found, asked.edge, asked.days)
        else:
            problems = tell_noise(found)
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
