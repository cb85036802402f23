"""Readers in other processes beside a busy writer and the collector: no error, never backwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import candle_kit as kit
import pytest

from trader.data.compaction import sweep
from trader.data.history import HistoryStore
from trader.domain.market import MINUTE, Timeframe

M1 = Timeframe.M1
READER = """
import sys
from pathlib import Path
from trader.data.history import HistoryStore
store, reads, before = HistoryStore(Path(sys.argv[1])), 0, 0
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    snapshot = store.snapshot(tf="1m")
    if not snapshot.files:
        continue
    kind = reads % 3
    if kind == 0:
        rows = snapshot.scan().collect().height
    elif kind == 1:
        rows = snapshot.sql("SELECT count(*) AS n FROM candles")["n"][0]
    else:
        rows = snapshot.window(None, 10**6).height
    assert rows >= before, (rows, before)
    assert rows == len(set(snapshot.scan().collect().select("pair", "time").iter_rows()))
    before, reads = rows, reads + 1
print(reads, before, flush=True)
"""


@pytest.mark.slow
def test_three_readers_meet_no_error_while_parts_are_replaced_and_swept(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    store = HistoryStore(tmp_path / "history")
    command = [sys.executable, "-c", READER, str(tmp_path / "history"), str(stop)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for reader in readers:
        assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    everything = kit.frame(kit.pairs(10), 240).sort("time", "pair")
    swept = 0
    for minute in range(240):
        now = kit.EPOCH + (minute + 1) * MINUTE
        kit.put(store, everything.slice(minute * 10, 10), M1, name=f"m{minute}", now_us=now)
        swept += len(sweep(store, now))
    stop.touch()
    answers = []
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        answers.append([int(word) for word in out.split()])
    reads = sum(a[0] for a in answers)
    print(f"{reads} reads beside 240 commits, {swept} files swept, 0 errors")
    assert reads >= 60 and swept > 100 and all(a[1] > 0 for a in answers)
