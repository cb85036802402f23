"""The verbs `trader data coverage|check|export|clear`, and the nightly audit: history as a person or a flow asks for it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import polars as pl

from trader.bootstrap.ingestion import gate
from trader.bootstrap.paths import Paths
from trader.bootstrap.state_time import now_of
from trader.bootstrap.world import moment
from trader.data import history_audit, parts
from trader.data.coverage import Coverage
from trader.data.history import HistoryStore
from trader.data.judged import GateResult, Verdict
from trader.domain.market import DAY, Timeframe
from trader.domain.messages import stamp
from trader.errors import ConfigError, CorruptError

CHECKED_DAYS: Final = 7
"""What `trader data check` looks at without --full, up to the newest stored candle."""
FORMATS: Final = (".csv", ".parquet")


@contextmanager
def opened(state: Path) -> Iterator[tuple[HistoryStore, int]]:
    """The history store of a state directory and the time there (microseconds). Raises ConfigError where there is none."""
    paths = Paths(state)
    if not (paths.history / "catalog.sqlite").exists():
        raise ConfigError(f"--state {state}: no history store in it; `trader up --env demo` or `trader ingest` makes one")
    store = HistoryStore(paths.history)
    try:
        yield store, now_of(paths)
    finally:
        store.close()


def timeframes_of(names: Sequence[str] | None) -> list[Timeframe]:
    """The timeframes named, all of them where none is. Raises ConfigError naming one that is unknown."""
    known = [str(timeframe) for timeframe in Timeframe]
    if unknown := [name for name in names or () if name not in known]:
        raise ConfigError(f"--timeframe {unknown[0]!r} is unknown; allowed: {', '.join(known)}")
    return [Timeframe(name) for name in names] if names else list(Timeframe)


def known_pair(store: HistoryStore, pair: str) -> str:
    """The pair itself. Raises ConfigError where the store has never seen it."""
    if pair not in (names := store.pairs()):
        raise ConfigError(f"pair {pair!r}: not in this history; known: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")
    return pair


# --- coverage ----------------------------------------------------------------------------------------------------------
def coverage(state: Path, pairs: Sequence[str] | None = None, timeframes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Per pair and timeframe: first and last candle, candles stored, candles missing between them and where, refused ones."""
    chosen = timeframes_of(timeframes)
    with opened(state) as (store, _):
        asked = [known_pair(store, pair) for pair in pairs] if pairs else None
        out = []
        for timeframe in chosen:
            for pair, known in sorted(store.catalog.coverage("spot", timeframe, asked).items()):
                out.append(_covered(pair, timeframe, known))
    return sorted(out, key=lambda row: row["pair"])


def _covered(pair: str, timeframe: Timeframe, known: Sequence[Coverage]) -> dict[str, Any]:
    fetched = [c for c in known if c.state == "fetched"]
    holes, at = [], None
    for item in fetched:
        if at is not None and item.start_us > at:
            holes.append({"from": stamp(at), "to": stamp(item.start_us), "bars": (item.start_us - at) // timeframe.us})
        at = item.end_us
    count = {state: sum(c.end_us - c.start_us for c in known if c.state == state) // timeframe.us for state in ("fetched", "quarantined")}
    return {
        "pair": pair, "timeframe": str(timeframe), "first": stamp(fetched[0].start_us) if fetched else None,
        "last": stamp(fetched[-1].end_us - timeframe.us) if fetched else None, "bars": count["fetched"],
        "missing": sum(hole["bars"] for hole in holes), "holes": holes, "quarantined": count["quarantined"],
        "sources": sorted({c.source for c in fetched}),
    }  # fmt: skip


# --- check -------------------------------------------------------------------------------------------------------------
def check(state: Path, *, full: bool = False) -> dict[str, Any]:
    """Judge what is stored and change nothing: the last days by the Polars engine; `full`: everything, every file's bytes, and
    the counts by Great Expectations in a process of its own."""
    with opened(state) as (store, now_us):
        damaged = _damaged(store) if full else []
        if damaged:
            return _checked(GateResult(engine="none", suite_version="", verdicts=()), full=full, rows=0, damaged=damaged)
        summary = history_audit.summarise(
            store, lambda: now_of(Paths(state)), since_us=None if full else _newest(store, now_us) - CHECKED_DAYS * DAY
        )
        return _checked(_judge(store, summary, full=full), full=full, rows=int(summary["rows"].sum()), damaged=[])


def audit(state: Path) -> dict[str, Any]:
    """The nightly audit: everything stored, judged by Great Expectations; what is critical is set aside and blocks its pair."""
    paths = Paths(state)
    with opened(state) as (store, _):
        summary = history_audit.summarise(store, lambda: now_of(paths))
        result = _judge(store, summary, full=True)
        named = history_audit.enforce(store, result, lambda: now_of(paths))
        return _checked(result, full=True, rows=int(summary["rows"].sum()), damaged=[], named=named)


def _newest(store: HistoryStore, now_us: int) -> int:
    """Where the stored candles end."""
    end = store.catalog.rows("SELECT max(end_us) FROM coverage WHERE state = 'fetched'")[0][0]
    return now_us if end is None else min(now_us, int(end))


def _judge(store: HistoryStore, summary: pl.DataFrame, *, full: bool) -> GateResult:
    if not full or summary.is_empty():
        return history_audit.check_summary(summary)
    return gate(store.directory, summary.write_parquet)


def _damaged(store: HistoryStore) -> list[str]:
    """Files whose bytes are not those that were written."""
    out = []
    for timeframe in Timeframe:
        for part in store.catalog.parts("spot", timeframe):
            try:
                parts.verify(store.folder / part.path, part.sha256)
            except CorruptError as error:
                out.append(str(error))
    return out


def _checked(
    result: GateResult, *, full: bool, rows: int, damaged: Sequence[str], named: Sequence[Verdict] | None = None
) -> dict[str, Any]:
    words = result.verdicts if named is None else named
    failures = [
        {"pair": v.pair, "timeframe": str(v.timeframe), "severity": str(f.severity), "expectation": f.expectation, "detail": f.detail}
        for v in words
        for f in v.failures
    ]
    critical = sum(f["severity"] == "critical" for f in failures) + bool(result.refused)
    return {
        "ok": not (critical or damaged), "full": full, "engine": result.engine, "series": len(result.verdicts), "rows": rows,
        "critical": critical, "warnings": sum(f["severity"] == "warning" for f in failures), "refused": result.refused,
        "damaged": list(damaged), "failures": failures,
    }  # fmt: skip


# --- export and clear --------------------------------------------------------------------------------------------------
def export(state: Path, pair: str, timeframe: str, target: Path, *, since: str | None, until: str | None, force: bool) -> dict[str, Any]:
    """Write a pair's candles opening in [since, until) to a new CSV or Parquet file, built from shorter ones where those are
    stored; what was written. Raises ConfigError for an unknown format, pair or timeframe, an existing file, an empty range."""
    if target.suffix not in FORMATS:
        raise ConfigError(f"{target}: the name must end in {' or '.join(FORMATS)}")
    if target.exists() and not force:
        raise ConfigError(f"{target}: exists already; add --force to replace it")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent}: no such directory")
    first = -(2**62) if since is None else moment(since, "--since")
    last = 2**62 if until is None else moment(until, "--until")
    (chosen,) = timeframes_of([timeframe])
    with opened(state) as (store, _):
        rows = store.get_history(known_pair(store, pair), chosen, periods=2**31)
    time = pl.col("time").to_physical()
    rows = rows.filter(time.is_between(first, last, closed="left"))
    if rows.is_empty():
        raise ConfigError(f"{pair} {timeframe}: no candle in this range; `trader data coverage --pair {pair}` shows what there is")
    scratch = target.with_name(f"{target.name}.part")
    if target.suffix == ".csv":
        rows.write_csv(scratch, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    else:
        rows.write_parquet(scratch)
    scratch.replace(target)
    ends = [stamp(int(rows["time"].to_physical()[at])) for at in (0, -1)]
    return {"file": str(target), "pair": pair, "timeframe": timeframe, "rows": len(rows), "first": ends[0], "last": ends[1]}


def clear(state: Path, pair: str, reason: str, *, by: str | None = None) -> dict[str, Any]:
    """End the gate's block of a pair in a person's name. Raises RejectedError where it is not blocked, or without a reason."""
    name = by or getpass.getuser()
    with opened(state) as (store, now_us):
        ended = store.clear(pair, by=name, reason=reason, now_us=now_us)
    return {
        "pair": pair, "by": name, "reason": reason,
        "cleared": [{"timeframe": b.tf, "expectation": b.expectation, "detail": b.detail, "since": stamp(b.since_us)} for b in ended],
    }  # fmt: skip
