"""Archives made for tests, and an import judged by the rules' Polars form."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from trader.data import quality, rules
from trader.data.archive import ArchiveImport, ArchiveReport
from trader.data.archive_files import contents
from trader.data.history import HistoryStore
from trader.data.judged import GateResult
from trader.domain.market import Timeframe

START_S = 1_735_689_600  # 2025-01-01T00:00:00Z
NOW_US = 1_767_571_200_000_000  # 2026-01-05


def judge(write: Callable[[Path], object]) -> GateResult:
    """The gate without its process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "staged.parquet"
        write(path)
        staged = pl.read_parquet(path)
    verdicts = []
    for (tf,), part in staged.group_by("tf", maintain_order=True):
        verdicts.extend(quality.check(part.drop("tf", "judged_us"), Timeframe(str(tf)), staged["judged_us"][0]).verdicts)
    return GateResult(engine="polars", suite_version=rules.suite_version(), verdicts=tuple(verdicts))


def line(number: int, *, minutes: int = 15, start_s: int = START_S, **changes: object) -> str:
    """Row `number` of a good file, some fields changed."""
    price = 100 + number % 7
    row = {
        "at": start_s + number * minutes * 60,
        "o": price,
        "h": price + 1.5,
        "l": price - 0.5,
        "c": price + 1,
        "v": 2.5,
        "n": 4,
    } | changes
    return ",".join(str(value) for value in row.values())


def lines(count: int, *, minutes: int = 15, start_s: int = START_S) -> list[str]:
    return [line(number, minutes=minutes, start_s=start_s) for number in range(count)]


def text(rows: list[str]) -> str:
    return "".join(row + "\n" for row in rows)


def zipped(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, body in files.items():
            whole.writestr(name, body)
    return path


def load(store: HistoryStore, path: Path, now_us: int = NOW_US, stopping: Callable[[], bool] | None = None) -> ArchiveReport:
    return ArchiveImport(store, now_us=now_us, judge=judge, stopping=stopping).run(contents(path))


def stored(store: HistoryStore, timeframe: Timeframe = Timeframe.M15) -> pl.DataFrame:
    return store.snapshot(tf=timeframe).scan().collect().sort("pair", "time")
