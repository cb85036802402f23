"""The page of a backtest: self-contained, and every figure on it the one that `--json` prints."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.backtest_kit import MODE, candle_frame
from trader import cli
from trader.reporting.backtest_page import at, verdict, worded


class Page(HTMLParser):
    """The figures of a page as (place, kind, raw value, shown text), and the text outside of them, charts left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str, str]] = []
        self.rest: list[str] = []
        self.fetched: list[str] = []
        self._open: list[str] = []
        self._figure: dict[str, str | None] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.fetched += [value for name in ("src", "href", "srcset", "action") if (value := found.get(name))]
        if tag not in ("meta", "link", "path", "line", "br"):
            self._open.append(tag)
        if tag == "data":
            self._figure = found

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            self._open.reverse()
            self._open.remove(tag)
            self._open.reverse()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "data":
            one = self._figure
            self.figures.append((one["data-at"] or "", one["data-as"] or "", one["value"] or "", data))
        elif not {"style", "svg"} & set(self._open):
            self.rest.append(data)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "candles.parquet"
    candle_frame(4).write_parquet(path)
    return path


def made(file: Path, strategy: str, target: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, dict[str, Any]]:
    assert cli.run(["backtest", strategy, "--data", str(file), "--html", str(target), "--json", *options]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return target.read_text(), result


def differing(page: Page, result: dict[str, Any]) -> list[str]:
    """Figures that are not the result's: by their raw value, or by what is shown of it."""
    found = []
    for place, kind, raw, shown in page.figures:
        value = at(result, place)
        if (raw, shown) != ("" if value is None else str(value), worded(value, kind)):
            found.append(f"{place}: {raw} shown as {shown}, the result says {value}")
    return found


@pytest.mark.parametrize(("asked", "least"), [((MODE, "--warmup", "short"), 90), (("S1",), 70)])
def test_every_figure_is_the_one_that_json_prints(
    file: Path, tmp_path: Path, asked: tuple[str, ...], least: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text, result = made(file, asked[0], tmp_path / "page.html", capsys, *asked[1:])
    page = Page(text)
    assert len(page.figures) >= least
    assert differing(page, result) == []
    assert {"return", "max_drawdown", "sharpe", "sortino", "profit_factor", "win_rate", "exposure", "cost_share", "r.mean", "fees",
            "benchmarks.buy_and_hold.return", "benchmarks.random_entry.random_mean"} <= {place for place, *_ in page.figures}  # fmt: skip
    for words in (result["data_sha256"], result["parity_sha256"], *result["warnings"], *result["excluded"].values()):
        assert any(words in one for one in page.rest), words
    for pair in {one["name"] for one in result["by_pair"][:5]}:
        assert text.count(f'aria-label="{pair}: candles of') >= 1
    trades = sum(one["count"] for one in result["by_pair"][:5]) + len(result["notable"])
    assert text.count('<g class="trade ') == trades >= 10


def test_a_changed_figure_would_be_found(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, result = made(file, "S1", tmp_path / "page.html", capsys)
    place, _, raw, shown = next(one for one in Page(text).figures if one[0] == "max_drawdown")
    for old, new in ((f'value="{raw}"', 'value="0.5"'), (f">{shown}</data>", ">0.01 %</data>")):
        assert [one.split(":")[0] for one in differing(Page(text.replace(old, new, 1)), result)] == [place]


def test_the_page_fetches_nothing_and_runs_nothing(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = made(file, "S1", tmp_path / "page.html", capsys)
    assert Page(text).fetched == ["data:,"]
    assert re.search(r"<script|@import|url\(|https?://|\son\w+=", text) is None
    assert len(text) < 1_000_000
    assert "nan" not in {word for one in re.findall(r'd="([^"]*)"', text) for word in one.lower().split()}
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("--html no/page.html", "no is no directory"), ("--html .", "--html"), ("--trades no/trades.csv", "no is no directory"),
        ("--trades trades.xlsx", "the name must end in .csv or .parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_one_sentence(
    file: Path, tmp_path: Path, asked: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option, name = asked.split()
    assert cli.run(["backtest", "S1", "--data", str(file), option, str(tmp_path / name)]) == 2
    told = capsys.readouterr()
    assert option in told.err and words in told.err and told.out == ""


def test_trades_are_a_table_that_reads_back(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = {}
    for name in ("a.csv", "a.parquet"):
        assert cli.run(["backtest", MODE, "--data", str(file), "--warmup", "short", "--trades", str(tmp_path / name), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        tables[name] = pl.read_csv(tmp_path / name) if name.endswith("csv") else pl.read_parquet(tmp_path / name)
    frame = tables["a.parquet"]
    assert len(frame) == len(tables["a.csv"]) == result["legs"] >= 10
    assert frame["net"].sum() == pytest.approx(tables["a.csv"]["net"].sum())
    assert frame["exit_time"].dtype == pl.Datetime("us", "UTC")
    if not result["open"]:
        assert frame["net"].sum() == pytest.approx(float(result["net"]))
    stops = frame.filter(pl.col("reason") == "STOP_LOSS")
    assert len(stops) >= 3
    assert stops["r"].to_list() == pytest.approx([-1.0] * len(stops), abs=0.05)


def test_a_run_without_a_trade_has_a_page_that_says_so(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, result = made(file, "S1", tmp_path / "page.html", capsys, "--from", "2026-01-04T20:00:00Z", "--pairs", "BTC/EUR")
    assert result["trades"] == 0
    assert "No trade was closed: there is nothing to judge." in text
    assert differing(Page(text), result) == []


@pytest.mark.parametrize(
    ("gain", "hold", "tail", "words"),
    [
        (0.1, 0.2, 0.5, "gained money and made less than holding the pairs; its entries cannot be told from chance"),
        (-0.1, -0.2, 0.0, "lost money and made more than holding the pairs; its entries did better than chance"),
        (-0.3, -0.2, 0.99, "lost money and made less than holding the pairs; its entries did worse than chance"),
    ],
)
def test_the_verdict_is_careful(gain: float, hold: float, tail: float, words: str) -> None:
    result = {"return": gain, "benchmarks": {"buy_and_hold": {"return": hold}, "random_entry": {"as_good_or_better": tail}}}
    assert words in verdict(result)
