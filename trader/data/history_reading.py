"""Reading the history store: snapshots, the newest rows, unbroken series, tails; any number of processes, no lock.

What the session appended and did not yet commit is read, too, by its own process. Source: DATA.md sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from trader.data import parts
from trader.data.catalog import Catalog, Part
from trader.data.parts import Source
from trader.data.resample import SHORTER, columns_by_pair, cut, overlay, resample, resample_frame, segments
from trader.data.snapshot import Snapshot, digest
from trader.data.tails import Tail
from trader.domain.market import DAY, Candle, Timeframe
from trader.errors import RejectedError
from trader.ports import Columns

CACHED_ROWS: Final = 600_000
SMALL: Final = CACHED_ROWS // 2  # rows of a part that is read whole and kept


class HistoryReader:
    """What may be read under one folder. HistoryStore adds writing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / "parts"
        for path in (directory, self.folder, directory / "quarantine"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.catalog = Catalog(directory / "catalog.sqlite")
        self._buffer: dict[Timeframe, list[Candle]] = {}
        self._cache: dict[str, pl.DataFrame] = {}
        self._verified: dict[str, None] = {}

    # --- reading -------------------------------------------------------------------------------------------------------
    def snapshot(
        self,
        market: str = "spot",
        *,
        tf: Timeframe | str,
        since: int | None = None,
        until: int | None = None,
        provisional: bool = False,
    ) -> Snapshot:
        """The files that count now, for candles opening in [since, until) (microseconds); one SELECT."""
        timeframe = Timeframe(tf)
        found = self.catalog.parts(market, timeframe, since, until)
        return Snapshot(
            market=market,
            timeframe=timeframe,
            files=tuple(self.folder / part.path for part in found),
            hashes=tuple(part.sha256 for part in found),
            digest=digest([(part.path, part.sha256) for part in found]),
            since_us=since,
            until_us=until,
            provisional=provisional,
            mixed=any(part.status == "provisional" for part in found),
        )

    def get_history(self, pair: str, timeframe: Timeframe | str, periods: int = 500) -> pl.DataFrame:
        """The newest closed rows of a pair, ascending, provisional ones included; fewer than asked is no error.

        Where a shorter stored timeframe covers a candle, the one built from it is returned. Raises RejectedError for a pair
        the store has never seen.
        """
        wanted = Timeframe(timeframe)
        rows = self._rows([pair], wanted, None)
        for shorter in SHORTER[wanted]:
            built = resample_frame(self._rows([pair], shorter, None), shorter, wanted)
            rows = pl.concat([rows.join(built, on="time", how="anti"), built]).sort("time")
        if rows.is_empty() and pair not in self.pairs():
            raise RejectedError(f"pair {pair!r}: unknown to the history store; known: {', '.join(self.pairs()[:5])}, ...")
        return rows.tail(periods)

    def sql(self, query: str, parameters: Sequence[Any] = (), *, tf: Timeframe | str = Timeframe.M1) -> pl.DataFrame:
        """A query on the view `candles`: every stored row of one market and timeframe, provisional ones included."""
        return self.snapshot(tf=tf, provisional=True).sql(query, parameters)

    def series(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> dict[str, Columns]:
        """The newest unbroken candles of each pair that has any, at most `periods`; provisional and buffered ones included."""
        out: dict[str, Columns] = {}
        for pair, columns in self._all(pairs, timeframe, periods).items():
            newest = segments(columns, timeframe)[-1]
            out[pair] = cut(newest, max(0, len(newest) - periods))
        return out

    def tails(self, pairs: Sequence[str], timeframe: Timeframe, lookback: int) -> list[Tail]:
        """What is stored of each pair's last `lookback` candles, for the tail rules.

        Where a pair's own candles of this timeframe are whole and as new as anybody's, the shorter ones need not be read.
        """
        newest_us = self._newest_us(timeframe)
        whole = self._whole(pairs, timeframe, lookback, newest_us)
        lacking = [pair for pair in pairs if pair not in whole]
        found = self._all(lacking, timeframe, lookback) if lacking else {}
        out = []
        for pair in pairs:
            if pair in whole:
                out.append(Tail(timeframe=timeframe, pair=pair, rows=lookback, gaps=0, newest_us=newest_us))
            elif pair in found:
                last = cut(found[pair], max(0, len(found[pair]) - lookback))
                gaps, newest = len(segments(last, timeframe)) - 1, int(last.time[-1])
                out.append(Tail(timeframe=timeframe, pair=pair, rows=len(last), gaps=gaps, newest_us=newest))
            else:
                out.append(Tail(timeframe=timeframe, pair=pair, rows=0, gaps=0, newest_us=None))
        return out

    def _whole(self, pairs: Sequence[str], timeframe: Timeframe, lookback: int, newest_us: int) -> frozenset[str]:
        """Pairs whose own last `lookback` candles of this timeframe are all there, the last at `newest_us`.

        Only opens are looked at, in whatever order they lie: they are ticked off in a table of pairs by candles, whose last column is
        for times that do not belong, and whose last row for other pairs.
        """
        names = list(dict.fromkeys(pairs))
        first_us = newest_us - (lookback - 1) * timeframe.us
        since = max(first_us, self._since(timeframe, lookback))
        chosen = pl.col("pair").is_in(names) & (pl.col("time").to_physical() >= first_us)
        found = [
            self._read(part) if part.rows <= SMALL else self._some(part, chosen) for part in self.catalog.parts("spot", timeframe, since)
        ]
        found.append(stream_rows(self._buffer.get(timeframe, ())))
        time = np.concatenate([parts.times(rows) for rows in found])
        late = time >= first_us
        pair = pl.concat([rows["pair"] for rows in found]).filter(pl.Series(late)).cast(pl.Enum(names), strict=False)
        candle, off = np.divmod(time[late] - first_us, timeframe.us)
        there = np.zeros((len(names) + 1, lookback + 1), np.bool_)
        there[pair.to_physical().fill_null(len(names)).to_numpy(), np.where(off == 0, np.minimum(candle, lookback), lookback)] = True
        whole = there[:-1, :-1].all(axis=1) & ~there[:-1, -1]
        return frozenset(name for name, good in zip(names, whole, strict=True) if good)

    def _newest_us(self, timeframe: Timeframe) -> int:
        """The newest open that any pair has of this timeframe, as far as coverage tells."""
        stored = "SELECT max(end_us) FROM coverage WHERE market = 'spot' AND tf = ? AND state = 'fetched'"
        end_us = self.catalog.rows(stored, (str(timeframe),))[0][0] or 0
        return max([end_us - timeframe.us, *(candle.time_us for candle in self._buffer.get(timeframe, ()))])

    def pairs(self, market: str = "spot") -> list[str]:
        """Every pair the store knows of, by name."""
        stored = [row[0] for row in self.catalog.rows("SELECT DISTINCT pair FROM coverage WHERE market = ?", (market,))]
        held = [candle.pair for candles in self._buffer.values() for candle in candles]
        return sorted({*stored, *held})

    def _all(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> dict[str, Columns]:
        """Native candles with those built from shorter ones on top, holes included."""
        return self._overlaid(pairs, timeframe, periods, (timeframe, *SHORTER[timeframe]))

    def _overlaid(self, pairs: Sequence[str], timeframe: Timeframe, periods: int, sources: Sequence[Timeframe]) -> dict[str, Columns]:
        out: dict[str, Columns] = {}
        since = self._since(timeframe, periods)
        for source in sources:
            for pair, columns in columns_by_pair(self._rows(pairs, source, since)):
                built = resample(columns, source, timeframe)
                if len(built):
                    out[pair] = overlay(out[pair], built) if pair in out else built
        return out

    def _since(self, timeframe: Timeframe, periods: int) -> int:
        """How far back to look for `periods` candles: twice the need, since some pairs lag, and none is lost when they do not."""
        stored = "SELECT max(end_us) FROM coverage WHERE market = 'spot' AND state = 'fetched'"  # a part's end may lie in the future
        newest = self.catalog.rows(stored)[0][0] or 0
        return int(newest) - 2 * periods * timeframe.us - DAY

    def _rows(self, pairs: Sequence[str], timeframe: Timeframe, since_us: int | None) -> pl.DataFrame:
        """Stored and buffered rows of some pairs, sorted by (pair, time)."""
        chosen = pl.col("pair").is_in(list(pairs))
        found = [self._some(part, chosen) for part in self.catalog.parts("spot", timeframe, since_us)]
        rows = pl.concat(found) if found else parts.empty()
        if held := self._buffer.get(timeframe):
            return parts.merge(rows, stream_rows(held).filter(chosen)).frame
        return rows.sort(*parts.KEY) if len(found) > 1 else rows

    def _some(self, part: Part, chosen: pl.Expr) -> pl.DataFrame:
        """The chosen rows of a part; of a large one only the row groups that hold them are decoded."""
        if part.rows <= SMALL:
            return self._read(part).filter(chosen)
        if part.path not in self._verified:
            parts.verify(self.folder / part.path, part.sha256)
            self._verified[part.path] = None
        return parts.select(self.folder / part.path, chosen)

    def _read(self, part: Part) -> pl.DataFrame:
        """A part's rows, its bytes verified; parts never change, so the last ones read stay in memory."""
        frame = self._cache.pop(part.path, None)
        if frame is None:
            parts.verify(self.folder / part.path, part.sha256)
            frame = parts.read(self.folder / part.path)
        self._remember(part.path, frame)
        return frame

    def _remember(self, name: str, frame: pl.DataFrame) -> None:
        self._cache[name] = frame
        while len(self._cache) > 1 and sum(map(len, self._cache.values())) > CACHED_ROWS:
            del self._cache[next(iter(self._cache))]


def stream_rows(candles: Sequence[Candle]) -> pl.DataFrame:
    """The session's candles as rows of source STREAM."""
    return parts.mark_filled(parts.frame_of(candles, Source.STREAM))
