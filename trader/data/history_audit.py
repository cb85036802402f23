"""The nightly audit of everything stored: summarise, then assert.

One Polars pass counts, per pair and timeframe, the rows that break each rule of the table; the rules on those counts are judged by
either engine and report under the name of the rule they count for. What is critical is then set aside and blocks its pair, what
warns queues a repair. Source: DATA.md section 5, "Nightly audit".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import polars as pl

from trader.data import gate_book
from trader.data.agreement import cross
from trader.data.catalog import Batch
from trader.data.history import CLIENT, HistoryStore
from trader.data.judged import GateResult, Verdict
from trader.data.parts import TIME
from trader.data.quality import broken, judge, prepare, spans
from trader.data.resample import SHORTER
from trader.data.rules import PLAUSIBLE, Severity, count_column, row_rules, suite_version, summary_rules
from trader.domain.market import MINUTE, Timeframe

ROWS_AT_ONCE: Final = 2_000_000
"""About 250 MB: pairs are audited in groups of this many rows, so that years of minutes fit any machine."""
SETTLED_US: Final = 15 * MINUTE
"""Rows and coverage are compared up to this long ago: what a session appends meanwhile would be in one and not in the other."""
Frames = Mapping[Timeframe, pl.DataFrame]
Now = Callable[[], int]
"""The exchange's time in microseconds. It is asked after rows were read: a candle that came while the audit ran is no candle of
the future."""


def summarise(store: HistoryStore, now: Now, *, since_us: int | None = None) -> pl.DataFrame:
    """One row a timeframe and pair: its newest row's time, rows, rows that break each rule, rows that coverage lacks."""
    names = [count_column(rule) for rule in row_rules(Timeframe.M1)]
    schema: dict[str, pl.DataType] = {"tf": pl.String(), "pair": pl.String(), "time": TIME, "rows": pl.Int64()}
    found = [pl.DataFrame(schema=schema | dict.fromkeys((*names, "lacking"), pl.Int64()))]
    for frames in _groups(store, since_us):
        now_us = now()
        settled_us = now_us - SETTLED_US
        for timeframe, rows in frames.items():
            prepared = _prepared(store, frames, timeframe, rows, now_us)
            settled = (pl.col("time").to_physical() < settled_us).sum()
            counts = prepared.group_by("pair", maintain_order=True).agg(
                pl.col("time").max(), rows=pl.len(), settled=settled, **{count_column(r): broken(r).sum() for r in row_rules(timeframe)}
            )
            promised = _promised(store, timeframe, rows["pair"].unique().to_list(), since_us, settled_us)
            lacking = pl.col("pair").replace_strict(promised, default=0, return_dtype=pl.Int64) - pl.col("settled")
            found.append(counts.with_columns(tf=pl.lit(str(timeframe)), lacking=lacking.cast(pl.Int64)).select(
                pl.col(name).cast(kind) for name, kind in found[0].schema.items()
            ))  # fmt: skip
    return pl.concat(found)


def check_summary(summary: pl.DataFrame) -> GateResult:
    """Judge the counts with Polars; `tasks.quality_gate` does the same with Great Expectations."""
    verdicts: list[Verdict] = []
    for (tf,), rows in summary.group_by("tf", maintain_order=True):
        verdicts.extend(judge(rows, Timeframe(str(tf)), summary_rules(Timeframe(str(tf)))))
    return GateResult(engine="polars", suite_version=suite_version(), verdicts=tuple(verdicts))


def enforce(store: HistoryStore, result: GateResult, now: Now) -> list[Verdict]:
    """Set aside the rows behind each critical failure, block their pairs, queue repairs; returns the verdicts with the first
    bad row of each failure in words."""
    named: list[Verdict] = []
    failing = {(v.pair, v.timeframe) for v in result.verdicts if v.failures}
    for frames in _groups(store, None, sorted({pair for pair, _ in failing})):
        now_us = now()
        for timeframe, rows in frames.items():
            prepared = _prepared(store, frames, timeframe, rows, now_us)
            verdicts = [v for v in judge(prepared, timeframe, row_rules(timeframe)) if v.failures and (v.pair, timeframe) in failing]
            for verdict in verdicts:
                _set_aside(store, prepared.filter(pl.col("pair") == verdict.pair), verdict, now_us)
            with store.catalog.write():
                gate_book.queue(store.catalog, gate_book.wanted(prepared, timeframe, verdicts, now_us), market="spot")
            named.extend(verdicts)
    return named


def _set_aside(store: HistoryStore, prepared: pl.DataFrame, verdict: Verdict, now_us: int) -> None:
    """Each range of a pair's refused rows, one transaction a range."""
    critical = {f.expectation for f in verdict.failures if f.severity is Severity.CRITICAL}
    ranges = sorted({r for rule in row_rules(verdict.timeframe) if rule.name in critical for r in spans(prepared, verdict.timeframe, rule)})
    if len(ranges) > gate_book.MOST_REPAIRS:
        ranges = [(ranges[0][0], max(end for _, end in ranges))]
    for start, end in ranges:
        name = hashlib.sha256(f"audit|{verdict.timeframe}|{verdict.pair}|{start}|{end}|{now_us}".encode()).hexdigest()[:32]
        batch = Batch(
            batch_id=name, source="audit", client=CLIENT, requested=(start, end), received=None, rows=0, sha256="", fetched_us=now_us,
            suite_version=suite_version(), gate_json="{}",
        )  # fmt: skip
        store.set_aside(verdict, batch=batch, start_us=start, end_us=end)


def _prepared(store: HistoryStore, frames: Frames, timeframe: Timeframe, rows: pl.DataFrame, now_us: int) -> pl.DataFrame:
    """Stored rows with everything the rules speak of, less what a person accepted."""
    shorter = {s: frames[s] for s in SHORTER[timeframe] if s in frames}
    compared = rows.with_columns(cross=cross(rows, timeframe, shorter))
    prepared = prepare(compared, timeframe, now_us)
    for pair, expectation, detail in sorted(gate_book.accepted(store.catalog, "spot", timeframe)):
        column = expectation.partition("(")[2].rstrip(")")
        first = detail.partition("first ")[2].split(": ")[0]
        if expectation in PLAUSIBLE and first:
            here = (pl.col("pair") == pair) & (pl.col("time") == datetime.fromisoformat(first))
            prepared = prepared.with_columns(pl.when(here).then(None).otherwise(column).alias(column))
    return prepared


def _groups(store: HistoryStore, since_us: int | None, pairs: Sequence[str] | None = None) -> Iterator[dict[Timeframe, pl.DataFrame]]:
    """Stored rows by timeframe, in stored order, of a few pairs at a time."""
    names = list(store.pairs() if pairs is None else pairs)
    shots = {tf: store.snapshot(tf=tf, since=since_us, provisional=True) for tf in Timeframe}
    total = sum(part.rows for tf in Timeframe for part in store.catalog.parts("spot", tf, since_us))
    step = max(1, len(names) * ROWS_AT_ONCE // max(1, total))
    for at in range(0, len(names), step):
        some = pl.col("pair").is_in(names[at : at + step])
        frames = {tf: shot.scan().filter(some).collect() for tf, shot in shots.items() if shot.files}
        yield {tf: rows for tf, rows in frames.items() if len(rows)}


def _promised(store: HistoryStore, timeframe: Timeframe, pairs: Sequence[str], since_us: int | None, until_us: int) -> dict[str, int]:
    """Candles per pair opening from `since_us` on and before `until_us` that coverage calls fetched."""
    from_us = -(2**62) if since_us is None else -(-since_us // timeframe.us) * timeframe.us
    to_us = -(-until_us // timeframe.us) * timeframe.us
    return {
        pair: sum(max(0, min(c.end_us, to_us) - max(c.start_us, from_us)) // timeframe.us for c in known if c.state == "fetched")
        for pair, known in store.catalog.coverage("spot", timeframe, pairs).items()
    }
