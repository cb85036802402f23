"""What is stored of a past UTC day of the session: its rules, its candles, and the ledger's account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trader.bootstrap import wire
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.engine import exists
from trader.data.history import HistoryStore
from trader.data.reader import ALL, LedgerReader
from trader.data.reader_activity import DecisionView
from trader.data.resample import columns_by_pair
from trader.domain.market import DAY, MINUTE, Timeframe
from trader.domain.messages import TradeLeg, stamp
from trader.execution.asking import USED
from trader.ports import Columns

LEAD_US = 70 * MINUTE  # before the day: all pairs join, and the hourly rank of the universe is made where the session made it


class UnknownDayError(Exception):
    """A day that cannot be replayed, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What the ledger says of a day. `deferred`: decision id -> when it was last put off; `closes`: at which it decided;
    `beats_from_us`: since when the session that entered the day had counted its beats; `used`: what the verdict book said, row by row."""

    legs: Sequence[TradeLeg]
    decisions: Sequence[DecisionView]
    deferred: Mapping[str, int]
    closes: frozenset[int]
    controls: Sequence[str]
    beats_from_us: int | None
    used: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Candles of a day and of what warms up before it, and the digest of the files they came from."""

    minutes: Mapping[str, Columns]
    longer: Mapping[Timeframe, Mapping[str, Columns]]
    digest: str
    until_us: int
    lacking: int = 0


def day_name(day_us: int) -> str:
    """`2026-01-06` of the day that begins at `day_us`."""
    return datetime.fromtimestamp(day_us // 1_000_000, UTC).strftime("%Y-%m-%d")


def check_settings(settings: Settings, paths: Paths, day_us: int) -> None:
    """Raises UnknownDayError where no session ran, or one ran with other rules than those that hold now."""
    if not exists(paths.ledger_at) or not paths.world.exists():
        raise UnknownDayError("no session has run here")
    with closing(LedgerReader(paths.ledger_at)) as reader:
        started = reader.events_of(("system.started",), until_us=day_us + DAY)
    start_us = day_us - LEAD_US
    later = [event for event in started if event.time_us > start_us]
    before = [event for event in started if event.time_us <= start_us][-1:]
    if not before:
        began = stamp(started[0].time_us) if started else "never"
        raise UnknownDayError(f"the first session began {began}: a replay needs the books of the evening before")
    now = {"strategy": settings.strategy, "ai": settings.ai.mode, "settings": wire.rules_digest(settings)}
    for event in [*before, *later]:
        for key, value in now.items():
            if event.payload.get(key) != value:
                seen = event.payload.get(key, "not recorded")
                raise UnknownDayError(f"the session of {stamp(event.time_us)} ran with {key} {seen}, the settings now say {value}")


def read_candles(settings: Settings, paths: Paths, day_us: int) -> Stored:
    """The day's minutes and the longer candles before it; raises UnknownDayError where the store has none."""
    if not (paths.history / "catalog.sqlite").exists():
        raise UnknownDayError("there is no history store here")
    start_us = Timeframe.M15.floor(day_us - LEAD_US)
    store = HistoryStore(paths.history)
    try:
        minutes = _by_pair(store, Timeframe.M1, start_us, day_us + DAY, None)
        longer, digests = {}, [minutes[1]]
        for timeframe, need in lookbacks(settings).items():
            longer[timeframe], digest = _by_pair(store, timeframe, None, day_us + DAY, need + 400)
            digests.append(digest)
    finally:
        store.close()
    found = {pair: rows for pair, rows in minutes[0].items() if int(rows.time[0]) <= day_us - LEAD_US and pair in longer[Timeframe.M15]}
    if not found:
        raise UnknownDayError("the history store has no minutes of that day from its first on")
    end_us = min(day_us + DAY, Timeframe.M15.floor(max(int(rows.time[-1]) for rows in found.values()) + MINUTE))
    if end_us <= day_us:
        raise UnknownDayError(f"the stored minutes end at {stamp(end_us)}, before the day")
    want = (end_us - start_us) // MINUTE
    lacking = sum(max(0, want - int((rows.time < end_us).sum())) for rows in found.values())
    return Stored(minutes=found, longer=longer, digest="-".join(d[:12] for d in digests), until_us=end_us, lacking=lacking)


def _by_pair(
    store: HistoryStore, timeframe: Timeframe, since_us: int | None, until_us: int, periods: int | None
) -> tuple[dict[str, Columns], str]:
    snapshot = store.snapshot(tf=timeframe, since=since_us, until=until_us, provisional=True)
    frame = snapshot.window(None, periods or 2 * DAY // MINUTE)
    return dict(columns_by_pair(frame.sort("pair", "time"))), snapshot.digest


def read_traded(paths: Paths, day_us: int, until_us: int) -> Traded:
    """The ledger's own account of what closed and was decided from `day_us` to before `until_us`."""
    with closing(LedgerReader(paths.ledger_at)) as reader:
        legs = [leg for leg in reader.trades(limit=ALL, since_us=day_us) if leg.exit_us < until_us]
        decisions = [d for d in reader.decisions(limit=ALL, since_us=day_us) if d.close_us < until_us]
        bars = reader.events_of(("decisions",), since_us=day_us, until_us=until_us)
        controls = reader.events_of(("control.submitted",), since_us=day_us, until_us=until_us)
        said = reader.events_of((USED,), since_us=day_us, until_us=until_us)
        begun = reader.events_of(("system.started", "reconcile"), until_us=day_us)
    deferred = {name: bar.time_us for bar in bars for name, final, _ in bar.payload["kept"] if final == "DEFER"}
    start = max((place for place, event in enumerate(begun) if event.type == "system.started"), default=len(begun))
    return Traded(
        legs=legs, decisions=decisions, deferred=deferred, closes=frozenset(int(bar.payload["close_us"]) for bar in bars),
        controls=[f"{event.payload['verb']} by {event.payload['who']} at {stamp(event.time_us)}" for event in controls],
        used=[row for note in said for row in note.payload["rows"]],
        beats_from_us=next((event.time_us for event in begun[start:] if event.type == "reconcile"), None),
    )  # fmt: skip
