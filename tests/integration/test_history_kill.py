"""kill -9 of a process that commits parts: every acknowledged commit is there, once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import candle_kit as kit
import polars as pl
import pytest

from trader.data.history import HistoryStore
from trader.data.parts import Source
from trader.domain.market import MINUTE, Timeframe

WRITER = Path(__file__).with_name("history_writer.py")
M1 = Timeframe.M1
ROUNDS = 600
pytestmark = [pytest.mark.kill, pytest.mark.slow]


def killed_after(directory: Path, pause_s: float) -> int:
    """Run the writer, kill it this long after its start-up; returns the last acknowledged minute of this run."""
    child = subprocess.Popen([sys.executable, str(WRITER), str(directory), str(ROUNDS)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(pause_s)
    child.kill()
    lines = child.stdout.read().splitlines()
    child.wait()
    return int(lines[-1]) if lines else 0


def test_every_acknowledged_commit_survives_twenty_kills(tmp_path: Path) -> None:
    rng = random.Random(4)
    acknowledged = kills = 0
    while kills < 20:
        acknowledged = max(acknowledged, killed_after(tmp_path, rng.uniform(0.005, 0.25)))
        kills += 1
        store = HistoryStore(tmp_path)
        snapshot = store.snapshot(tf=M1)
        rows = snapshot.scan().collect().sort("pair", "time")
        stored = rows.height // 6
        assert stored >= acknowledged
        assert rows.equals(kit.frame(kit.pairs(6), ROUNDS * 7).filter(_before(stored)).sort("pair", "time")), "equal rows, none twice"
        assert snapshot.verify() == len(snapshot.files)
        covered = store.catalog.coverage("spot", M1)
        assert {p: (c[0].start_us, c[-1].end_us) for p, c in covered.items()} == (
            dict.fromkeys(kit.pairs(6), (kit.EPOCH, kit.EPOCH + stored * MINUTE)) if stored else {}
        )
        store.close()
    assert acknowledged >= 20 * 7, "the kills met a busy writer"


def _before(minutes: int) -> pl.Expr:
    return pl.col("time").to_physical() < kit.EPOCH + minutes * MINUTE


def test_kill_between_file_and_catalog_leaves_one_orphan_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\nfrom pathlib import Path\nimport candle_kit as kit\nfrom trader.data.history import HistoryStore\n"
        "class Points:\n    def reach(self, name):\n"
        "        assert name == 'part_written_not_catalogued'\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = HistoryStore(Path(sys.argv[1]), kill_points=Points())\n"
        "kit.put(store, kit.frame(['A/EUR'], 30), kit.Timeframe.M1, name='a')\n"
    )
    path = os.pathsep.join([str(WRITER.parent.parent), str(WRITER.parent.parent.parent)])
    for orphans in (1, 2):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}, check=False)
        assert done.returncode == -9
        store = HistoryStore(tmp_path)
        assert store.catalog.parts("spot", M1) == [] and store.catalog.coverage("spot", M1) == {}
        assert store.catalog.rows("SELECT count(*) FROM batch") == [(0,)]
        assert len(list(store.folder.iterdir())) == orphans
        store.close()
    store = HistoryStore(tmp_path)
    assert kit.put(store, kit.frame(["A/EUR"], 30, source=Source.REST), M1, name="a").added == 30
    assert store.snapshot(tf=M1).scan().collect().height == 30
