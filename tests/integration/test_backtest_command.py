"""`trader backtest` on a file and on the history store: its answer, the pairs it leaves out and why, one sentence for what
it cannot run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.backtest_kit import MODE, candle_frame, history_state
from trader import cli


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return candle_frame()


@pytest.fixture(scope="module")
def file(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "candles.parquet"
    frame.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return history_state(tmp_path_factory.mktemp("state"))


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.run(["backtest", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_of_the_six_shares_an_account_and_says_what_it_left_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, MODE, "--data", str(file), "--warmup", "short")
    assert found["pairs"] == 4
    (why,) = found["excluded"].values()
    assert why.startswith("too few 15m candles: 96 of ")
    assert found["trades"] >= 10
    assert len(found["lines"]) == found["legs"]
    assert (found["warmup"], found["ai"], found["round_trip"]) == ("short", "off", pytest.approx(0.009))
    assert any("No pair was ready in the first 28 of " in one for one in found["warnings"])  # three periods of the 4h EMA of 55
    assert _json(capsys, MODE, "--data", str(file), "--warmup", "short") == found


def test_the_figures_of_a_run_agree_with_each_other(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, MODE, "--data", str(file), "--warmup", "short")
    assert sum(found["reasons"].values()) == sum(one["count"] for one in found["by_reason"]) == found["legs"]
    assert sum(one["count"] for one in found["by_pair"]) == sum(one["trades"] for one in found["daily"]) == found["trades"]
    assert sum(one["count"] for one in found["r"]["bins"]) == found["trades"]
    assert np.prod([1 + one["return"] for one in found["daily"]]) - 1 == pytest.approx(found["return"])
    assert np.prod([1 + one["return"] for one in found["months"]]) - 1 == pytest.approx(found["return"])
    assert found["daily"][-1]["hold"] - 1 == pytest.approx(found["benchmarks"]["buy_and_hold"]["return"])
    assert float(found["before_costs"]) == pytest.approx(float(found["net"]) + float(found["fees"]) + float(found["slippage_paid"]))
    if not found["open"]:
        assert float(found["equity_end"]) == pytest.approx(10_000 + float(found["net"]))
    chance = found["benchmarks"]["random_entry"]
    assert chance["entries"] >= found["trades"] >= 10
    assert chance["random_95"][0] < chance["random_mean"] < chance["random_95"][1]


def test_the_reference_page_names_every_field(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/backtest-json.md").read_text()
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(told) == sorted(_json(capsys, "S1", "--data", str(file)))


@pytest.mark.parametrize("side", ["long", "short"])
def test_on_futures_a_side_pays_margin_fees_and_funding(file: Path, side: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (MODE, "--data", str(file), "--warmup", "short", "--market", "futures", "--side", side)
    found = _json(capsys, *asked)
    assert found["trades"] >= 5 and found["quote"] == "USD" and found["round_trip"] == pytest.approx(0.002)
    assert {line.split(" ")[1] for line in found["lines"]} == {side}
    assert all(line.split(" ")[0].endswith("/USD:USD") for line in found["lines"])
    if not found["open"]:
        gained = float(found["equity_end"]) - float(found["cash"])
        assert gained == pytest.approx(float(found["net"]) + float(found["funding"]), abs=1e-6)
    other = _json(capsys, *asked, "--seed", "5")
    assert other["funding"] != found["funding"] != "0"  # the premium, and so the rate, is the seed's
    assert any("Funding is the simulated exchange's of seed 11" in one for one in found["warnings"])


def test_s1_runs_pair_by_pair(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "S1", "--data", str(file))
    assert (found["pairs"], found["cash"]) == (5, "5000")
    assert found["trades"] == sum(found["reasons"].values()) >= 5
    assert float(found["net"]) == pytest.approx(1_000 * found["sum_net_return"])
    assert float(found["equity_end"]) == pytest.approx(5_000 + float(found["net"]))


def test_the_history_store_is_read_with_its_own_long_candles_and_its_parts_are_named(
    state: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, MODE, "--state", str(state))
    assert (found["source"], found["warmup"], found["pairs"]) == ("history", "exact", 4)
    none, hole = sorted(found["excluded"].values(), reverse=True)
    assert hole.startswith("a gap: 7 15m candles missing after ")
    assert none.startswith("too few 15m candles: 0 of ")
    assert found["trades"] >= 10
    assert len(found["data_sha256"]) == 64
    assert _json(capsys, MODE, "--state", str(state)) == found
    pair = found["by_pair"][0]["name"]
    alone = _json(capsys, MODE, "--state", str(state), "--pairs", pair)
    assert [one["name"] for one in alone["by_pair"]] == [pair]
    assert alone["watched"] == ([] if pair.startswith("BTC/") else ["BTC/EUR"])


def test_costs_follow_the_tier_and_the_spread(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cheap = _json(capsys, "S1", "--data", str(file), "--volume", "250000", "--spread", "0.004")
    assert (cheap["fee"], cheap["slippage"], cheap["round_trip"]) == (0.002, 0.002, pytest.approx(0.008))
    assert float(cheap["slippage_paid"]) > 0


def test_the_screen_fits_100_columns_and_tells_what_matters(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["backtest", MODE, "--data", str(file), "--warmup", "short"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for words in (
        "a round trip costs 0.90 %",
        "warm-up short",
        "drawdown",
        "holding",
        "chance",
        "stop-loss",
        "left out",
        "trades    sha256",
    ):
        assert words in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("S2",), "strategy 'S2' is not known; there is S1, mitraillette/CONSERVATIVE"),
        (("S1", "--pairs", "NIX/EUR"), "--pairs NIX/EUR: not in"),
        (("S1", "--pairs", "BTC/EUR,NIX/EUR"), "--pairs NIX/EUR: not in"),
        (
            ("S1", "--from", "2025-12-20", "--to", "2025-12-19"),
            "--from 2025-12-20T00:00:00Z: must be before --to, which is 2025-12-19T00:00:00Z",
        ),
        (("S1", "--from", "yesterday"), "'yesterday' is not a date or time"),
        (("sniper/DEFAULT", "--profile", "best"), "profile 'best' is not one of viable, seed"),
        (("sniper/DEFAULT", "--warmup", "long"), "warmup 'long' is not one of exact, short"),
        (("sniper/DEFAULT",), "no pair can be judged: BTC/EUR: too few 4h candles: 360 of "),
        (("S1", "--ai", "on"), "--ai 'on': a backtest asks no AI; allowed: off, cassette"),
        (("S1", "--ai", "cassette"), "--ai cassette and --cassette FILE go together"),
        (("S1", "--cassette", "c.jsonl"), "--ai cassette and --cassette FILE go together"),
        (("S1", "--ai", "cassette", "--cassette", "no-such-file"), "cassette no-such-file: cannot be read"),
        (("S1", "--miss", "guess"), "--miss 'guess' is not one of fail, abstain"),
        (("S1", "--volume", "-5"), "--volume '-5': a 30-day volume of 0 or more"),
        (("S1", "--volume", "much"), "--volume 'much': a 30-day volume of 0 or more"),
        (("S1", "--spread", "nan"), "--spread 'nan': a fraction of the price from 0 to below 0.5"),
        (("S1", "--spread", "0.03"), "strategy S1: target 0.03 must be above the round trip of 0.0352"),
        ((MODE, "--profile", "seed", "--spread", "0.02"), "target 0.02138 must be above the round trip of 0.028"),
        (("S1", "--seed", "-1"), "seed"),
        ((MODE, "--market", "swaps"), "--market 'swaps' is not one of spot, futures"),
        ((MODE, "--side", "short"), "--side 'short': shorts need --market futures; on spot there are none"),
        ((MODE, "--leverage", "2"), "--leverage 2: needs --market futures; coins are paid in full"),
        ((MODE, "--market", "futures", "--side", "up"), "--side 'up' is not one of long, short"),
        ((MODE, "--market", "futures", "--leverage", "4"), "--leverage 4: must be from 1 to 3"),
        ((MODE, "--market", "futures", "--volume", "1"), "--volume: picks a tier of the spot schedule"),
        ((MODE, "--market", "futures", "--verify"), "--verify: compares with a session on spot"),
        (("S1", "--market", "futures"), "--market futures: S1 runs pair by pair, without margin and funding"),
        (("S1", "--verify"), "--verify: no session trades S1; allowed with MODE/VARIATION"),
        ((MODE, "--verify", "--warmup", "short"), "no pair can be judged: BTC/EUR: too few 15m candles: 0 of "),
        ((MODE, "--verify", "--warmup", "short", "--from", "2025-12-20T00:07:00Z"), "2025-12-20T00:07:00Z is not on the 15m grid"),
    ],
)
def test_what_cannot_run_is_one_sentence(file: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["backtest", arguments[0], "--data", str(file), *arguments[1:]]) == 2
    _one_sentence(capsys, words)


def _one_sentence(capsys: pytest.CaptureFixture[str], words: str) -> None:
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.strip().count("\n") == 0
    assert captured.out == ""


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pl.when(pl.col("close") == pl.col("close").max()).then(float("nan")).otherwise(pl.col("close")).alias("close"),
         "column 'close' has 1 values that no 15m candle can have; the first is nan of BTC/EUR at "),
        ((pl.col("low") * 2).alias("low"), "column 'low' has "),
        (pl.lit("7m").alias("timeframe"), "column 'timeframe' holds 7m; it must hold one of"),
        (pl.lit("BTC").alias("pair"), "column 'pair' holds 'BTC'; names must read BASE/QUOTE"),
        (pl.col("volume").cast(pl.Int64).alias("volume"), "column 'volume' is Int64, it must be Float64"),
    ],
)  # fmt: skip
def test_a_spoilt_file_is_one_sentence(
    frame: pl.DataFrame, tmp_path: Path, spoil: pl.Expr, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spoilt.parquet"
    frame.with_columns(spoil).write_parquet(path)
    assert cli.run(["backtest", "S1", "--data", str(path)]) == 2
    _one_sentence(capsys, words)


def test_a_file_that_is_none_and_a_state_without_history_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["backtest", "S1", "--data", str(tmp_path / "no.parquet")]) == 2
    _one_sentence(capsys, "does not exist")
    assert cli.run(["backtest", "S1", "--state", str(tmp_path)]) == 2
    _one_sentence(capsys, "no history store in it")


def test_a_pair_without_trades_for_a_day_is_left_out_with_the_place(
    frame: pl.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, path = frame["pair"].unique(maintain_order=True)[1], tmp_path / "gap.parquet"
    hole = (pl.col("pair") == pair) & pl.col("time").is_between(pl.datetime(2025, 12, 20, time_zone="UTC"),
                                                                pl.datetime(2025, 12, 21, 12, time_zone="UTC"))  # fmt: skip
    frame.filter(~hole).write_parquet(path)
    found = _json(capsys, "S1", "--data", str(path))
    assert found["excluded"] == {pair: "a gap: 145 15m candles in a row without a trade from 2025-12-20T00:00:00Z"}
    assert pair not in {line.split()[0] for line in found["lines"]}
