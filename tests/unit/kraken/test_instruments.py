"""Names of Kraken and the trading rules."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from trader.kraken.instruments import read_assets, read_pairs, refusal_of

ASSETS = {
    "XXBT": {"altname": "XBT"}, "ZEUR": {"altname": "EUR"}, "XXDG": {"altname": "XDG"}, "XBT.M": {"altname": "XBT.M"},
    "SOL": {"altname": "SOL"},
}  # fmt: skip
PAIR = {
    "altname": "XBTEUR", "wsname": "XBT/EUR", "aclass_base": "currency", "base": "XXBT", "quote": "ZEUR", "pair_decimals": 1,
    "lot_decimals": 8,
    "cost_decimals": 5, "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
}  # fmt: skip


def test_all_four_names_of_a_pair_lead_to_one() -> None:
    names, instruments = read_pairs({"XXBTZEUR": PAIR}, read_assets(ASSETS))
    assert {names.pair(name) for name in ("XXBTZEUR", "XBTEUR", "XBT/EUR", "BTC/EUR")} == {"BTC/EUR"}
    assert names.pair_id("BTC/EUR") == "XXBTZEUR"
    assert instruments["BTC/EUR"].tick == Decimal("0.1")
    with pytest.raises(ValueError, match="DOGE/EUR"):
        names.pair_id("DOGE/EUR")


def test_asset_names_are_common_and_suffixes_stay_apart() -> None:
    names, _ = read_pairs({"XXBTZEUR": PAIR}, read_assets(ASSETS))
    assert [names.asset(key) for key in ("XXBT", "ZEUR", "XXDG", "SOL")] == ["BTC", "EUR", "DOGE", "SOL"]
    assert [names.asset(key) for key in ("XBT.M", "XXBT.F", "SOL.F", "NEW", "NEW.S")] == ["BTC.M", "BTC.F", "SOL.F", "NEW", "NEW.S"]


def test_synthetic_and_tokenised_pairs_are_left_out() -> None:
    tokenised = PAIR | {"altname": "AAPLxEUR", "wsname": "AAPLx/EUR", "aclass_base": "tokenized_asset"}
    _, instruments = read_pairs({"XXBTZEUR": PAIR, "XBT:BTNLEUR": PAIR, "AAPLxEUR": tokenised}, {})
    assert list(instruments) == ["BTC/EUR"]


def test_recorded_pairs_are_read(body: Callable[[str], Any]) -> None:
    _, instruments = read_pairs(body("nautilus/http_asset_pairs.json")["result"], {})
    assert instruments["BTC/USDT"].cost_min == Decimal("0.5")
    _, tokenised = read_pairs(body("nautilus/http_asset_pairs_tokenized.json")["result"], {})
    assert tokenised == {}


def test_an_order_off_the_rules_is_refused_with_its_reason() -> None:
    _, instruments = read_pairs({"XXBTZEUR": PAIR}, {})
    rules = instruments["BTC/EUR"]
    assert refusal_of(rules, Decimal("0.001"), Decimal("50000.1")) is None
    for quantity, price, word in (
        ("0.00004", "50000", "order minimum"), ("0.000050001", "50000", "lot"), ("0.001", "50000.05", "tick"),
        ("0.00005", "9999", "cost minimum"), ("0", "1", "lot"), ("1", "-1", "tick"),
    ):  # fmt: skip
        message = refusal_of(rules, Decimal(quantity), Decimal(price))
        assert message is not None
        assert word in message
