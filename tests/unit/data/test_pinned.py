"""Pinned candles: equal to what every other reader sees, and unmoved by what comes later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.candle_kit import EPOCH, frame, pairs, put
from trader.data import parts, pinned
from trader.data.history import HistoryStore
from trader.data.pinned import Pinned, PinnedReader, pin
from trader.domain.market import DAY, Timeframe
from trader.errors import CorruptError
from trader.ports import Columns

BOTH = (Timeframe.M15, Timeframe.H4)


def read(kept: Pinned, names: list[str], timeframe: Timeframe) -> dict[str, Columns]:
    return {pair: found[timeframe] for pair, found in PinnedReader(kept, names, (timeframe,)).read(names) if timeframe in found}


def test_pinned_candles_are_the_readers_own_and_stay_so(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    names = pairs(3)
    put(store, frame(names, 200, tf=Timeframe.H4, start=EPOCH - 200 * Timeframe.H4.us), Timeframe.H4, name="old")
    put(store, frame(names, 96, tf=Timeframe.M15), Timeframe.M15, name="quarters")
    put(store, frame(names[:1], 300, start=EPOCH + 96 * Timeframe.M15.us), Timeframe.M1, name="minutes")
    kept = pin(store, BOTH, EPOCH + DAY)
    for timeframe, counts in ((Timeframe.M15, (116, 96, 96)), (Timeframe.H4, (207, 206, 206))):
        found = read(kept, names, timeframe)
        whole = store.series(names, timeframe, 1_000)
        assert tuple(len(found[name]) for name in names) == counts
        assert all((found[name].close == whole[name].close).all() for name in names)
    digest, files = kept.digest, kept.files
    assert files == len({path for snapshot in kept.snapshots.values() for path in snapshot.files}) >= 3
    assert pin(store, BOTH, EPOCH + DAY).digest == digest
    put(store, frame(names, 96, tf=Timeframe.M15, start=EPOCH + DAY), Timeframe.M15, name="later")
    assert pin(store, BOTH, EPOCH + DAY).digest != digest
    assert len(read(kept, names, Timeframe.M15)[names[1]]) == 96
    store.close()


def test_a_few_pairs_at_a_time_are_what_all_at_once_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HistoryStore(tmp_path)
    names = pairs(40)
    for day in range(3):
        some = names[day:] if day % 2 else names[: 40 - day]
        put(store, frame(some, 96, tf=Timeframe.M15, start=EPOCH + day * DAY), Timeframe.M15, name=f"day {day}")
    kept = pin(store, (Timeframe.M15,), EPOCH + DAY)
    wanted = read(kept, names, Timeframe.M15)
    monkeypatch.setattr(parts, "SCAN_FROM", 0)  # every part is a large one
    monkeypatch.setattr(pinned, "AT_ONCE", 96 * 3 * 7)
    order = [*names[::-2], *names[::2], "none/EUR"]
    found = read(kept, order, Timeframe.M15)
    assert list(found) == order[:-1] and len(found[names[0]]) == 2 * 96 < len(found[names[20]])
    for pair, one in found.items():
        assert all(np.array_equal(getattr(one, name), getattr(wanted[pair], name)) for name in Columns.__slots__)
    reader = PinnedReader(kept, order, (Timeframe.M15,))
    assert reader.spans(Timeframe.M15) == {pair: (int(one.time[0]), int(one.time[-1])) for pair, one in found.items()}
    file = kept.snapshots[Timeframe.M15].files[1]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CorruptError, match=file.name):
        list(reader.read(order))
    store.close()
