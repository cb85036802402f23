"""`trader backtest` on a file: its answer, the pairs it leaves out and why, and one sentence for what it cannot run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trader import cli
from trader.domain.market import Timeframe
from trader.simulation.market import EPOCH_US, SyntheticMarket

DAYS, YOUNG = 60, 1


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    market, path, frames = SyntheticMarket(5, count=5), tmp_path_factory.mktemp("data") / "candles.parquet", []
    for number, pair in enumerate(market.pairs):
        days = YOUNG if number == 4 else DAYS
        columns = market.candles(pair, Timeframe.M15, EPOCH_US - days * 86_400_000_000, EPOCH_US)
        values = {name: getattr(columns, name) for name in ("open", "high", "low", "close", "volume")}
        time = pl.Series(columns.time).cast(pl.Datetime("us", "UTC"))
        frames.append(pl.DataFrame({"pair": [pair] * len(columns), "timeframe": ["15m"] * len(columns), "time": time} | values))
    pl.concat(frames).write_parquet(path)
    return path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert cli.run(["backtest", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_one_of_the_six_shares_an_account_and_says_what_it_left_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "mitraillette/AGGRESSIVE", "--data", str(file), "--warmup", "short")
    assert found["pairs"] == 4
    (why,) = found["excluded"].values()  # type: ignore[union-attr, attr-defined]
    assert why.startswith("too few 15m candles: 96 of ")
    assert found["trades"] >= 10  # type: ignore[operator]
    assert len(found["lines"]) == found["legs"]  # type: ignore[arg-type]
    assert (found["warmup"], found["ai"], found["round_trip"]) == ("short", "off", pytest.approx(0.009))
    assert _json(capsys, "mitraillette/AGGRESSIVE", "--data", str(file), "--warmup", "short") == found


def test_s1_runs_pair_by_pair(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "S1", "--data", str(file))
    assert found["pairs"] == 5
    assert found["trades"] == sum(found["reasons"].values()) >= 5  # type: ignore[attr-defined]
    assert np.isfinite(found["sum_net_return"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("S2",), "strategy 'S2' is not known; there is S1, mitraillette/CONSERVATIVE"),
        (("S1", "--pairs", "NIX/EUR"), "--pairs NIX/EUR: not in"),
        (
            ("S1", "--from", "2025-12-20", "--to", "2025-12-19"),
            "--from and --to: 2025-12-20T00:00:00Z to 2025-12-19T00:00:00Z must lie inside",
        ),
        (("sniper/DEFAULT", "--profile", "best"), "profile 'best' is not one of viable, seed"),
        (("sniper/DEFAULT", "--warmup", "long"), "warmup 'long' is not one of exact, short"),
        (("sniper/DEFAULT",), "no pair can be judged: BTC/EUR: too few 4h candles: 360 of "),
    ],
)
def test_what_cannot_run_is_one_sentence(file: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["backtest", arguments[0], "--data", str(file), *arguments[1:]]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
