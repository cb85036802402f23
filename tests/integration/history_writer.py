"""A child that commits candles until it is killed: `python history_writer.py DIR ROUNDS`; prints each acknowledged commit."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import candle_kit as kit

from trader.data import parts
from trader.data.compaction import compact
from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.domain.market import DAY, MINUTE, Timeframe

PAIRS = kit.pairs(6)
DAY_MINUTES = 1440
STEP = 7  # minutes a commit


def main(directory: Path, rounds: int) -> None:
    """Commit STEP minutes of all pairs a time, from where the store ends; fold finished days; say what was acknowledged."""
    store = HistoryStore(directory)
    everything = kit.minutes(PAIRS, rounds * STEP)
    done = store.catalog.rows("SELECT max(end_us) FROM coverage")[0][0] or kit.EPOCH
    print("ready", flush=True)
    for at in range((done - kit.EPOCH) // MINUTE, rounds * STEP, STEP):
        rows = parts.frame_of([c for minute in everything[at : at + STEP] for c in minute], Source.REST)
        now = kit.EPOCH + (at + STEP) * MINUTE
        kit.put(store, rows, Timeframe.M1, name=f"b{at}", now_us=now)
        print(at + STEP, flush=True)
        if (at // 60) % 6 == 0:
            compact(store, Timeframe.M1, now // DAY * DAY, now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
