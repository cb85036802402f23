"""What the writer writes: the same rows for the same step, so that a judge knows what must be there after any kill.

A step is one commit of seven minutes (1m) and one of a day (15m) of six pairs. Hours become days and days months on the way.
"""

from __future__ import annotations

import polars as pl
from candle_kit import EPOCH, pairs

from benchmarks.candles import generated
from trader.data.catalog import Batch
from trader.data.compaction import fold
from trader.data.coverage import covered
from trader.data.history import HistoryStore, fingerprint
from trader.domain.market import DAY, Timeframe

PAIRS = pairs(6)
STEPS = 400
SPAN = {Timeframe.M1: 7, Timeframe.M15: 96}  # candles a step
POINTS = (
    "commit_begun", "part_created", "part_written", "part_synced", "directory_synced", "part_catalogued", "batch_recorded", "covered",
    "cursors_set", "committed", "fold_begun", "fold:part_created", "fold:part_written", "fold:part_synced", "fold:directory_synced",
    "fold_proved", "fold:part_catalogued", "fold_committed", "swept",
)  # fmt: skip
"""Every place of a commit, of a fold and of the collector at which the writer may die; `fold:` while a fold is running."""


class World:
    """The rows of all steps, made once a process."""

    def __init__(self, steps: int = STEPS) -> None:
        self.rows = {tf: generated(PAIRS, steps * span, tf, start=EPOCH).sort("time", "pair") for tf, span in SPAN.items()}

    def step(self, tf: Timeframe, number: int) -> pl.DataFrame:
        """What step `number` commits."""
        size = SPAN[tf] * len(PAIRS)
        return self.rows[tf].slice(number * size, size)

    def until(self, tf: Timeframe, steps: int) -> pl.DataFrame:
        """Everything the first `steps` steps commit, as stored."""
        return self.rows[tf].head(steps * SPAN[tf] * len(PAIRS)).sort("pair", "time")


def position(store: HistoryStore, tf: Timeframe) -> int:
    """Steps the cursors say are done: all pairs alike, or the store is torn."""
    found = store.catalog.rows("SELECT DISTINCT position FROM cursor WHERE tf = ?", (tf,))
    if len(found) > 1:
        raise AssertionError(f"{tf}: cursors of one commit differ: {found}")
    return int(found[0][0]) if found else 0


def commit(store: HistoryStore, world: World, tf: Timeframe, number: int) -> None:
    """One step: rows, coverage, provenance and cursors in one transaction."""
    rows = world.step(tf, number)
    end = EPOCH + (number + 1) * SPAN[tf] * tf.us
    batch = Batch(
        batch_id=f"{tf}-{number}", source="rest", client="test", requested=(end - SPAN[tf] * tf.us, end), received=None, rows=len(rows),
        sha256=fingerprint(rows), fetched_us=end, suite_version="", gate_json="{}",
    )  # fmt: skip
    cursors = [(pair, str(number + 1)) for pair in PAIRS]
    store.upsert(rows, tf, batch=batch, now_us=end, cover=covered(rows, tf, "rest", batch.batch_id), cursors=cursors)


def upkeep(store: HistoryStore, tf: Timeframe, number: int) -> None:
    """Fold what is over at the end of step `number`."""
    end = EPOCH + (number + 1) * SPAN[tf] * tf.us
    fold(store, (tf,), end // DAY * DAY, end)
