"""`trader backtest --verify`: the session, event by event, makes the backtest's trades; a kernel that errs is found."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.backtest_kit import MODE, candle_frame, history_state
from trader import cli
from trader.research import account


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "candles.parquet"
    candle_frame(4, young=0).write_parquet(path)
    return path


def verified(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> dict[str, Any]:
    assert cli.run(["backtest", MODE, "--verify", "--json", *arguments]) == code
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["verify"]["compared"][0] == result["legs"] == len(result["lines"])
    return result


def test_a_file_with_pairs_of_choice_at_costs_of_choice(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ",".join(sorted(candle_frame(4, young=0)["pair"].unique().to_list())[1:])
    found = verified(
        capsys, 0, "--data", str(file), "--pairs", chosen, "--from", "2025-12-10", "--to", "2025-12-11", "--warmup", "short",
        "--volume", "50000", "--spread", "0.0016",
    )  # fmt: skip
    told = found["verify"]
    assert told["compared"][0] == told["compared"][1] == told["same"] >= 3
    assert (told["differences"], told["words"]) == ([], "They are the same.")
    assert found["watched"] == ["BTC/EUR"]
    assert not any(line.startswith("BTC/EUR") for line in found["lines"])
    assert (found["fee"], found["slippage"]) == (0.0024, 0.0008)


def test_the_history_store_with_the_exact_warm_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = history_state(tmp_path)
    found = verified(capsys, 0, "--state", str(state), "--from", "2025-12-23", "--to", "2025-12-25")
    assert found["verify"]["same"] == found["verify"]["compared"][1] >= 3
    assert found["warmup"] == "exact"
    (why,) = found["excluded"].values()  # of the pair without 15m candles; the hole of another lies before what its warm-up needs
    assert why.startswith("too few 15m candles: 0 of ")


def test_a_kernel_that_charges_another_fee_is_found(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right, page = account.fee, tmp_path / "a.html"
    monkeypatch.setattr(account, "fee", lambda cost, rate, step: right(cost, rate, step) + Decimal("0.0001"))
    found = verified(
        capsys, 1, "--data", str(file), "--from", "2025-12-10", "--to", "2025-12-11", "--warmup", "short", "--html", str(page)
    )  # fmt: skip
    told = found["verify"]
    assert told["compared"][0] == told["compared"][1] >= 3
    assert told["different_fields"] == len(told["differences"]) >= told["compared"][0]
    assert any(": fee: " in one for one in told["differences"])
    assert "They are not the same." in page.read_text()
