"""Pinned candles: equal to what every other reader sees, and unmoved by what comes later."""

from __future__ import annotations

from pathlib import Path

from tests.candle_kit import EPOCH, frame, pairs, put
from trader.data.history import HistoryStore
from trader.data.pinned import pin
from trader.domain.market import DAY, Timeframe

BOTH = (Timeframe.M15, Timeframe.H4)


def test_pinned_candles_are_the_readers_own_and_stay_so(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    names = pairs(3)
    put(store, frame(names, 200, tf=Timeframe.H4, start=EPOCH - 200 * Timeframe.H4.us), Timeframe.H4, name="old")
    put(store, frame(names, 96, tf=Timeframe.M15), Timeframe.M15, name="quarters")
    put(store, frame(names[:1], 300, start=EPOCH + 96 * Timeframe.M15.us), Timeframe.M1, name="minutes")
    pinned = pin(store, BOTH, EPOCH + DAY)
    for timeframe, counts in ((Timeframe.M15, (116, 96, 96)), (Timeframe.H4, (207, 206, 206))):
        found = pinned.columns(names, timeframe)
        whole = store.series(names, timeframe, 1_000)
        assert tuple(len(found[name]) for name in names) == counts
        assert all((found[name].close == whole[name].close).all() for name in names)
    digest, files = pinned.digest, pinned.files
    assert files == len({path for snapshot in pinned.snapshots.values() for path in snapshot.files}) >= 3
    assert pin(store, BOTH, EPOCH + DAY).digest == digest
    put(store, frame(names, 96, tf=Timeframe.M15, start=EPOCH + DAY), Timeframe.M15, name="later")
    assert pin(store, BOTH, EPOCH + DAY).digest != digest
    assert len(pinned.columns(names, Timeframe.M15)[names[1]]) == 96
    store.close()
