"""The downloadable OHLCVT archive: Kraken's zips of CSV files, one whole and one a quarter (KRAKEN.md section 10).

Rows are `unix seconds,open,high,low,close,volume,trades` without a header; bars in which nothing traded are left out. As on the
exchange, an archive ends with the last finished quarter. Same market, same query, same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from trader.domain.market import DAY, SECOND
from trader.errors import ConfigError
from trader.indicators.resample import aggregate
from trader.simulation.intervals import Interval, Span, source_of
from trader.simulation.kraken_server.spot.market_view import TICKS
from trader.simulation.kraken_server.spot.order_form import is_whole
from trader.simulation.listings import Listing
from trader.simulation.market import Market

INTERVALS = (1, 5, 15, 30, 60, 240, 720, 1440)  # minutes
WHOLE = "Kraken_OHLCVT.zip"
LEVEL = 1  # of compression: 6 takes twice as long for an eighth less


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One zip: the bars of `listings` that open in [start_us, end_us), one file for each pair and interval (minutes)."""

    name: str
    start_us: int
    end_us: int
    listings: tuple[Listing, ...]
    intervals: tuple[int, ...]


def quarter_start(year: int, quarter: int) -> int:
    """First microsecond of a quarter 1..4; quarter 5 is the next year's first."""
    year, quarter = year + (quarter - 1) // 4, (quarter - 1) % 4
    return int(datetime(year, 3 * quarter + 1, 1, tzinfo=UTC).timestamp()) * SECOND


def finished_quarters(first_us: int, now_us: int) -> list[tuple[int, int]]:
    """(year, quarter) of every quarter that is over at `now_us` and ends after `first_us`, oldest first."""
    first, now = (datetime.fromtimestamp(time_us // SECOND, UTC).year for time_us in (first_us, now_us))
    quarters = [(year, quarter) for year in range(first, now + 1) for quarter in (1, 2, 3, 4)]
    return [item for item in quarters if first_us < quarter_start(item[0], item[1] + 1) <= now_us]


def names(market: Market, now_us: int) -> dict[str, tuple[int, int]]:
    """Every archive on offer: name -> [start, end)."""
    quarters = finished_quarters(market.first_us, now_us)
    spans = {f"Kraken_OHLCVT_Q{q}_{y}.zip": (max(quarter_start(y, q), market.first_us), quarter_start(y, q + 1)) for y, q in quarters}
    return ({WHOLE: (market.first_us, max(end for _, end in spans.values()))} if spans else {}) | spans


def archive_of(name: str, query: Mapping[str, str], market: Market, now_us: int) -> Archive | None:
    """The archive of this name, None where there is none; raises ConfigError for an unusable query.

    `pairs`: any of their names (default: all); `intervals`: minutes (default: all the market has); `days`: only the last so many.
    """
    span = names(market, now_us).get(name)
    if span is None:
        return None
    days = query.get("days", "")
    if days and not (is_whole(days) and int(days) > 0):
        raise ConfigError(f"days={days!r}: a number of days, at least 1, is allowed")
    start_us = max(span[0], span[1] - int(days) * DAY) if days else span[0]
    return Archive(
        name=name,
        start_us=start_us,
        end_us=span[1],
        listings=_listings(query.get("pairs", ""), market),
        intervals=_intervals(query.get("intervals", ""), market),
    )


def _listings(text: str, market: Market) -> tuple[Listing, ...]:
    every = [market.listing(pair) for pair in market.pairs]
    if not text:
        return tuple(every)
    by_name = {name: item for item in every for name in (item.pair, item.pair_id, item.altname, item.wsname)}
    wanted = text.split(",")
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"pairs={text!r}: {name!r} is not listed; {len(every)} pairs are, the first is {every[0].altname}")
    return tuple(by_name[name] for name in wanted)


def _intervals(text: str, market: Market) -> tuple[int, ...]:
    allowed = [minutes for minutes in INTERVALS if minutes % market.base.minutes == 0]
    if not text:
        return tuple(allowed)
    by_text = {str(minutes): minutes for minutes in allowed}
    for word in text.split(","):
        if word not in by_text:
            raise ConfigError(f"intervals={text!r}: {word!r} is not allowed; any of {', '.join(by_text)} is")
    return tuple(by_text[word] for word in text.split(","))


def rows(market: Market, listing: Listing, span: Span, start_us: int, end_us: int) -> bytes:
    """The CSV of one pair and interval. A bar that traded counts four trades, as in OHLC: the market knows bars, not each trade."""
    source = source_of(span)
    columns = aggregate(market.candles(listing.pair, source, start_us, end_us), source, span)
    traded = columns.volume > 0
    frame = pl.DataFrame(
        {
            "time": columns.time[traded] // SECOND,
            **{name: getattr(columns, name)[traded] for name in ("open", "high", "low", "close", "volume")},
            "trades": np.full(int(traded.sum()), TICKS),
        }
    )
    return frame.write_csv(include_header=False, float_scientific=False).encode()


def stream(archive: Archive, market: Market) -> Iterator[bytes]:
    """The zip in pieces, one file at a time: never more than one in memory."""
    sink = _Sink()
    stamp = datetime.fromtimestamp(archive.end_us // SECOND, UTC).timetuple()[:6]
    with zipfile.ZipFile(sink, "w") as container:
        for listing in archive.listings:
            for minutes in archive.intervals:
                info = zipfile.ZipInfo(f"{listing.altname}_{minutes}.csv", date_time=stamp)
                text = rows(market, listing, Interval(minutes), archive.start_us, archive.end_us)
                container.writestr(info, text, zipfile.ZIP_DEFLATED, LEVEL)
                yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """What the zip writer writes into; it cannot seek, so that sizes follow the data."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(memoryview(data))  # type: ignore[arg-type]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """Everything written since the last time."""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
