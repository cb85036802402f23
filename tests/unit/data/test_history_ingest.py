"""Ingestion: what is asked for, what a bad pair costs, and how a cut run goes on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import candle_kit as kit
import pytest

from trader.data import ingest, tails
from trader.data.history import HistoryStore
from trader.data.ingest import IngestReport
from trader.data.intake import Intake, gates
from trader.data.judged import GateResult
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.errors import FatalError, RejectedError, RetryableError

M1, M15, H4 = Timeframe.M1, Timeframe.M15, Timeframe.H4
NOW = kit.EPOCH + 90 * 86_400_000_000
NEEDS = {M15: 50, H4: 20}


class Venue:
    """A network peer that serves the newest 719 closed candles, whatever it is asked for, and fails as told."""

    def __init__(self, now_us: int = NOW) -> None:
        self.now_us, self.calls = now_us, 0
        self.failures: dict[str, list[Exception]] = {}
        self.spoil: dict[tuple[str, Timeframe], dict[str, float]] = {}
        self.rows = 719

    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        self.calls += 1
        await asyncio.sleep(0)
        if queue := self.failures.get(pair):
            raise queue.pop(0)
        end = timeframe.floor(self.now_us)
        candles = kit.series(pair, 719, tf=timeframe, start=end - 719 * timeframe.us)[-self.rows :]
        if values := self.spoil.get((pair, timeframe)):
            candles[5] = replace(candles[5], **values)
        return candles


def run(store: HistoryStore, venue: Venue, names: list[str], timeframes: Sequence[Timeframe] = (M15, H4)) -> IngestReport:
    """One ingestion judged by the Polars engine, tails included."""
    plan = ingest.plan(store, names, timeframes, venue.now_us)
    batch = asyncio.run(ingest.fetch(plan, venue))  # type: ignore[arg-type]
    report = ingest.commit(store, batch, ingest.judge_staged(batch), venue.now_us)
    store.put_tails(tails.check_tails(ingest.tails_of(store, names, NEEDS, venue.now_us)), venue.now_us)
    return report


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "history")


def test_plan_keeps_the_order_of_pairs_and_puts_the_deciding_timeframes_first(store: HistoryStore) -> None:
    plan = ingest.plan(store, ["B/EUR", "A/EUR"], (M1, H4, M15), NOW)
    assert [(r.pair, str(r.timeframe)) for r in plan.requests] == [(p, t) for t in ("15m", "4h", "1m") for p in ("B/EUR", "A/EUR")]
    assert plan.requests[0].until_us - plan.requests[0].since_us == 719 * M15.us
    assert plan.seconds == pytest.approx(6 * 1.2)


def test_ingested_pairs_are_ready_and_asked_no_more(store: HistoryStore) -> None:
    report = run(store, Venue(), kit.pairs(3))
    assert (report.calls, report.rows, report.added, report.errors, report.quarantined) == (6, 6 * 719, 6 * 719, {}, {})
    assert ingest.plan(store, kit.pairs(3), (M15, H4), NOW).requests == ()
    assert {p: g.reason for p, g in gates(store, (M15, H4), NOW).items()} == dict.fromkeys(kit.pairs(3), "")
    assert store.snapshot(tf=M15).scan().collect().height == 3 * 719
    later = ingest.plan(store, kit.pairs(3), (M15, H4), NOW + M15.us)
    assert [(r.pair, r.timeframe, r.since_us) for r in later.requests] == [(p, M15, NOW) for p in kit.pairs(3)]


def test_one_bad_candle_blocks_one_pair_until_a_fetch_passes(store: HistoryStore) -> None:
    venue = Venue()
    venue.spoil["P001/EUR", M15] = {"low": -1.0}
    report = run(store, venue, kit.pairs(3))
    assert list(report.quarantined) == ["P001/EUR 15m"]
    words = gates(store, (M15, H4), NOW)
    assert words["P001/EUR"].reason == "expect_column_values_to_be_between(low)" and "low=-1" in words["P001/EUR"].detail
    assert words["P000/EUR"].reason == words["P002/EUR"].reason == ""
    assert sorted(store.snapshot(tf=M15).scan().collect()["pair"].unique().to_list()) == ["P000/EUR", "P002/EUR"]
    assert [c.state for c in store.catalog.coverage("spot", M15)["P001/EUR"]] == ["quarantined"]
    assert len(list((store.directory / "quarantine").iterdir())) == 1

    venue.spoil.clear()
    again = run(store, venue, kit.pairs(3))
    assert (again.calls, again.rows) == (1, 719)
    assert {p: g.reason for p, g in gates(store, (M15, H4), NOW).items()} == dict.fromkeys(kit.pairs(3), "")
    assert [c.state for c in store.catalog.coverage("spot", M15)["P001/EUR"]] == ["fetched"]


def test_rows_served_in_the_wrong_order_reach_the_gate_as_served(store: HistoryStore) -> None:
    class Shuffled(Venue):
        async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
            rows = list(await super().history(pair, timeframe, since_us))
            return rows if pair != "P000/EUR" else [rows[1], rows[0], *rows[2:]]

    report = run(store, Shuffled(), kit.pairs(2), (M15,))
    assert report.quarantined["P000/EUR 15m"].startswith("expect_column_values_to_be_between(step_s)")
    assert list(report.quarantined) == ["P000/EUR 15m"]


def test_failing_pairs_are_named_and_the_others_go_on(store: HistoryStore) -> None:
    venue = Venue()
    venue.failures = {
        "P000/EUR": [RetryableError("busy", retry_after_s=0.001)], "P001/EUR": [RejectedError("EQuery:Unknown asset pair")] * 2,
        "P002/EUR": [RetryableError("down", retry_after_s=0.001)] * 3,
    }  # fmt: skip
    seen: list[tuple[int, int, str]] = []
    plan = ingest.plan(store, kit.pairs(4), (M15,), NOW)
    batch = asyncio.run(ingest.fetch(plan, venue, progress=lambda *words: seen.append(words)))  # type: ignore[arg-type]
    report = ingest.commit(store, batch, ingest.judge_staged(batch), NOW)
    assert report.errors == {"P001/EUR 15m": "RejectedError: EQuery:Unknown asset pair", "P002/EUR 15m": "RetryableError: down"}
    assert report.rows == 2 * 719
    assert [s[:2] for s in seen] == [(i, 4) for i in (1, 2, 3, 4)]
    venue.failures = {"P003/EUR": [FatalError("key revoked")]}
    with pytest.raises(FatalError):
        asyncio.run(ingest.fetch(ingest.plan(store, ["P003/EUR"], (H4,), NOW), venue))  # type: ignore[arg-type]


def test_a_run_cut_after_one_chunk_continues_with_the_rest(store: HistoryStore) -> None:
    venue = Venue()
    first = ingest.plan(store, kit.pairs(5), (M15,), NOW).chunks(2)[0]
    batch = asyncio.run(ingest.fetch(first, venue))  # type: ignore[arg-type]
    ingest.commit(store, batch, ingest.judge_staged(batch), NOW)
    store.close()
    reopened = HistoryStore(store.directory)
    assert [r.pair for r in ingest.plan(reopened, kit.pairs(5), (M15,), NOW).requests] == kit.pairs(5)[2:]
    assert len(reopened.catalog.rows("SELECT * FROM cursor")) == 2


def test_history_shorter_than_asked_is_unavailable_before_its_first_row(store: HistoryStore) -> None:
    venue = Venue()
    venue.rows = 30  # listed a short while ago
    run(store, venue, ["NEW/EUR"])
    first = NOW - 30 * M15.us
    assert [(c.state, c.end_us) for c in store.catalog.coverage("spot", M15)["NEW/EUR"]] == [("unavailable", first), ("fetched", NOW)]
    assert ingest.plan(store, ["NEW/EUR"], (M15, H4), NOW).requests == ()
    word = gates(store, (M15, H4), NOW)["NEW/EUR"]
    assert word.reason == "expect_column_values_to_be_between(missing)" and "missing=20" in word.detail


def test_tail_verdicts_are_good_for_two_hours_of_exchange_time(store: HistoryStore) -> None:
    run(store, Venue(), kit.pairs(2))
    assert len(gates(store, (M15, H4), NOW + 7_199_000_000)) == 2
    assert gates(store, (M15, H4), NOW + 7_200_000_000) == {}
    assert gates(store, (M1, M15), NOW) == {}, "a timeframe nobody judged is not ready"


def test_rest_confirms_streamed_minutes_and_lifts_a_stream_block(store: HistoryStore) -> None:
    venue = Venue()
    end = M1.floor(NOW)
    good = kit.series("P000/EUR", 719, start=end - 719 * MINUTE)
    intake = Intake(store)
    intake.take(good[-10:-1], NOW)
    blocked = intake.take([replace(good[-1], close=math.nan)], NOW)
    assert [b.reason for b in blocked] == ["expect_column_values_to_not_be_null(close)"]
    store.flush(NOW)
    plan = ingest.plan(store, ["P000/EUR"], (M15,), NOW)
    assert [r.timeframe for r in plan.requests] == [M15, M1], "a blocked timeframe is asked again"
    run(store, venue, ["P000/EUR"])
    rows = store.snapshot(tf=M1).scan().collect()
    assert rows.height == 719 and rows["source"].unique().to_list() == [2]
    assert store.catalog.blocks("spot") == []


def test_a_refused_or_unjudged_batch_is_not_committed(store: HistoryStore) -> None:
    batch = asyncio.run(ingest.fetch(ingest.plan(store, kit.pairs(2), (M15,), NOW), Venue()))  # type: ignore[arg-type]
    good = ingest.judge_staged(batch)
    with pytest.raises(RejectedError, match="refused the batch"):
        ingest.commit(store, batch, GateResult(engine="x", suite_version="", verdicts=(), refused="columns"), NOW)
    with pytest.raises(RejectedError, match="P001/EUR 15m: in the batch"):
        ingest.commit(store, batch, GateResult(engine="x", suite_version="", verdicts=good.verdicts[:1]), NOW)
    assert store.catalog.parts("spot", M15) == []
