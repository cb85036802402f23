"""The night's account of a day on a ledger without a simulated market beside it, and its record."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ledger_kit import T0

from trader.bootstrap import night, nights
from trader.bootstrap.paths import Paths
from trader.config import load
from trader.data.ledger import SqlLedger


def test_the_books_are_in_the_currency_of_the_settings_where_no_simulated_market_says_another(tmp_path: Path) -> None:
    settings = load({"state_dir": str(tmp_path), "environment": "paper", "quote": "USD"}, environ={})
    ledger = SqlLedger(Paths(settings.state).make().ledger, account=settings.account)
    ledger.set_opening_cash({"USD": Decimal(10_000)}, T0)
    ledger.close()
    assert night.close_books(settings, "2026-01-05")["quote"] == "USD"


def test_a_record_is_replaced_whole_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "nights"
    for state in ("failed", "done"):
        nights.save(folder, nights.Night(day="2026-01-05", steps={"sum up": nights.Step(state=state, at="now")}))
    assert nights.load(folder, "2026-01-05").done("sum up")
    assert [(file.name, file.stat().st_mode & 0o777) for file in folder.iterdir()] == [("2026-01-05.json", 0o600)]
    assert folder.stat().st_mode & 0o777 == 0o700
