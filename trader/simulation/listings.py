"""What the twin lists: names in Kraken's style, ticks and minimums; base assets, price levels and volumes of the synthetic market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal
from math import floor, log10

from trader.domain.money import from_float, plain, quantum, round_to

LOT_DECIMALS = 8
COST_MIN = Decimal("0.5")
_LEGACY = frozenset({"BTC", "ETH", "XRP", "LTC", "XLM", "ETC", "ZEC", "XMR", "REP", "MLN"})  # asset ids with a leading X
_RENAMED = {"BTC": "XBT", "DOGE": "XDG"}  # Kraken's own spelling
_FIAT = frozenset({"EUR", "USD", "GBP", "CAD", "JPY", "AUD", "CHF"})

# Base assets of the synthetic market by rank of volume, with an orientation price in EUR. Where the list ends, tickers are invented.
_BASES = """BTC 60000 ETH 2600 SOL 135 XRP 1.85 DOGE 0.128 ADA 0.36 LINK 12.1 SUI 1.45 AVAX 12.4 LTC 71 DOT 1.82 PEPE 0.000012 BCH 520
HBAR 0.112 XLM 0.21 UNI 5.1 AAVE 148 TRX 0.245 NEAR 1.46 SHIB 0.000011 ATOM 2.05 ALGO 0.117 FET 0.22 INJ 4.6 TAO 232 TIA 0.49
ONDO 0.38 RENDER 1.35 ARB 0.178 OP 0.264 APT 1.72 ICP 2.9 FIL 1.28 ETC 11.2 BONK 0.000014 WIF 0.35 JUP 0.19 ENA 0.21 SEI 0.114
IMX 0.235 GRT 0.037 MKR 1290 LDO 0.56 CRV 0.36 STX 0.29 FLOKI 0.0000412 KAS 0.0445 JASMY 0.0063 SAND 0.117 MANA 0.131 AXS 0.83
EGLD 6.2 FLOW 0.165 XTZ 0.47 THETA 0.27 QNT 69 CHZ 0.036 GALA 0.0059 APE 0.21 COMP 24.5 SNX 0.44 RUNE 0.57 KAVA 0.079 MINA 0.078
DYDX 0.171 ENS 8.7 PENDLE 1.72 EIGEN 0.36 STRK 0.078 ZRO 1.26 W 0.036 PYTH 0.056 JTO 0.37 RAY 0.93 POPCAT 0.083 MEW 0.00094
TURBO 0.00168 GIGA 0.0043 BLUR 0.0282 LRC 0.052 ANKR 0.0059 BAT 0.188 ZRX 0.111 1INCH 0.142 SUSHI 0.264 YFI 3050 BAL 0.54 UMA 0.68
KNC 0.205 OCEAN 0.16 STORJ 0.119 SKL 0.0099 CELR 0.0028 ICX 0.053 LSK 0.177 WAVES 0.62 DASH 36.5 ZEC 348 KSM 6.6 GLMR 0.0232
MOVR 1.48 ASTR 0.0098 ACA 0.0122 KILT 0.0185 PHA 0.034 CFG 0.112 INTR 0.00041 SC 0.00152 NANO 0.63 OXT 0.0271 REQ 0.094 RLC 0.58
SPELL 0.00022 AUDIO 0.0242 BAND 0.34 BNT 0.36 CVX 1.67 FXS 0.62 GNO 107 LPT 2.75 MASK 0.51 NMR 8.2 OGN 0.0258 PERP 0.095
POWR 0.076 RAD 0.31 RARI 0.236 REN 0.0071 SUPER 0.193 SYN 0.0485 TLM 0.00201 TOKE 0.118 TVK 0.0365 UNFI 0.093 WOO 0.0238 YGG 0.061
ALICE 0.163 ALPHA 0.0079 ARPA 0.0118 ATLAS 0.000192 AGLD 0.245 BADGER 0.72 BICO 0.042 BOBA 0.0343 BOND 0.109 CHR 0.0375
CQT 0.00098 CTSI 0.0312 C98 0.0235 ENJ 0.0254 FARM 16.1 FIDA 0.0352 FORTH 1.69 GHST 0.148 GODS 0.0515 GTC 0.112 HFT 0.0286
HNT 1.31 IDEX 0.0129
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One tradable pair as the exchange describes it.

    `pair`: unified name `BTC/EUR`; `pair_id`, `altname`, `wsname`: Kraken's three other names; `base_id`, `quote_id`,
    `base_altname`, `quote_altname`: asset ids and their short names. `ordermin` in base, `costmin` in quote.
    """

    pair: str
    base: str
    quote: str
    pair_id: str
    altname: str
    wsname: str
    base_id: str
    base_altname: str
    quote_id: str
    quote_altname: str
    pair_decimals: int
    lot_decimals: int
    ordermin: Decimal
    costmin: Decimal
    tick: Decimal


def make_listing(pair: str, *, pair_decimals: int, ordermin: Decimal) -> Listing:
    """Listing of the unified `pair` (`BTC/EUR`) with Kraken's naming rules; raises ValueError for a name without one slash."""
    base, slash, quote = pair.partition("/")
    if not (base and slash and quote) or "/" in quote:
        raise ValueError(f"pair {pair!r} must read BASE/QUOTE")
    base_alt, quote_alt = _RENAMED.get(base, base), _RENAMED.get(quote, quote)
    base_id = "X" + base_alt if base in _LEGACY or base in _RENAMED else base_alt
    quote_id = "Z" + quote if quote in _FIAT else ("X" + quote_alt if quote in _LEGACY else quote_alt)
    long_id = base in _LEGACY and (quote in _FIAT or quote in _LEGACY)
    return Listing(
        pair=pair,
        base=base,
        quote=quote,
        pair_id=base_id + quote_id if long_id else base_alt + quote_alt,
        altname=base_alt + quote_alt,
        wsname=f"{base_alt}/{quote_alt}",
        base_id=base_id,
        base_altname=base_alt,
        quote_id=quote_id,
        quote_altname=quote_alt,
        pair_decimals=pair_decimals,
        lot_decimals=LOT_DECIMALS,
        ordermin=ordermin,
        costmin=COST_MIN,
        tick=quantum(pair_decimals),
    )


def synthetic_bases(count: int) -> tuple[tuple[str, float], ...]:
    """(base, orientation price in EUR) of the first `count` assets by rank; BTC first, no fiat, no stable coin."""
    words = _BASES.split()
    known = [(words[i], float(words[i + 1])) for i in range(0, len(words), 2)]
    invented = [(_invented(i), 10.0 ** (1.5 - (i * 7 % 11) * 0.45)) for i in range(max(0, count - len(known)))]
    return tuple((known + invented)[:count])


def _invented(index: int) -> str:
    """A ticker that no asset of the list has: QX, then three letters counted in base 26."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "QX" + letters[index // 676 % 26] + letters[index // 26 % 26] + letters[index % 26]


def decimals_for(price: float) -> int:
    """Price decimals that leave about six digits: 60,000 -> 1, 0.36 -> 6, 1e-5 -> 10."""
    return min(10, max(1, 5 - floor(log10(price))))


def synthetic_listing(base: str, quote: str, price: float) -> Listing:
    """Listing at orientation price `price`; ordermin is worth about 3 quote, one significant digit."""
    lot = quantum(LOT_DECIMALS)
    order_min = Decimal(plain(max(round_to(Decimal(f"{3.0 / price:.0e}"), lot, ROUND_HALF_EVEN), lot)))
    return make_listing(f"{base}/{quote}", pair_decimals=decimals_for(price), ordermin=order_min)


def replay_listing(pair: str, *, pair_decimals: int, first_price: float) -> Listing:
    """Listing of a recorded pair: ordermin = costmin / first price, rounded up to the lot (SIMULATION.md section 5)."""
    lot = quantum(LOT_DECIMALS)
    order_min = round_to(COST_MIN / from_float(first_price), lot, ROUND_UP)
    return make_listing(pair, pair_decimals=pair_decimals, ordermin=max(order_min, lot))
