"""The process that dies: `python -m tests.ingest_kill.child archive|trades DIR ARCHIVE POINT N`; prints `ready`, then works."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import archive_kit
from candle_kit import HandClock

from tests.store_kill.child import Points
from trader.data import parts
from trader.data.archive import ArchiveImport
from trader.data.archive_files import contents
from trader.data.backfill import Backfill
from trader.data.history import HistoryStore
from trader.domain.market import DAY, MINUTE, PublicTrade, TradePage

PAIRS = ("AAA/EUR", "BBB/EUR")
DAYS = 4
NOW_US = archive_kit.NOW_US
PAGE = 300


class Venue:
    """Two trades in each minute that is no multiple of seven, a pure function of time, in pages of 300."""

    async def trades(self, pair: str, cursor: str) -> TradePage:
        from decimal import Decimal

        after = int(cursor) // 1000
        found: list[PublicTrade] = []
        minute = max(after, NOW_US - 2 * DAYS * DAY) // MINUTE * MINUTE
        while len(found) < PAGE and minute < NOW_US:
            if minute // MINUTE % 7:
                price = 100 + minute // MINUTE % 50 + PAIRS.index(pair)
                for part in (0, 1):
                    time_us = minute + part * 20_000_000 + 1
                    if time_us > after and len(found) < PAGE:
                        found.append(PublicTrade(time_us=time_us, price=Decimal(price + part), quantity=Decimal("0.25")))
            minute += MINUTE
        return TradePage(trades=tuple(found), cursor=str(found[-1].time_us * 1000) if found else cursor)


def work(what: str, directory: Path, archive: Path | None, *, kill: Points | None = None) -> None:
    """One run to its end, or to where `kill` ends the process."""
    store = HistoryStore(directory, kill_points=kill)
    if what == "archive":
        assert archive is not None
        ArchiveImport(store, now_us=NOW_US, judge=archive_kit.judge).run(contents(archive))
    else:
        asyncio.run(Backfill(store, Venue(), HandClock(NOW_US)).run(PAIRS, DAYS))
    store.close()


def main() -> None:
    parts.empty()
    print("ready", flush=True)
    what, directory, source, point, occurrence = sys.argv[1:]
    work(what, Path(directory), Path(source), kill=Points(point, int(occurrence)))
    print("finished", flush=True)


if __name__ == "__main__":
    main()
