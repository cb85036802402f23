"""The scanner (liquidity-ranked universe): which pairs to look at, with the reason for each that is left out.

Coarse list from one all-tickers call, fine rank by turnover of closed candles; membership has hysteresis, so pairs at the
edge do not flap (SPEC section 8). Pure: times are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trader.domain.market import DAY, Instrument, Ticker
from trader.domain.money import ZERO

COARSE = 233
HYSTERESIS = 1.2
BLACKLIST_US = 7 * DAY
STALE_US = DAY
ALIASES = {"XBT": "BTC", "XXBT": "BTC", "XDG": "DOGE", "XXDG": "DOGE"}
FIAT = frozenset({"EUR", "USD", "GBP", "CHF", "JPY", "CAD", "AUD", "PLN", "ARS", "AED", "MXN"})
STABLE = frozenset({
    "USDT", "USDC", "DAI", "PYUSD", "EURC", "EURT", "EURQ", "EURR", "USDQ", "USDR", "USDS", "USD1", "USDG", "USDD", "USDE", "FDUSD", "TUSD",
    "RLUSD", "UST", "GUSD", "PAX", "USDP", "BUSD", "AUDX", "TGBP",
})  # fmt: skip


def plain_base(base: str) -> str:
    """One name per coin: XBT -> BTC, XDG -> DOGE, legacy XETH -> ETH and ZEUR -> EUR."""
    if base in ALIASES:
        return ALIASES[base]
    if len(base) == 4 and base[0] in "XZ" and base[1:] in (FIAT if base[0] == "Z" else _LEGACY):
        return base[1:]
    return base


_LEGACY = frozenset({"ETH", "ETC", "LTC", "XRP", "XLM", "XMR", "ZEC", "REP", "MLN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """What the scan knows of a pair. `quote_volume`: sum of close x volume over its last 96 closed bars.

    `spread` None = not known (only judged when known); `last_candle_us`: close of the newest candle, None = never seen.
    `gate`: the failed data expectation, "" = passed.
    """

    pair: str
    base: str
    quote_volume: float
    spread: float | None = None
    status: str = "online"
    last_candle_us: int | None = None
    gate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Why a pair may not be entered now; `until_us` where that ends by itself."""

    pair: str
    reason: str
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Result of a scan: `members` in rank order, all `ranks` (1 = largest), and who is left out why.

    `stale`: the ticker call failed and the last list stands; `entries_off`: it has been so for a day.
    """

    members: tuple[str, ...]
    ranks: Mapping[str, int]
    excluded: tuple[Exclusion, ...] = ()
    stale: bool = False
    entries_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRules:
    """What the account adds: pairs and bases held, the deny list, cooldowns and blacklist (until, us)."""

    size: int
    max_spread: float
    deny: tuple[str, ...] = ()
    held_bases: Mapping[str, str] = field(default_factory=dict)  # plain base -> the pair it is held in
    cooldown_until_us: Mapping[str, int] = field(default_factory=dict)
    blacklist_until_us: Mapping[str, int] = field(default_factory=dict)


def coarse(tickers: Mapping[str, Ticker], instruments: Mapping[str, Instrument], quote: str, size: int = COARSE) -> list[str]:
    """The largest pairs of one quote currency by 24 h turnover; fiat and stablecoin bases and tickers without price or
    volume left out. Equal turnover: by name."""
    fit = [
        pair
        for pair, ticker in tickers.items()
        if (known := instruments.get(pair)) is not None
        and known.quote == quote
        and plain_base(known.base) not in FIAT | STABLE
        and ticker.last > ZERO
        and ticker.quote_volume > 0
    ]
    return sorted(fit, key=lambda pair: (-tickers[pair].quote_volume, pair))[:size]


def fine_ranks(facts: Iterable[PairFacts]) -> dict[str, int]:
    """Rank by turnover of closed candles, 1 = largest; equal turnover by name; values that are not numbers count as 0."""
    volume = {f.pair: f.quote_volume if math.isfinite(f.quote_volume) else 0.0 for f in facts}
    return {pair: n for n, pair in enumerate(sorted(volume, key=lambda pair: (-volume[pair], pair)), 1)}


def members_of(ranks: Mapping[str, int], size: int, before: Iterable[str]) -> tuple[str, ...]:
    """Members: rank <= size, or member before and rank <= ceil(1.2 x size); in rank order."""
    kept = frozenset(before)
    edge = math.ceil(HYSTERESIS * size - 1e-9)
    return tuple(sorted((p for p, rank in ranks.items() if rank <= size or (p in kept and rank <= edge)), key=lambda p: ranks[p]))


def scan(facts: Sequence[PairFacts], rules: ScanRules, before: Iterable[str], now_us: int) -> Scan:
    """The hourly fine rank: members, and of those the ones excluded from entries with their first reason."""
    ranks = fine_ranks(facts)
    members = members_of(ranks, rules.size, before)
    known = {f.pair: f for f in facts}
    excluded = [found for pair in members if (found := exclusion(known[pair], rules, now_us)) is not None]
    return Scan(members=members, ranks=ranks, excluded=tuple(excluded))


class Universe:
    """Who may be entered: the `size` largest markets by turnover of closed candles, with hysteresis.

    Ranked at each full hour, after that close was decided: a reading serves closes strictly after it (SPEC section 6). A pair that
    was not there yet is ranked before the next decision, for trading never waits for all of them.
    """

    def __init__(self, size: int, members: Iterable[str] = ()) -> None:
        self.size, self.members = size, tuple(members)
        self._ranked: frozenset[str] = frozenset()

    def lacks(self, pairs: Iterable[str]) -> bool:
        """Whether one of these was never ranked."""
        return not self._ranked.issuperset(pairs)

    def rank(self, volumes: Mapping[str, float]) -> None:
        """Take over the turnover of each pair's last 96 closed bars, in quote."""
        self._ranked = frozenset(volumes)
        ranks = fine_ranks(PairFacts(pair=pair, base="", quote_volume=volume) for pair, volume in volumes.items())
        self.members = members_of(ranks, self.size, self.members)

    def __contains__(self, pair: str) -> bool:
        return pair in self.members


def unchanged(last: Scan, since_us: int, now_us: int) -> Scan:
    """The last list, marked stale because the ticker call gave nothing; after 24 h it blocks entries. `since_us`: when it was made."""
    return Scan(members=last.members, ranks=last.ranks, excluded=last.excluded, stale=True, entries_off=now_us - since_us > STALE_US)


def exclusion(facts: PairFacts, rules: ScanRules, now_us: int) -> Exclusion | None:
    """The first reason a pair may not be entered, or None."""
    pair = facts.pair
    held_in = rules.held_bases.get(plain_base(facts.base))
    if held_in is not None:
        return Exclusion(pair=pair, reason="held" if held_in == pair else f"alias held: {held_in}")
    if pair in rules.deny:
        return Exclusion(pair=pair, reason="denied")
    if (until := rules.cooldown_until_us.get(pair, 0)) > now_us:
        return Exclusion(pair=pair, reason="cooldown", until_us=until)
    if (until := rules.blacklist_until_us.get(pair, 0)) > now_us:
        return Exclusion(pair=pair, reason="blacklisted", until_us=until)
    if facts.spread is not None and not facts.spread <= rules.max_spread:
        return Exclusion(pair=pair, reason=f"spread {facts.spread:.4f} above {rules.max_spread:.4f}")
    if facts.status != "online":
        return Exclusion(pair=pair, reason=f"venue status {facts.status}")
    if facts.last_candle_us is None or now_us - facts.last_candle_us > DAY:
        return Exclusion(pair=pair, reason="no candles for a day", until_us=now_us + BLACKLIST_US)
    return Exclusion(pair=pair, reason=f"data gate: {facts.gate}") if facts.gate else None


def held_bases(pairs: Mapping[str, Instrument], held: Iterable[str]) -> dict[str, str]:
    """Plain base -> pair of what is held, for `ScanRules`."""
    return {plain_base(pairs[pair].base): pair for pair in held if pair in pairs}


def depth_within(levels: Iterable[tuple[Decimal, Decimal]], mid: Decimal, share: Decimal = Decimal("0.005")) -> Decimal:
    """Notional of ask levels within `share` of mid, in quote."""
    limit = mid * (1 + share)
    return sum((price * quantity for price, quantity in levels if price <= limit), ZERO)
