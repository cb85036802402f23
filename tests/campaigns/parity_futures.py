"""The futures leg of parity: a session that goes long and short on the in-process futures venue against the compiled kernel.

    python -m tests.campaigns.parity_futures [--days 3] [--from 2024-08-20] [--pairs BTC ETH ...] [--least 10]
    python -m tests.campaigns.parity_futures --warmup short --data FILE   # another file

The recorded candles of core24 are shown as linear perpetuals. Every field of every exit leg must be equal, and what both were paid in
funding to the last digit; the session's ledger must never differ from its venue. Fewer than `--least` short legs prove nothing. Exit
code 1 then.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from tests.amounts import above, whole
from tests.campaigns.parity_legs import ALL, CORE
from trader.bootstrap.kernel_run import kernel_session
from trader.bootstrap.replay import Replayed, replay_session
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.domain.futures import FundingPayment, MarketKind
from trader.domain.market import Timeframe
from trader.domain.messages import stamp
from trader.domain.money import ZERO, add, plain
from trader.research.account import Pass
from trader.research.parity import Comparison, compare
from trader.strategy.columns import WARMUPS

M15 = Timeframe.M15
DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One strategy through both engines: their legs side by side, how many were short, and the funding payments that differ.

    `unreconciled`: differences that the session found between its ledger and the venue: orders, fills, cash after funding."""

    found: Comparison
    shorts: int
    payments: int
    unequal: tuple[str, ...]
    paid: Decimal
    unreconciled: int

    @property
    def differences(self) -> int:
        return len(self.found.differences) + len(self.unequal) + self.unreconciled

    def as_dict(self) -> dict[str, Any]:
        """Plain values, JSON-ready."""
        funding = {"payments": self.payments, "sum": plain(self.paid), "differing": list(self.unequal)}
        return {**self.found.as_dict(), "shorts": self.shorts, "funding": funding, "unreconciled": self.unreconciled}


def of_bases(source: Path, target: Path, bases: Sequence[str]) -> Path:
    """The candles of these bases alone, as a file; the source itself where none is named."""
    if not bases:
        return source
    pl.read_parquet(source).filter(pl.col("pair").str.split("/").list.first().is_in(list(bases))).write_parquet(target)
    return target


def kernel_beside(settings: Settings, world: World, replayed: Replayed, *, short: bool = False) -> Pass:
    """The kernel's account over the range that the session had; `short`: the warm-up of three periods."""
    return kernel_session(settings, world, end_us=M15.floor(replayed.ended_us), short=short, kind=MarketKind.FUTURES).found


def against(kernel: Pass, replayed: Replayed) -> Compared:
    """The kernel's account (left) beside the session's. Legs that closed in the bar in which the session ended are left out."""
    end = M15.floor(replayed.ended_us)
    ours = [line for line in replayed.lines if line.split(" ")[3] < stamp(end)]
    left, right = _by_bar(kernel.funding, end - M15.us), _by_bar(replayed.funding, end - M15.us)
    unequal = [
        f"{key}: {left.get(key, ZERO)} | {right.get(key, ZERO)}" for key in sorted({*left, *right}) if left.get(key) != right.get(key)
    ]
    return Compared(
        found=compare(kernel.lines(), ours), shorts=sum(line.split(" ")[1] == "short" for line in ours), payments=len(left),
        unequal=tuple(unequal), paid=add(ZERO, *left.values()), unreconciled=replayed.summary.differences,
    )  # fmt: skip


def _by_bar(payments: Sequence[FundingPayment], end_us: int) -> dict[tuple[str, str], Decimal]:
    """Payments by pair and the bar they fell into, as far as they came before the end: the session reads them at closes."""
    sums: dict[tuple[str, str], Decimal] = {}
    for one in payments:
        if one.time_us < end_us:
            key = (one.pair, stamp(M15.floor(one.time_us)))
            sums[key] = add(sums.get(key, ZERO), one.amount)
    return sums


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.parity_futures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=above(), default=3.0)
    parser.add_argument("--from", dest="start", default="2024-08-20")
    parser.add_argument("--strategies", nargs="+", default=["mitraillette/AGGRESSIVE"], choices=ALL, metavar="MODE/VARIATION")
    parser.add_argument("--pairs", nargs="*", default=[], metavar="BASE", help="bases to trade; none: all of the file")
    parser.add_argument("--warmup", default="exact", choices=WARMUPS, help="short: three periods, for files that begin too late")
    parser.add_argument("--leverage", type=whole(), default=1)
    parser.add_argument("--data", type=Path, default=CORE)
    parser.add_argument("--least", type=whole(), default=10, help="short legs compared in all, below which nothing is proved")
    asked = parser.parse_args(arguments)
    shorts, differing, short = 0, 0, asked.warmup == "short"
    with tempfile.TemporaryDirectory(prefix="trader-parity-") as folder:
        file = of_bases(asked.data, Path(folder) / "candles.parquet", asked.pairs)
        for name in asked.strategies:
            mode, variation = name.split("/")
            flags = {
                "ai.mode": "off",
                "mode": mode,
                "variation": variation,
                "futures.allow_short": True,
                "futures.leverage": asked.leverage,
            }
            settings = load(flags, environ={})
            world = world_of(settings, replay=file, start=asked.start)
            replayed = replay_session(settings, world, minutes=int(asked.days * DAY_MINUTES), short=short, kind=MarketKind.FUTURES)
            both = against(kernel_beside(settings, world, replayed, short=short), replayed)
            shorts, differing = shorts + both.shorts, differing + both.differences
            print(json.dumps({"strategy": name, **both.as_dict(), "cpu_s": replayed.cpu_s}), flush=True)
    enough = shorts >= asked.least
    print(f"{shorts} short legs compared, {differing} differences{'' if enough else f'; at least {asked.least} short legs are needed'}")
    return 0 if enough and not differing else 1


if __name__ == "__main__":
    sys.exit(main())
