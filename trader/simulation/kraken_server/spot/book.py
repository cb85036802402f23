"""The synthetic order book of a pair: a pure function of (seed, pair, quotes, market tick), with Kraken's checksum.

Prices and quantities are whole numbers of the pair's smallest digits (10^-pair_decimals, 10^-lot_decimals): then the text of a
level is exact, and Kraken's "dot removed, leading zeros stripped" is the number itself (KRAKEN.md section 5).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from trader.simulation.exchange_orders import PairRules, unit_hash

DEPTHS = (10, 25, 100, 500, 1000)  # levels a side that may be subscribed
CHECKED = 10  # levels a side the checksum covers
LIFE_US = 480_000_000  # a level keeps its quantity this long; levels take turns, so that a tick changes few of them
EXACT = 10**15  # quantities from here on are whole coins: their lot's digits would not survive a client's floats
LEAST = 10_000  # minimum orders at a level: the book bears what a strategy asks of depth, as that of a large market does
STEPS_PER_PRICE = 4000  # distance of neighbouring levels: at most price / this, and at least one tick


class Level(NamedTuple):
    """One price of a side; quantity 0 in an update removes it. `changed_us`: when the quantity was last set."""

    price: int
    quantity: int
    changed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Best levels first on both sides, at most `depth` of them, as they stand after the tick at `tick_us`."""

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    depth: int
    tick_us: int


def make_book(rules: PairRules, bid: Decimal, ask: Decimal, *, seed: int, tick_us: int, depth: int) -> Book:
    """The book around the quotes: best levels stand at `bid` and `ask`, the others on a fixed grid of prices."""
    best_bid, best_ask = _units(bid, rules.pair_decimals), _units(ask, rules.pair_decimals)
    best_ask = max(best_ask, best_bid + _units(rules.tick, rules.pair_decimals))
    step = _step(best_bid, _units(rules.tick, rules.pair_decimals))
    sides = [
        tuple(_level(rules, side, price, seed, tick_us) for price in _prices(best, sign * step, depth))
        for side, best, sign in (("asks", best_ask, 1), ("bids", best_bid, -1))
    ]
    return Book(asks=sides[0], bids=sides[1], depth=depth, tick_us=tick_us)


def checksum(book: Book) -> int:
    """CRC32 of the top ten asks ascending, then the top ten bids descending."""
    levels = (*book.asks[:CHECKED], *book.bids[:CHECKED])
    return zlib.crc32("".join(f"{level.price}{level.quantity}" for level in levels).encode())


def changes(before: Book, after: Book) -> tuple[list[Level], list[Level]]:
    """(asks, bids) that lead from one book to the other of the same depth.

    Removals come first, so that a client that cuts its book to the depth after each level loses none it still needs. A level
    that only fell behind the last one of a full side is not mentioned: cutting to the depth is the client's work.
    """
    return (
        _side_changes(before.asks, after.asks, after.depth, after.tick_us, 1),
        _side_changes(before.bids, after.bids, after.depth, after.tick_us, -1),
    )


def digits(units: int, decimals: int) -> str:
    """A whole number of 10^-decimals as plain decimal text, never with an exponent."""
    if decimals <= 0:
        return str(units)
    text = str(units).rjust(decimals + 1, "0")
    return f"{text[:-decimals]}.{text[-decimals:]}"


def _side_changes(before: Sequence[Level], after: Sequence[Level], depth: int, tick_us: int, sign: int) -> list[Level]:
    old, new = {level.price: level.quantity for level in before}, {level.price for level in after}
    last = sign * after[-1].price if len(after) == depth else None
    gone = [level.price for level in before if level.price not in new and (last is None or sign * level.price < last)]
    return [Level(price, 0, tick_us) for price in gone] + [level for level in after if old.get(level.price) != level.quantity]


def _prices(best: int, step: int, depth: int) -> Iterator[int]:
    """The best price, then the grid behind it; bids end above zero."""
    yield best
    grid = abs(step)
    price = (best // grid + 1) * grid if step > 0 else (best - 1) // grid * grid
    for _ in range(depth - 1):
        if price <= 0:
            return
        yield price
        price += step


def _level(rules: PairRules, side: str, price: int, seed: int, tick_us: int) -> Level:
    """LEAST to 10 x LEAST times the minimum order; a new draw every LIFE_US, at a moment that is the level's own."""
    offset = int(unit_hash(seed, side, rules.symbol, price) * LIFE_US)
    epoch = (tick_us + offset) // LIFE_US
    draw = LEAST + 9 * LEAST * unit_hash(seed, side, rules.symbol, price, epoch)
    quantity = max(1, int(_units(rules.ordermin, rules.lot_decimals) * draw))
    if quantity >= EXACT:
        quantity -= quantity % 10**rules.lot_decimals
    return Level(price, quantity, epoch * LIFE_US - offset)


def _step(price: int, tick: int) -> int:
    """Grid width: 1, 2 or 5 times a power of ten of the tick, at most price / STEPS_PER_PRICE where the tick allows."""
    width = tick
    for factor in _series():
        if tick * factor * STEPS_PER_PRICE > price:
            return width
        width = tick * factor
    return width


def _series() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _units(value: Decimal, decimals: int) -> int:
    return int(value.scaleb(decimals))
