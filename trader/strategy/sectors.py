"""Which coins are of one kind: at most three of a sector are held at once (SPEC section 6). Edit the table; a coin not named has none."""

from __future__ import annotations

MOST = 3

SECTORS = {
    "layer 1": "ADA ALGO APT ATOM AVAX DOT EGLD EOS ETH FLOW HBAR ICP INJ KAS KAVA KSM MINA NEAR ONE SEI SOL SUI TIA TON TRX XTZ ZIL",
    "layer 2": "ARB IMX LRC MATIC METIS OP POL SKL STRK ZK",
    "payments": "BCH DASH LTC NANO XLM XRP",
    "privacy": "SCRT XMR ZEC",
    "exchanges and lending": "1INCH AAVE BAL BNB BNT COMP CRO CRV CVX DYDX ENA GMX JUP LDO MKR ONDO PENDLE RAY RUNE SKY SNX SUSHI UNI YFI",
    "data and oracles": "API3 BAND GRT LINK PYTH TRAC UMA",
    "storage and computing": "AKT AR FIL GLM RENDER SC STORJ",
    "machine learning": "AGIX FET OCEAN TAO VIRTUAL WLD",
    "games and worlds": "ALICE APE AXS CHZ ENJ GALA GHST ILV MANA SAND YGG",
    "memes": "BONK DOGE FARTCOIN FLOKI MOG PENGU PEPE POPCAT PUMP SHIB SPX TRUMP TURBO WIF",
}  # fmt: skip

_OF = {base: sector for sector, bases in SECTORS.items() for base in bases.split()}


def sector_of(base: str) -> str:
    """The sector of a coin; empty where the table does not name it."""
    return _OF.get(base, "")
