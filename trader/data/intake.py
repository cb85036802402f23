"""The session's side of the gate inside the store's process: judging appended candles, and the gate's word per pair."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from trader.data import parts, quality, rules
from trader.data.catalog import Batch
from trader.data.history import CLIENT, HistoryStore, fingerprint
from trader.data.ingest import tails_of
from trader.data.judged import Verdict
from trader.data.parts import Source
from trader.data.tails import check_tails
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.ports import PairGate

REMEMBERED: Final = 64  # calls; a feed that reconnects repeats no more than that


class Intake:
    """Takes closed candles in and refuses what breaks a critical rule; remembers what it took last."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._last: dict[Timeframe, dict[str, Candle]] = {}
        self._recent: deque[Sequence[Candle]] = deque(maxlen=REMEMBERED)

    def take(self, candles: Sequence[Candle], now_us: int) -> list[PairGate]:
        """Store the good ones (source stream, provisional), quarantine the others; returns the pairs blocked by this call."""
        by_timeframe: dict[Timeframe, list[Candle]] = {}
        for candle in candles:
            by_timeframe.setdefault(candle.timeframe, []).append(candle)
        blocked: list[PairGate] = []
        for timeframe, rows in by_timeframe.items():
            blocked.extend(self._take(timeframe, rows, now_us))
        return blocked

    def _take(self, timeframe: Timeframe, candles: list[Candle], now_us: int) -> list[PairGate]:
        last = self._last.setdefault(timeframe, {})
        refused: list[Verdict] = []
        if not (self._in_order(candles, last) and quality.plainly_good(candles, timeframe, now_us)):
            candles, refused = self._sift(timeframe, candles, now_us)
        last.update((c.pair, c) for c in candles)
        self._recent.append(candles)
        self._store.append(candles, timeframe, now_us)
        return [
            PairGate(pair=v.pair, reason=worst.expectation, detail=f"{timeframe} {worst.detail}") for v in refused if (worst := v.critical)
        ]

    def _in_order(self, candles: Sequence[Candle], last: dict[str, Candle]) -> bool:
        """Whether each candle comes after its pair's last one, and at no price that needs a closer look."""
        return all(
            (known := last.get(c.pair)) is None
            or (c.time_us > known.time_us and c.close < quality.SPIKE * known.close and known.close < quality.SPIKE * c.close)
            for c in candles
        )

    def _sift(self, timeframe: Timeframe, candles: Sequence[Candle], now_us: int) -> tuple[list[Candle], list[Verdict]]:
        """Candles to store, and the verdicts on pairs refused: the whole rule table, over repeats taken away.

        Each pair's newest accepted candle goes in front, so that order over calls is judged, too.
        """
        taken = {(c.pair, c.time_us): c for batch in self._recent for c in batch if c.timeframe is timeframe}
        fresh = [c for c in dict.fromkeys(candles) if taken.get((c.pair, c.time_us)) != c]
        last = self._last[timeframe]
        before = [last[pair] for pair in dict.fromkeys(c.pair for c in fresh) if pair in last]
        judged = parts.frame_of([*before, *fresh], Source.STREAM)
        refused = [v for v in quality.check(judged, timeframe, now_us).verdicts if v.critical is not None] if fresh else []
        bad = [v.pair for v in refused]
        if refused:
            self._refuse([c for c in fresh if c.pair in bad], refused, timeframe, now_us)
        return [c for c in fresh if c.pair not in bad], refused

    def _refuse(self, candles: Sequence[Candle], verdicts: Sequence[Verdict], timeframe: Timeframe, now_us: int) -> None:
        rows = parts.frame_of(candles, Source.STREAM)
        digest = fingerprint(rows)
        batch = Batch(
            batch_id=f"stream-{timeframe}-{digest[:16]}", source=Source.STREAM.label, client=CLIENT, requested=(now_us, now_us),
            received=None, rows=len(rows), sha256=digest, fetched_us=now_us, suite_version=rules.suite_version(), gate_json="{}",
        )  # fmt: skip
        self._store.quarantine(rows, verdicts, batch=batch, now_us=now_us)


RENEW_US, RETRY_US = 60 * MINUTE, 5 * MINUTE
"""Tail verdicts are renewed every hour; those of a pair that fails sooner, so that once repaired it trades again soon."""


@lru_cache(maxsize=1024)
def _word(text: str) -> tuple[str, str]:
    """Reason and detail of a stored tail verdict; nearly all are the same few texts."""
    word = json.loads(text)
    return word["reason"], word.get("detail", "")


def renewed_tails(store: HistoryStore, needs: Mapping[Timeframe, int], now_us: int) -> Sequence[tuple[str, str, str, int]]:
    """The verdicts on every pair's tail, judged again where the last judgement is too old; by the Polars form of the rules."""
    tails = store.catalog.tails("spot")
    oldest = min((checked_us for _, _, _, checked_us in tails), default=None)
    if oldest is None or now_us - oldest >= RENEW_US:
        pairs = store.pairs()
    else:
        pairs = sorted({pair for _, pair, text, checked_us in tails if now_us - checked_us >= RETRY_US and _word(text)[0]})
    if not pairs:
        return tails
    store.put_tails(check_tails(tails_of(store, pairs, needs, now_us)), now_us)
    return store.catalog.tails("spot")


def gates(
    store: HistoryStore, timeframes: Sequence[Timeframe], now_us: int, needs: Mapping[Timeframe, int] | None = None
) -> dict[str, PairGate]:
    """The gate's word per pair: an open block, else its tail verdicts when every timeframe has a fresh one (< 2 h).

    A pair with neither is absent, which means not ready. With `needs` (candles a pair must have) old tail verdicts are
    renewed first.
    """
    tails = renewed_tails(store, needs, now_us) if needs else store.catalog.tails("spot")
    out = {b.pair: PairGate(pair=b.pair, reason=b.expectation, detail=b.detail) for b in reversed(store.catalog.blocks("spot"))}
    fresh: dict[str, dict[str, tuple[str, str]]] = {}
    for tf, pair, text, checked_us in tails:
        if now_us - checked_us < rules.TAIL_FRESH_US:
            fresh.setdefault(pair, {})[tf] = _word(text)
    for pair, words in fresh.items():
        if pair not in out and all(t in words for t in timeframes):
            reason, detail = next((words[t] for t in timeframes if words[t][0]), ("", ""))
            out[pair] = PairGate(pair=pair, reason=reason, detail=detail)
    return out


class Gates:
    """What `gates` says to one session: the last words again until the catalog is written or a tail verdict is due."""

    def __init__(self, store: HistoryStore, timeframes: Sequence[Timeframe], needs: Mapping[Timeframe, int] | None) -> None:
        self._store, self._timeframes, self._needs = store, tuple(timeframes), needs
        self._words: Mapping[str, PairGate] = {}
        self._state: tuple[int, int] | None = None
        self._until_us = 0

    def words(self, now_us: int) -> Mapping[str, PairGate]:
        state = self._store.catalog.state()  # before anything is read: what is written meanwhile shows the next time
        if state != self._state or now_us >= self._until_us:
            self._words = gates(self._store, self._timeframes, now_us, self._needs)
            self._state, self._until_us = state, self._due_us() if self._needs else now_us
        return self._words

    def _due_us(self) -> int:
        """When `renewed_tails` next judges anything; before that no verdict grows too old to count, either."""
        return min((at + (RETRY_US if _word(text)[0] else RENEW_US) for _, _, text, at in self._store.catalog.tails("spot")), default=0)
