"""kill -9 in the middle of an import and of a back-fill: whoever goes on neither repeats nor skips a row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import archive_kit as kit
import polars as pl
import pytest

from tests.ingest_kill.child import DAYS, PAIRS, work
from trader.data.history import HistoryStore
from trader.domain.market import Timeframe

ROOT = Path(__file__).resolve().parents[2]
POINTS = ("part_written", "part_catalogued", "cursors_set", "committed")
"""Where the n-th run dies: with its file half-done, inside its transaction, at its end, and after one commit."""
pytestmark = [pytest.mark.kill, pytest.mark.slow]


def archive(folder: Path) -> Path:
    count = 200 * 96
    return kit.zipped(folder / "a.zip", {f"{base}EUR_15.csv": kit.text(kit.lines(count)) for base in ("XBT", "ETH", "ADA", "DOT")})


def rows(directory: Path, tf: Timeframe) -> pl.DataFrame:
    store = HistoryStore(directory)
    try:
        snapshot = store.snapshot(tf=tf)
        snapshot.verify()
        found = snapshot.scan().collect().sort("pair", "time")
        covered = sum(c.end_us - c.start_us for known in store.catalog.coverage("spot", tf).values() for c in known if c.state == "fetched")
        assert covered == len(found) * tf.us, "coverage says what is there"
        assert found.select("pair", "time").is_unique().all(), "no row twice"
        return found
    finally:
        store.close()


@pytest.mark.parametrize(("what", "tf"), [("archive", Timeframe.M15), ("trades", Timeframe.M1)])
def test_killed_inside_and_after_a_commit_the_next_run_ends_with_the_same_rows(tmp_path: Path, what: str, tf: Timeframe) -> None:
    source = archive(tmp_path)
    work(what, tmp_path / "straight", source)
    whole = rows(tmp_path / "straight", tf)
    killed = grown = 0
    last = -1
    for point in POINTS:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "tests"))}
        command = [sys.executable, "-m", "tests.ingest_kill.child", what, str(tmp_path / "cut"), str(source), point, "1"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        child.communicate()
        killed += child.returncode == -9
        found = rows(tmp_path / "cut", tf)
        assert found.join(whole, on=["pair", "time"], how="anti").is_empty()
        assert found.equals(whole.join(found.select("pair", "time"), on=["pair", "time"], how="semi")), "what is there is right"
        assert len(found) >= last, "nothing acknowledged is lost"
        grown += len(found) > last
        last = len(found)
    assert killed == len(POINTS), "every kill came in the middle"
    assert 0 < last < len(whole), "some work was done and some was left"
    work(what, tmp_path / "cut", source)
    assert rows(tmp_path / "cut", tf).equals(whole)
    assert len(whole) >= len(PAIRS) * (DAYS * 1440 - 1) or what == "archive"
    store = HistoryStore(tmp_path / "cut")
    assert store.catalog.rows("SELECT count(*) FROM revision")[0][0] == 0
    store.close()
