"""The structured log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trader.maintenance.joblog import JobLog


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_is_one_object_with_time_process_level_and_text(tmp_path: Path) -> None:
    log = JobLog(tmp_path, "twin")
    log.write("hello\nworld", level="warning", pid=3)
    log.close()
    (row,) = rows(tmp_path / "twin.jsonl")
    assert (row["process"], row["level"], row["text"], row["pid"]) == ("twin", "warning", "hello\nworld", 3)
    assert row["at"].endswith("Z")
    assert (tmp_path / "twin.jsonl").stat().st_mode & 0o777 == 0o600


def test_files_rotate_and_the_oldest_goes(tmp_path: Path) -> None:
    log = JobLog(tmp_path, "x", rotate_bytes=300)
    for number in range(40):
        log.write(f"line {number}")
    log.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["x.1.jsonl", "x.2.jsonl", "x.jsonl"]
    assert all(path.stat().st_size < 450 for path in tmp_path.iterdir())


def test_a_line_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    log = JobLog(tmp_path, "x")
    log.write("y" * 10_000)
    log.close()
    assert rows(log.path)[0]["text"].endswith("(10000 characters)")
