"""The queries that docs/reference/history-store.md shows to people who bring their own DuckDB."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import candle_kit as kit
import duckdb
import pytest

from tests.architecture.trees import ROOT
from trader.data.history import HistoryStore
from trader.domain.market import Timeframe

PAGE = (ROOT / "docs/reference/history-store.md").read_text()
FENCE = re.compile(r"^```(python|sql)( catalog)?\n(.*?)^```", re.M | re.S)
BLOCKS = [(language, bool(catalog), text) for language, catalog, text in FENCE.findall(PAGE)]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    store = HistoryStore(tmp_path / "history")
    kit.put(store, kit.frame(["BTC/EUR", "ETH/EUR"], 150), Timeframe.M1, name="a")
    store.close()
    return tmp_path / "history"


def opened(history: Path) -> dict[str, Any]:
    """What the page's Python leaves behind: `db` and `candles`."""
    (code,) = [text for language, _, text in BLOCKS if language == "python"]
    names: dict[str, Any] = {"history": str(history)}
    exec(code, names)  # noqa: S102 - the very text of the page
    return names


def test_every_example_query_of_the_page_runs_and_finds_rows(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = opened(history)
    assert "BTC/EUR" in capsys.readouterr().out
    queries = [text for language, catalog, text in BLOCKS if language == "sql" and not catalog]
    db: duckdb.DuckDBPyConnection = names["db"]
    names["candles"].create_view("candles")
    answers = [db.sql(query).pl() for query in queries]
    assert len(answers) == 3
    assert answers[0].height == 150 and answers[0]["time"].is_sorted()
    assert answers[1]["pair"].to_list() == sorted(["BTC/EUR", "ETH/EUR"], key=lambda p: -answers[1].filter(pair=p)["turnover"].item())
    assert answers[2].height == 4, "two whole hours of two pairs"
    store = HistoryStore(history)
    assert answers[0].select("pair", "time", "close").equals(store.sql(queries[0]).select("pair", "time", "close"))
    store.close()


def test_the_catalog_queries_run_read_only(history: Path) -> None:
    catalog = sqlite3.connect(f"file:{history}/catalog.sqlite?mode=ro", uri=True)
    queries = [text for language, is_catalog, text in BLOCKS if language == "sql" and is_catalog]
    rows = [catalog.execute(query).fetchall() for query in queries]
    assert rows == [[("BTC/EUR", 150, "rest"), ("ETH/EUR", 150, "rest")], []]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        catalog.execute("DELETE FROM coverage")
    catalog.close()


def test_the_page_names_every_table_and_column(history: Path) -> None:
    catalog = sqlite3.connect(history / "catalog.sqlite")
    tables = [row[0] for row in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    listed = re.findall(r"^\| ([a-z_, ]+) \|", PAGE, re.M)
    words = {word for line in listed for word in line.split(", ")}
    assert len(tables) >= 9 and set(tables) <= words
    assert set(kit.frame(["A/EUR"], 1).columns) <= words
    catalog.close()
