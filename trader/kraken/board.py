"""Candles from the ohlc channel, closed by the clock: the fullest frame of a pair and interval wins.

The channel says nothing about the end of a candle, and nothing at all while nobody trades; its frames are cumulative, so the
one with the largest volume is the newest, in whatever order and however often frames come. What may have been missed is
named, never guessed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trader.domain.market import Candle, Timeframe
from trader.kraken import translate

NEVER = 1 << 62
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """One interval as the stream knows it. `missing`: must be asked for elsewhere; `quiet`: those of `candles` that no update
    told of, so that they repeat the close before, or the snapshot of a new connection."""

    candles: list[Candle]
    missing: list[str]
    quiet: list[str]


class CandleBoard:
    """Forming candles of all subscribed pairs, and the close of each pair's last candle."""

    def __init__(self, timeframe: Timeframe, now_us: int) -> None:
        self.timeframe = timeframe
        self.closed_us = timeframe.floor(now_us)  # everything before is closed
        self.since: dict[str, int] = {}  # pair -> open of its first wanted candle
        self._certain: dict[str, int] = {}  # pair -> from this candle on no frame was missed
        self._last: dict[str, float] = {}
        self._begins: dict[str, int] = {}  # stamp as sent -> open time
        self._frames: dict[int, dict[str, Mapping[str, Any]]] = {}
        self._shown: dict[str, int] = {}  # pair -> candle that a snapshot showed and no update has told of since

    def want(self, pairs: Iterable[str], now_us: int) -> list[str]:
        """Add pairs from the running candle on; those that are new."""
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in self.since]
        self.since.update(dict.fromkeys(fresh, max(self.timeframe.floor(now_us), self.closed_us)))
        return fresh

    def take(self, items: Iterable[Mapping[str, Any]], now_us: int, *, snapshot: bool = False) -> list[tuple[str, str]]:
        """Keep the items of one frame; (reason, detail) of each that is refused, alone."""
        refused: list[tuple[str, str]] = []
        for item in items:
            try:
                self._take(item, now_us, snapshot=snapshot)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                refused.append(("malformed ohlc", f"{type(error).__name__}: {error}"))
                self.distrust(item.get("symbol") if isinstance(item, dict) else None)
            except LookupError as error:
                refused.append(("ohlc of unknown symbol", str(error)))
        return refused

    def distrust(self, pair: object) -> None:
        """A frame of this pair could not be read: what is held of its running candles is too old, until its next frame."""
        if isinstance(pair, str) and pair in self.since:
            self._certain.pop(pair, None)
            for frames in self._frames.values():
                frames.pop(pair, None)

    def _take(self, item: Mapping[str, Any], now_us: int, *, snapshot: bool) -> None:
        stamp, pair = item["interval_begin"], item["symbol"]
        begin = self._begins.get(stamp)
        if begin is None:
            begin = translate.stamp_us(stamp, "interval_begin")
            if begin != self.timeframe.floor(begin) or begin > now_us + self.timeframe.us:
                raise ValueError(f"interval_begin: {stamp!r} opens no {self.timeframe} candle that can be running")
            self._begins[stamp] = begin
        if pair not in self._certain:
            if pair not in self.since:
                raise LookupError(f"{pair!r:.40}")
            self._certain[pair] = self.timeframe.floor(now_us)
        if begin >= self.closed_us:
            frames = self._frames.get(begin)
            if frames is None:
                frames = self._frames[begin] = {}
            held = frames.get(pair)
            if held is None or _newer(item, held):
                frames[pair] = item
            if snapshot:
                self._shown[pair] = begin
            else:
                self._shown.pop(pair, None)

    def acknowledged(self, pair: str, now_us: int) -> None:
        """The subscription stands; without a snapshot it is complete from the next candle on."""
        self._certain.setdefault(pair, self.timeframe.floor(now_us) + self.timeframe.us)

    def interrupted(self, now_us: int) -> None:
        """The connection is gone: frames of running candles may be stale and nothing is certain until frames come again."""
        self._certain.clear()
        self._frames = {begin: frames for begin, frames in self._frames.items() if begin + self.timeframe.us <= now_us}

    def close(self, begin: int, *, alive: bool) -> Closing:
        """The interval that opened at `begin` has ended."""
        frames = self._frames.get(begin, {})
        closing = Closing(candles=[], missing=[], quiet=[])
        for pair, since in self.since.items():
            if since > begin:
                continue
            item = frames.get(pair)
            candle = self._candle(item, pair, begin, alive=alive)
            if candle is None:
                closing.missing.append(pair)
                self._last.pop(pair, None)  # the next quiet candle would repeat a close that is too old
                continue
            closing.candles.append(candle)
            if item is None or self._shown.get(pair) == begin:
                closing.quiet.append(pair)
            self._last[pair] = candle.close
        self._end(begin)
        return closing

    def doubt(self, pairs: Iterable[str]) -> None:
        """The close of these pairs is not certain: no quiet candle may repeat it."""
        for pair in pairs:
            self._last.pop(pair, None)

    def skip(self, begin: int) -> dict[str, int]:
        """Intervals up to the one at `begin` passed while nobody looked: all pairs, with the open of the first that is owed."""
        owed = {pair: max(since, self.closed_us) for pair, since in self.since.items() if since <= begin}
        self._last.clear()
        self._end(begin)
        return owed

    def _end(self, begin: int) -> None:
        self.closed_us = begin + self.timeframe.us
        self._frames = {key: kept for key, kept in self._frames.items() if key >= self.closed_us}
        self._begins = {stamp: key for stamp, key in self._begins.items() if key >= begin}

    def known(self, candles: Sequence[Candle]) -> None:
        """Candles that were fetched elsewhere carry the last close of their pairs."""
        self._last.update((candle.pair, candle.close) for candle in candles)

    def forming(self, pair: str) -> Candle | None:
        """The newest running candle of a pair, or None before its first frame."""
        for begin in sorted(self._frames, reverse=True):
            if pair in self._frames[begin]:
                return self._read(self._frames[begin][pair], pair, begin)
        return None

    def _candle(self, item: Mapping[str, Any] | None, pair: str, begin: int, *, alive: bool) -> Candle | None:
        if item is not None:
            return self._read(item, pair, begin)
        last = self._last.get(pair)
        if last is None or not alive or self._certain.get(pair, NEVER) > begin:
            return None
        return Candle(
            pair=pair, timeframe=self.timeframe, time_us=begin, open=last, high=last, low=last, close=last, volume=0.0, filled=True
        )

    def _read(self, item: Mapping[str, Any], pair: str, begin: int) -> Candle | None:
        try:
            candle = translate.stream_candle(item, pair, self.timeframe, begin)
            if not candle.sane:  # nobody behind the stream looks again where history takes no writes
                raise ValueError(f"no candle of prices: {candle}")
            return candle
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            log.warning("ohlc frame of %s is malformed: %s: %s", pair, type(error).__name__, error)
            return None


def _newer(item: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Whether a cumulative frame comes after another; one that cannot be read counts as newer, so that its candle is asked for."""
    try:
        return bool(item["volume"] >= held["volume"])
    except (KeyError, TypeError):
        return True
