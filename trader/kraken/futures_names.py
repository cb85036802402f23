"""Futures contracts: the venue's symbols against ours, and their trading rules.

A perpetual's pair is ccxt's unified name: `BTC/USD:USD` for the linear PF_XBTUSD, `BTC/USD:BTC` for the inverse PI_XBTUSD.
Dated futures (FI_, FF_) and indices are left out. Quantities of a linear contract are base coins; those of an inverse one
are contracts of one USD each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trader.domain.market import Instrument
from trader.domain.money import ZERO, quantum
from trader.kraken import translate
from trader.kraken.instruments import common

LINEAR, INVERSE = "PF_", "PI_"
QUOTE_STEP = quantum(10)  # costs and fees are kept to this many digits
QUOTE = "USD"


@dataclass(frozen=True, slots=True)
class Contracts:
    """Symbols both ways, and the rules of every perpetual."""

    symbols: Mapping[str, str] = field(default_factory=dict)  # pair -> symbol
    pairs: Mapping[str, str] = field(default_factory=dict)  # symbol -> pair
    instruments: Mapping[str, Instrument] = field(default_factory=dict)  # pair -> rules

    def symbol(self, pair: str) -> str:
        """The venue's symbol. Raises ValueError for a pair that is no perpetual of the venue."""
        try:
            return self.symbols[pair]
        except KeyError:
            raise ValueError(f"pair {pair!r} is not among the {len(self.symbols)} perpetuals Kraken lists") from None

    def pair(self, symbol: str) -> str:
        """Our name of a symbol in any case; a dated contract keeps its own."""
        return self.pairs.get(symbol.upper(), symbol)


def is_inverse(pair: str) -> bool:
    """Whether a pair settles in its base: quantities are USD then, costs and fees base coins."""
    base, _, settle = pair.partition("/")
    return settle == f"{QUOTE}:{base}"


def pair_of(symbol: str) -> str:
    """`PF_XBTUSD` -> `BTC/USD:USD`. Raises ValueError for a symbol that is no perpetual against USD."""
    prefix, stem = symbol[:3].upper(), symbol[3:].upper()
    if prefix not in (LINEAR, INVERSE) or not stem.endswith(QUOTE) or stem == QUOTE:
        raise ValueError(f"symbol {symbol!r} is not a perpetual against {QUOTE}")
    base = common(stem.removesuffix(QUOTE))
    return f"{base}/{QUOTE}:{base if prefix == INVERSE else QUOTE}"


def read_contracts(body: Any) -> Contracts:
    """Names and rules from the instruments endpoint. Raises ValueError naming the contract and the field."""
    rows = body["instruments"]
    rules: dict[str, Instrument] = {}
    symbols: dict[str, str] = {}
    for raw in rows:
        row = translate.mapping(raw, "instruments")
        symbol = translate.text(row.get("symbol"), "symbol").upper()
        if not symbol.startswith((LINEAR, INVERSE)) or not symbol.endswith(QUOTE):
            continue
        rule = _instrument(symbol, row)
        rules[rule.pair], symbols[rule.pair] = rule, symbol
    return Contracts(symbols=symbols, pairs={symbol: pair for pair, symbol in symbols.items()}, instruments=rules)


def _instrument(symbol: str, row: Mapping[str, Any]) -> Instrument:
    """`contractValueTradePrecision` 3 -> lot 0.001, -3 -> lot 1000. The venue names no minimum: it is one lot."""
    pair = pair_of(symbol)
    lot = quantum(int(row["contractValueTradePrecision"]))
    tick = translate.decimal(row.get("tickSize"), f"{symbol}.tickSize")
    if tick <= ZERO:
        raise ValueError(f"{symbol}.tickSize: {tick} is not positive")
    status = "online" if row.get("tradeable") is True else "maintenance"
    return Instrument(
        pair=pair, base=pair.partition("/")[0], quote=QUOTE, tick=tick, lot=lot, order_min=lot, cost_min=ZERO, quote_step=QUOTE_STEP,
        status="post_only" if status == "online" and row.get("postOnly") is True else status,
    )  # fmt: skip
