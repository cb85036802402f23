"""Rows of one archive file: read in blocks, judged one by one, empty bars filled where the file proves that nothing traded.

A row is `unix seconds,open,high,low,close,volume,trades`; older files lack the last column. A bad row is refused with its line and
reason, what is good stays. A hole in which a row was refused is left open, because nobody knows what it held; any other hole
inside the file is bars without a trade. Kraken's files have no vwap: (high + low + close) / 3 stands in for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

import numpy as np
import polars as pl

from trader.data.parts import COLUMNS, SCHEMA, TIME, Source
from trader.data.quality import broken, prepare
from trader.data.rules import MAX_LOG_SPIKE, Severity, row_rules
from trader.domain.market import SECOND, Timeframe

BLOCK: Final = 8 << 20  # bytes read at a time
KEPT_REASONS: Final = 1_000  # refused rows named one by one; beyond that they are only counted
EARLIEST_S: Final = 1_262_304_000  # 2010-01-01: no exchange had candles before
MILLISECONDS: Final = 100_000_000_000  # a number of seconds beyond this is in the year 5138
CONTEXT: Final = {
    "step_s",
    "pair",
    "time",
    "closed_s",
    "grid_s",
    "spike",
    "zone_h",
}  # rules about more than one row: judged here in other words
NUMBERS: Final = ("open", "high", "low", "close", "volume")
RAW: Final[dict[str, Any]] = {"at": pl.Int64, **dict.fromkeys(NUMBERS, pl.Float64), "count": pl.Int64}
LAYOUTS: Final = {7: tuple(RAW), 6: tuple(RAW)[:6]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was not taken: `line` counts from 1."""

    line: int
    reason: str
    time_us: int | None = None


@dataclass(slots=True, kw_only=True)
class Tally:
    """What reading a file came to."""

    rows: int = 0
    filled: int = 0
    refused: int = 0
    repeated: int = 0  # the same row once more: dropped, nothing is lost
    named: list[Refused] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)  # [start, end) without a row, filled as bars without trades
    open_holes: list[tuple[int, int]] = field(default_factory=list)  # [start, end) left open beside refused rows

    def refuse(self, rows: pl.DataFrame) -> None:
        """Count refused rows (`line`, `reason`, `time`) and name the first thousand."""
        self.refused += len(rows)
        for line, reason, time_us in rows.head(max(0, KEPT_REASONS - len(self.named))).select("line", "reason", "time").iter_rows():
            self.named.append(Refused(line=line, reason=reason, time_us=time_us))


class RowReader:
    """Turns the bytes of one file into stored rows, block by block, in bounded memory."""

    def __init__(self, pair: str, timeframe: Timeframe, now_us: int) -> None:
        self.pair, self.timeframe, self.now_us = pair, timeframe, now_us
        self.tally = Tally()
        self._line = 0
        self._layout: tuple[str, ...] | None = None
        self._held: pl.DataFrame | None = None  # the last row of a block waits for its neighbour
        self._last: tuple[int, float] | None = None  # (time, close) of the last good row
        self._tainted = False  # a row was refused since then

    def read(self, stream: IO[bytes]) -> Iterator[pl.DataFrame]:
        """Good rows with the stored schema, ascending, holes filled. Raises what the stream raises."""
        rest = b""
        while block := stream.read(BLOCK):
            text, newline, tail = (rest + block).rpartition(b"\n")
            rest = tail
            if newline:
                yield self._take(self._parse(text + newline), last=False)
        closing = self._parse(rest) if rest.strip() else self._nothing()
        if len(closing):
            closing = closing.with_columns(reason=pl.lit("no line end: the file is cut off here"))
        yield self._take(closing, last=True)

    # --- text ----------------------------------------------------------------------------------------------------------
    def _nothing(self) -> pl.DataFrame:
        return pl.DataFrame(schema={**RAW, "line": pl.Int64, "reason": pl.String})

    def _parse(self, text: bytes) -> pl.DataFrame:
        """Columns of RAW, `line` and `reason` (null: readable)."""
        lines = text.count(b"\n") + (not text.endswith(b"\n"))
        if self._layout is None:
            first = text.split(b"\n", 1)[0].count(b",") + 1
            self._layout = LAYOUTS.get(first, LAYOUTS[7])
        frame = self._fast(text, lines)
        frame = self._slow(text) if frame is None else frame
        self._line += lines
        return frame

    def _fast(self, text: bytes, lines: int) -> pl.DataFrame | None:
        """The whole block by one parser; None where any row is odd."""
        assert self._layout is not None
        schema = {name: RAW[name] for name in self._layout}
        try:
            frame = pl.read_csv(io.BytesIO(text), has_header=False, schema=schema, quote_char=None)
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != lines or sum(frame.null_count().row(0)):
            return None
        if "count" not in frame.columns:
            frame = frame.with_columns(count=pl.lit(0, pl.Int64))
        line = pl.Series("line", np.arange(self._line + 1, self._line + lines + 1))
        return frame.with_columns(line, reason=pl.lit(None, pl.String)).select(self._nothing().columns)

    def _slow(self, text: bytes) -> pl.DataFrame:
        rows = []
        for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), self._line + 1):
            values, reason = self._words(line)
            rows.append((*values, number, reason))
        return pl.DataFrame(rows, schema=self._nothing().schema, orient="row")

    def _words(self, line: str) -> tuple[list[Any], str | None]:
        assert self._layout is not None
        words = line.rstrip("\r").split(",")
        empty: list[Any] = [None] * len(RAW)
        if len(words) != len(self._layout):
            return empty, f"{len(words)} columns instead of {len(self._layout)}: {line[:60]!r}"
        values: list[Any] = []
        for name, word in zip(self._layout, words, strict=True):
            try:
                values.append(float(word) if name in NUMBERS else int(word))
            except ValueError:
                return empty, f"{name} is {word[:40]!r}, not a {'number' if name in NUMBERS else 'whole number'}"
            if name not in NUMBERS and abs(values[-1]) >= 1 << 62:
                return empty, f"{name} is {word[:40]!r}, out of all range"
        return values + [0] * (len(RAW) - len(values)), None

    # --- judgement -----------------------------------------------------------------------------------------------------
    def _take(self, fresh: pl.DataFrame, *, last: bool) -> pl.DataFrame:
        read = fresh if self._held is None else pl.concat([self._held, fresh])
        self._held = None
        if read.is_empty():
            return pl.DataFrame(schema=SCHEMA)
        rows = self._lone(self._order(self._values(self._times(read))))
        good = rows.filter(pl.col("reason").is_null())
        if not last and len(good):  # the newest good row is judged against the one after it, which is in the next block
            newest = good["line"][-1]
            self._held = read.filter(pl.col("line") >= newest)
            rows, good = rows.filter(pl.col("line") < newest), good.head(-1)
        bad = rows.filter(pl.col("reason").is_not_null())
        self.tally.repeated += int(bad["repeat"].sum())
        self.tally.refuse(bad.filter(~pl.col("repeat")))
        return self._stored(rows, good)

    def _times(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`time` in microseconds, and reasons for times that cannot be."""
        at, step = pl.col("at"), self.timeframe.us
        text = at.cast(pl.String)
        time = at * SECOND
        reason = (
            pl.when(pl.col("reason").is_not_null()).then("reason")
            .when(at >= MILLISECONDS).then(pl.lit("time ") + text + pl.lit(" is not in seconds (milliseconds?)"))
            .when(at < EARLIEST_S).then(pl.lit("time ") + text + pl.lit(" is before 2010"))
            .when(time + step > self.now_us).then(pl.lit("time ") + text + pl.lit(" is of a candle not closed yet: clock or zone"))
            .when(time % step != 0).then(pl.lit("time ") + text + pl.lit(f" is not on the {self.timeframe} grid"))
        )  # fmt: skip
        known = at.is_not_null() & (at < MILLISECONDS) & (at >= EARLIEST_S)
        return rows.with_columns(reason=reason, time=pl.when(known).then(time), repeat=pl.lit(False))

    def _order(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Repeats, contradictions and rows out of order, among those whose time can be."""
        usable = pl.col("reason").is_null()
        same = pl.struct("at", *NUMBERS, "count")
        again = usable & ~same.is_first_distinct().over(usable)
        rows = rows.with_columns(repeat=again, reason=pl.when(again).then(pl.lit("the same row once more")).otherwise("reason"))
        twice = usable & pl.col("at").is_duplicated().over(usable)
        other = pl.lit("another row for this time has other values")
        rows = rows.with_columns(reason=pl.when(twice).then(other).otherwise("reason"))
        index = np.flatnonzero(rows["reason"].is_null().to_numpy())
        times = rows["time"].fill_null(0).to_numpy()[index]
        floor = self._last[0] if self._last is not None else -1
        early = times <= floor
        index, times = index[~early], times[~early]
        behind = times < np.maximum.accumulate(times) if len(times) else np.zeros(0, bool)
        ahead = times > np.minimum.accumulate(times[::-1])[::-1] if len(times) else behind
        wrong = np.zeros(len(rows), bool)
        wrong[index[behind if behind.sum() <= ahead.sum() else ahead]] = True
        wrong |= rows["reason"].is_null().to_numpy() & (rows["time"].fill_null(0).to_numpy() <= floor)
        return rows.with_columns(reason=pl.when(pl.Series(wrong)).then(pl.lit("out of order: earlier rows are later")).otherwise("reason"))

    def _values(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rule table's critical rules about single rows."""
        frame = self._candles(rows)
        prepared = prepare(frame, self.timeframe, self.now_us)
        for rule in row_rules(self.timeframe):
            if rule.severity is not Severity.CRITICAL or CONTEXT & set(rule.columns):
                continue
            hit = prepared.select(broken(rule).alias("hit"))["hit"] & rows["reason"].is_null()
            values = (pl.lit(f" {c}=") + pl.col(c).cast(pl.String) for c in rule.columns if c in RAW)
            seen = pl.concat_str([pl.lit(f"{rule.name}:"), *values], ignore_nulls=True)
            rows = rows.with_columns(reason=pl.when(hit).then(seen).otherwise("reason"))
        return rows

    def _lone(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Closes that jump up and back, by the limit of the rule table: measured against good neighbours only, across blocks too."""
        good = rows.filter(pl.col("reason").is_null()).select("line", "close")
        before = pl.col("close").shift(1, fill_value=self._last[1] if self._last else None)
        far = pl.min_horizontal((pl.col("close") / other).log().abs() for other in (before, pl.col("close").shift(-1)))
        alone = before.is_not_null() & pl.col("close").shift(-1).is_not_null() & (far > MAX_LOG_SPIKE)
        bad = good.filter(alone)["line"].to_list()
        words = pl.lit("a jump up and back: close=") + pl.col("close").cast(pl.String) + pl.lit(" is far from both neighbours")
        return rows.with_columns(reason=pl.when(pl.col("line").is_in(bad)).then(words).otherwise("reason"))

    # --- rows as stored ------------------------------------------------------------------------------------------------
    def _candles(self, rows: pl.DataFrame) -> pl.DataFrame:
        typical = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
        return rows.select(
            pair=pl.lit(self.pair), time=pl.col("time").cast(TIME), open="open", high="high", low="low", close="close", volume="volume",
            vwap=pl.when(pl.col("volume") > 0).then(typical).otherwise(0.0), count=pl.col("count").clip(0, 2**31 - 1).cast(pl.Int32),
            filled=(pl.col("volume") == 0) & (pl.col("count") == 0), source=pl.lit(int(Source.ARCHIVE), pl.UInt8),
        ).cast(SCHEMA)  # type: ignore[arg-type]  # fmt: skip

    def _stored(self, rows: pl.DataFrame, good: pl.DataFrame) -> pl.DataFrame:
        """Good rows as candles; a step over several bars is filled unless a row was refused inside it."""
        taints = (rows["reason"].is_not_null() & ~rows["repeat"]).cum_sum()
        end = int(taints[-1]) if len(taints) else 0
        if good.is_empty():
            self._tainted |= end > 0
            return pl.DataFrame(schema=SCHEMA)
        return self._filled(good, taints.filter(rows["reason"].is_null()).to_numpy(), end)

    def _filled(self, good: pl.DataFrame, taint: np.ndarray[Any, Any], end: int) -> pl.DataFrame:
        step, time = self.timeframe.us, good["time"].to_numpy()
        before_time, before_close = self._last if self._last is not None else (int(time[0]) - step, 0.0)
        previous = np.r_[before_time, time[:-1]]
        closes = np.r_[before_close, good["close"].to_numpy()[:-1]]
        spoilt = np.diff(taint, prepend=-1 if self._tainted else 0) > 0
        missing = (time - previous) // step - 1
        for i in np.flatnonzero(missing > 0).tolist():
            kept = self.tally.open_holes if spoilt[i] else self.tally.holes
            kept.append((int(previous[i]) + step, int(time[i])))
        counts = np.where(spoilt, 0, missing)
        self.tally.rows += len(good)
        self.tally.filled += int(counts.sum())
        self._last = (int(time[-1]), float(good["close"][-1]))
        self._tainted = end > int(taint[-1])
        candles = self._candles(good)
        if not counts.any():
            return candles
        starts = np.repeat(previous + step, counts) + step * (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))
        flat = pl.Series(np.repeat(closes, counts))
        empty = pl.DataFrame({"time": starts, "close": flat}).select(
            pair=pl.lit(self.pair), time=pl.col("time").cast(TIME), open="close", high="close", low="close", close="close",
            volume=pl.lit(0.0), vwap=pl.lit(0.0), count=pl.lit(0, pl.Int32), filled=pl.lit(True),
            source=pl.lit(int(Source.ARCHIVE), pl.UInt8),
        )  # fmt: skip
        return pl.concat([candles, empty.select(COLUMNS)]).sort("time")
