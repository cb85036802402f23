"""A full or failing disk, and a second writer: one clear sentence, nothing half-done, everything stored before still there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import candle_kit as kit
import pytest

from benchmarks.candles import generated
from trader.data.history import HistoryStore
from trader.domain.market import DAY, Timeframe
from trader.errors import FatalError, RetryableError, TraderError

M1, M15 = Timeframe.M1, Timeframe.M15
JANUARY = 1_767_225_600_000_000


class FailingDisk:
    """fsync answers with an error, as the kernel does when a delayed write finds no room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, after: int = 0) -> None:
        self._left, self._number = after, number
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, _: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("refusal", [
    (errno.ENOSPC, RetryableError, r"\.parquet: No space left on device; nothing was stored; free space"),
    (errno.EDQUOT, RetryableError, "quota"),
    (errno.EIO, FatalError, "Input/output error; nothing was stored"),
])  # fmt: skip
@pytest.mark.parametrize("after", [0, 1])  # the file's sync fails; the directory's
def test_a_disk_that_refuses_costs_this_write_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: tuple[int, type[TraderError], str], after: int
) -> None:
    number, kind, words = refusal
    store = HistoryStore(tmp_path)
    kit.put(store, kit.frame(["A/EUR"], 30), M1, name="before")
    before, files = store.snapshot(tf=M1).digest, sorted(store.folder.iterdir())
    with monkeypatch.context() as patch:
        FailingDisk(patch, number, after)
        with pytest.raises(kind, match=words):
            kit.put(store, kit.frame(["A/EUR"], 40), M1, name="failing")
    assert store.snapshot(tf=M1).digest == before and sorted(store.folder.iterdir()) == files
    assert store.catalog.rows("SELECT 1 FROM batch WHERE batch_id = 'failing'") == []
    assert kit.put(store, kit.frame(["A/EUR"], 40), M1, name="failing").added == 10


def test_a_full_disk_during_a_fold_leaves_the_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, rows = HistoryStore(tmp_path), generated(["A/EUR"], 31 * 96, M15, start=JANUARY)
    for day in range(31):
        kit.put(store, rows.slice(day * 96, 96), M15, name=f"d{day}", now_us=JANUARY + (day + 1) * DAY)
    files = sorted(store.folder.iterdir())
    with monkeypatch.context() as patch:
        FailingDisk(patch, errno.ENOSPC)
        with pytest.raises(RetryableError, match="No space left"):
            store.compact(JANUARY + 40 * DAY)
    assert sorted(store.folder.iterdir()) == files and len(store.catalog.parts("spot", M15)) == 31
    assert store.compact(JANUARY + 40 * DAY).months == 1


def test_a_catalog_without_room_says_so_and_forgets_the_commit(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    kit.put(store, kit.frame(["A/EUR"], 30), M1, name="before")
    pages = store.catalog.rows("PRAGMA page_count")[0][0]
    store.catalog.rows(f"PRAGMA max_page_count = {pages}")
    names = [f"PAIR{i:04d}/EUR" for i in range(1500)]
    with pytest.raises(RetryableError, match="the disk is full; nothing was stored"):
        kit.put(store, kit.frame(names, 1), M1, name="too much")
    store.catalog.rows("PRAGMA max_page_count = 1000000")
    assert store.snapshot(tf=M1).scan().collect().height == 30
    assert kit.put(store, kit.frame(names, 1), M1, name="too much").added == 1500


def test_a_second_writer_waits_and_then_says_who_is_in_the_way(tmp_path: Path) -> None:
    one, two = HistoryStore(tmp_path), HistoryStore(tmp_path)
    two.catalog.rows("PRAGMA busy_timeout = 50")
    with one.catalog.write(), pytest.raises(RetryableError, match=r"catalog\.sqlite: another writer holds the catalog"):
        kit.put(two, kit.frame(["A/EUR"], 5), M1, name="b")
    assert kit.put(two, kit.frame(["A/EUR"], 5), M1, name="b").added == 5
