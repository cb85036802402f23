"""The newest stored candles of each pair, summarised to one row and judged: whether a pair may trade now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from trader.data.judged import GateResult, Verdict
from trader.data.quality import judge
from trader.data.rules import TAIL_RULES, suite_version
from trader.domain.market import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The newest stored candles of a pair: `rows` of the last LOOKBACK, holes among them, open time of the newest (us)."""

    timeframe: Timeframe
    pair: str
    rows: int
    gaps: int
    newest_us: int | None


def tail_frame(tails: Iterable[Tail], lookbacks: Mapping[Timeframe, int], now_us: int) -> pl.DataFrame:
    """One row a pair and timeframe with the counts TAIL_RULES speak of: summarise, then assert."""
    rows = [
        (
            str(t.timeframe), t.pair, t.newest_us, max(0, lookbacks[t.timeframe] - t.rows), t.gaps,
            float("inf") if t.newest_us is None else (t.timeframe.floor(now_us) - t.newest_us) / t.timeframe.us - 1,
        )
        for t in tails
    ]  # fmt: skip
    schema = {"tf": pl.String, "pair": pl.String, "time": pl.Int64, "missing": pl.Int64, "gaps": pl.Int64, "age_bars": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


def check_tails(frame: pl.DataFrame) -> GateResult:
    """Judge a tail frame with Polars; every timeframe in it."""
    verdicts: list[Verdict] = []
    for (tf,), rows in frame.group_by("tf", maintain_order=True):
        verdicts.extend(judge(rows, Timeframe(tf), TAIL_RULES))
    return GateResult(engine="polars", suite_version=suite_version(), verdicts=tuple(verdicts))
