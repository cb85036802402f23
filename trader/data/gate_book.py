"""What the catalog remembers of the gate: results per pair and range, repairs that warnings ask for, what a person accepted.

A repair is one range of one pair and timeframe that should be fetched again. It ends with the next commit that brings the
range: *repaired* when the warning is gone, *confirmed* when the source says the same again; then nobody asks a third time.
Source: DATA.md section 5, "Reaction per pair".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from trader.data.catalog import Catalog
from trader.data.judged import Failure, GateResult, Verdict
from trader.data.quality import prepare, spans
from trader.data.rules import PLAUSIBLE, Severity, row_rules
from trader.domain.market import Timeframe

MOST_REPAIRS: Final = 50
"""Ranges one rule may queue for a pair and batch; more are one range from the first to the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Candles of a pair opening in [start_us, end_us) that a warning asks to fetch again."""

    tf: Timeframe
    pair: str
    start_us: int
    end_us: int
    expectation: str
    detail: str
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """The gate's result on one pair's rows of one batch; `failures` empty = passed. Times in microseconds."""

    batch_id: str
    tf: str
    pair: str
    start_us: int
    end_us: int
    rows: int
    judged_us: int
    engine: str
    suite_version: str
    failures: tuple[Failure, ...]


# --- results -----------------------------------------------------------------------------------------------------------
def results_json(rows: pl.DataFrame, timeframe: Timeframe, gate: GateResult) -> str:
    """What a batch's record keeps of the gate: engine, and per pair rows, range and failures."""
    verdicts = gate.of(timeframe)
    time = pl.col("time").to_physical()
    named = rows.group_by(pl.col("pair").fill_null(""), maintain_order=True).agg(low=time.min(), high=time.max(), count=pl.len())
    judged = {
        pair: {
            "rows": count, "start_us": low, "end_us": None if high is None else high + timeframe.us,
            "failures": [[f.expectation, str(f.severity), f.rows, f.detail] for f in verdicts[pair].failures],
        }
        for pair, low, high, count in named.iter_rows()
        if pair in verdicts
    }  # fmt: skip
    return json.dumps({"engine": gate.engine, "tf": str(timeframe), "judged": judged}, sort_keys=True)


def gate_results(catalog: Catalog, pair: str, since_us: int, until_us: int) -> list[PairResult]:
    """Every recorded result on rows of a pair that open in [since, until), oldest judgement first."""
    found = catalog.rows(
        "SELECT batch_id, fetched_us, suite_version, json_extract(gate_json, '$.engine'), json_extract(gate_json, '$.tf'), value"
        " FROM batch, json_each(gate_json, '$.judged') WHERE key = ? ORDER BY fetched_us, batch_id",
        (pair,),
    )
    out = []
    for batch_id, at_us, version, engine, tf, text in found:
        told: Mapping[str, Any] = json.loads(text)
        start, end = told["start_us"] or 0, told["end_us"] or 0
        if start < until_us and since_us < end:
            failures = tuple(Failure(expectation=f[0], severity=Severity(f[1]), rows=f[2], detail=f[3]) for f in told["failures"])
            out.append(PairResult(
                batch_id=batch_id, tf=tf, pair=pair, start_us=start, end_us=end, rows=told["rows"], judged_us=at_us, engine=engine,
                suite_version=version, failures=failures,
            ))  # fmt: skip
    return out


# --- repairs -----------------------------------------------------------------------------------------------------------
def wanted(rows: pl.DataFrame, timeframe: Timeframe, verdicts: Iterable[Verdict], now_us: int, *, holes: bool = True) -> list[Repair]:
    """The repairs that the warnings of a batch ask for; `holes` False: its source leaves out candles without trades."""
    rules = {rule.name: rule for rule in row_rules(timeframe) if rule.severity is Severity.WARNING}
    out: list[Repair] = []
    for verdict in verdicts:
        if not verdict.warnings or not verdict.pair:
            continue
        prepared = prepare(rows.filter(pl.col("pair") == verdict.pair), timeframe, now_us)
        for failure in verdict.warnings:
            rule = rules[failure.expectation]
            if rule.columns == ("step_s",) and not holes:
                continue
            ranges = spans(prepared, timeframe, rule)
            if len(ranges) > MOST_REPAIRS:
                ranges = [(ranges[0][0], ranges[-1][1])]
            out.extend(
                Repair(tf=timeframe, pair=verdict.pair, start_us=low, end_us=high, expectation=failure.expectation,
                       detail=failure.detail, since_us=now_us)
                for low, high in ranges
            )  # fmt: skip
    return out


def queue(catalog: Catalog, repairs: Sequence[Repair], *, market: str) -> None:
    """Inside `catalog.write()`: remember repairs; one that was asked for before is not asked for again."""
    catalog.run(
        "INSERT INTO repair (market, tf, pair, start_us, end_us, expectation, detail, since_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [(market, str(r.tf), r.pair, r.start_us, r.end_us, r.expectation, r.detail, r.since_us) for r in repairs],
    )


def settle(
    catalog: Catalog, tf: Timeframe, fetched: Mapping[str, tuple[int, int]], again: Sequence[Repair], *, at_us: int, market: str
) -> None:
    """Inside `catalog.write()`, before `queue`: end open repairs in the ranges just fetched per pair.

    `again`: what the new rows ask for; a repair among them is confirmed, its source says the same.
    """
    same = {(r.pair, r.start_us, r.end_us, r.expectation) for r in again}
    done = []
    for r in open_repairs(catalog, market):
        low, high = fetched.get(r.pair, (0, 0))
        if r.tf is tf and low <= r.start_us and r.end_us <= high:
            key = (r.pair, r.start_us, r.end_us, r.expectation)
            done.append((at_us, "confirmed" if key in same else "repaired", market, str(tf), *key))
    catalog.run(
        "UPDATE repair SET done_us = ?, outcome = ? WHERE market = ? AND tf = ? AND pair = ? AND start_us = ? AND end_us = ?"
        " AND expectation = ?",
        done,
    )


def open_repairs(catalog: Catalog, market: str) -> list[Repair]:
    """Repairs that wait for the ingest flow, oldest first."""
    found = catalog.rows(
        "SELECT tf, pair, start_us, end_us, expectation, detail, since_us FROM repair WHERE market = ? AND done_us IS NULL"
        " ORDER BY since_us, pair, tf, start_us",
        (market,),
    )
    return [Repair(tf=Timeframe(r[0]), pair=r[1], start_us=r[2], end_us=r[3], expectation=r[4], detail=r[5], since_us=r[6]) for r in found]


# --- people ------------------------------------------------------------------------------------------------------------
def clear_by(catalog: Catalog, market: str, pair: str, *, by: str, reason: str, now_us: int) -> None:
    """Inside `catalog.write()`: end every open block of a pair in a person's name."""
    catalog.run(
        "UPDATE pair_block SET cleared_us = ?, cleared_by = ?, cleared_reason = ? WHERE market = ? AND pair = ? AND cleared_us IS NULL",
        [(now_us, by, reason, market, pair)],
    )


def accepted(catalog: Catalog, market: str, tf: Timeframe) -> frozenset[tuple[str, str, str]]:
    """Pair, expectation and detail of failures that a person accepted: implausible candles that really happened.

    Only of rules about what is unlikely (`PLAUSIBLE`); a negative price stays refused whoever clears its block.
    """
    found = catalog.rows(
        "SELECT pair, expectation, detail FROM pair_block WHERE market = ? AND tf = ? AND cleared_by IS NOT NULL", (market, str(tf))
    )
    return frozenset((pair, expectation, detail) for pair, expectation, detail in found if expectation in PLAUSIBLE)


def less(verdict: Verdict, known: frozenset[tuple[str, str, str]]) -> Verdict:
    """A verdict without the failures that a person accepted in these very words."""
    kept = tuple(f for f in verdict.failures if (verdict.pair, f.expectation, f"{verdict.timeframe} {f.detail}") not in known)
    return verdict if len(kept) == len(verdict.failures) else replace(verdict, failures=kept)
