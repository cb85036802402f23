"""Kraken's names and trading rules: one pair has four names, an asset two; balances carry suffixes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trader.domain.market import Instrument
from trader.domain.money import quantum
from trader.kraken import translate

log = logging.getLogger(__name__)
COMMON = {"XBT": "BTC", "XDG": "DOGE"}


def common(altname: str) -> str:
    """The name the rest of the world uses: XBT -> BTC, XDG -> DOGE."""
    return COMMON.get(altname, altname)


@dataclass(frozen=True, slots=True)
class Names:
    """Every spelling of assets and pairs -> ours, built from Assets and AssetPairs."""

    assets: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)  # id, altname, wsname and pair -> pair
    ids: Mapping[str, str] = field(default_factory=dict)  # pair -> id

    def asset(self, key: str) -> str:
        """`XXBT` -> BTC, `ZEUR` -> EUR, `XBT.F` -> BTC.F (kept apart); an unknown asset keeps its own name."""
        stem, dot, suffix = key.partition(".")
        if key in self.assets and not dot:
            return self.assets[key]
        return self.assets.get(stem, common(stem)) + dot + suffix

    def pair(self, key: str) -> str:
        """Any of the four names -> `BTC/EUR`; an unknown pair keeps its own name."""
        return self.pairs.get(key, key)

    def pair_id(self, pair: str) -> str:
        """The id requests and answers are keyed by. Raises ValueError for a pair Kraken did not list."""
        try:
            return self.ids[pair]
        except KeyError:
            raise ValueError(f"pair {pair!r} is not among the {len(self.ids)} pairs Kraken lists") from None


def read_assets(result: Any) -> dict[str, str]:
    """Asset id and altname -> common name."""
    names: dict[str, str] = {}
    for key, row in translate.mapping(result, "Assets").items():
        altname = translate.text(translate.mapping(row, key).get("altname"), f"{key}.altname")
        stem, dot, suffix = altname.partition(".")
        names[key] = names[altname] = common(stem) + dot + suffix
    return names


def read_pairs(result: Any, assets: Mapping[str, str]) -> tuple[Names, dict[str, Instrument]]:
    """Names and rules of every spot pair of currencies; synthetic (`:BTNL`) and tokenised ones are left out.

    A pair whose rules cannot be read keeps its names, so that its old orders stay readable, but has no rules and no id to ask with.
    """
    pairs: dict[str, str] = {}
    ids: dict[str, str] = {}
    instruments: dict[str, Instrument] = {}
    for key, raw in translate.mapping(result, "AssetPairs").items():
        row = translate.mapping(raw, key)
        if ":" in key or row.get("aclass_base", "currency") != "currency" or not row.get("wsname"):
            continue
        base, _, quote = translate.text(row["wsname"], f"{key}.wsname").partition("/")
        pair = f"{common(base)}/{common(quote)}"
        pairs |= {key: pair, translate.text(row.get("altname"), f"{key}.altname"): pair, row["wsname"]: pair, pair: pair}
        try:
            instruments[pair] = _instrument(pair, key, row)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            log.error("the rules of %s cannot be read, it is left out: %s: %s", pair, type(error).__name__, error)
        else:
            ids[pair] = key
    return Names(assets=assets, pairs=pairs, ids=ids), instruments


def _instrument(pair: str, key: str, row: Mapping[str, Any]) -> Instrument:
    base, _, quote = pair.partition("/")
    tick = row.get("tick_size")
    return Instrument(
        pair=pair, base=base, quote=quote, lot=quantum(int(row["lot_decimals"])),
        tick=translate.decimal(tick, f"{key}.tick_size") if tick is not None else quantum(int(row["pair_decimals"])),
        order_min=translate.decimal(row.get("ordermin", "0"), f"{key}.ordermin"),
        cost_min=translate.decimal(row.get("costmin", "0"), f"{key}.costmin"),
        quote_step=quantum(int(row.get("cost_decimals", 5))), status=str(row.get("status", "online")),
    )  # fmt: skip


def refusal_of(instrument: Instrument, quantity: Decimal, price: Decimal | None) -> str | None:
    """Why an order of this size and price breaks the rules, or None; nothing is ever enlarged to fit."""
    if quantity <= 0 or quantity % instrument.lot != 0:
        return f"{instrument.pair}: quantity {quantity} is not a positive multiple of the lot {instrument.lot}"
    if quantity < instrument.order_min:
        return f"{instrument.pair}: quantity {quantity} is below the order minimum {instrument.order_min}"
    if price is None:
        return None
    if price <= 0 or price % instrument.tick != 0:
        return f"{instrument.pair}: price {price} is not a positive multiple of the tick {instrument.tick}"
    if quantity * price < instrument.cost_min:
        return f"{instrument.pair}: cost {quantity * price} is below the cost minimum {instrument.cost_min}"
    return None


def amend_refusal(rules: Instrument, quantity: Decimal | None, trigger: Decimal | None) -> str | None:
    """Why new values of a live order break the rules, or None."""
    if trigger is not None and (trigger <= 0 or trigger % rules.tick != 0):
        return f"{rules.pair}: trigger {trigger} is not a positive multiple of the tick {rules.tick}"
    return None if quantity is None else refusal_of(rules, quantity, None)
