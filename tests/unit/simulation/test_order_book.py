"""The synthetic book: pure, uncrossed, kept by a client that cuts to its depth, checked by Kraken's CRC."""

from __future__ import annotations

import itertools
import zlib
from decimal import Decimal

import pytest

from trader.simulation.exchange_orders import PairRules, unit_hash
from trader.simulation.kraken_server.spot.book import DEPTHS, Book, Level, changes, checksum, digits, make_book
from trader.simulation.kraken_server.spot.market_view import rules_of
from trader.simulation.listings import make_listing

TICK_US = 15_000_000
DEAR = rules_of(make_listing("BTC/EUR", pair_decimals=1, ordermin=Decimal("0.00005")), 0)
CHEAP = rules_of(make_listing("PEPE/EUR", pair_decimals=8, ordermin=Decimal(250_000)), 1)
TINY = rules_of(make_listing("X/EUR", pair_decimals=10, ordermin=Decimal(30_000_000)), 2)
PRICES = {"BTC/EUR": Decimal("60000.1"), "PEPE/EUR": Decimal("0.00001234"), "X/EUR": Decimal("0.0000001234")}


def at(rules: PairRules, number: int, depth: int) -> Book:
    """The book of tick `number` on a random walk of about 0.1 % a tick, with a jump over the grid now and then."""
    move = Decimal(round((unit_hash("walk", rules.symbol, number) - 0.5) * 1000)) / 1_000_000 * (50 if number % 97 == 0 else 1)
    last = (PRICES[rules.symbol] * (1 + move)).quantize(rules.tick)
    bid, ask = max(last - 2 * rules.tick, rules.tick), last + 2 * rules.tick
    return make_book(rules, bid, ask, seed=7, tick_us=number * TICK_US, depth=depth)


class FloatClient:
    """A client as python-kraken-sdk keeps a book: floats formatted with the pair's decimals, cut to the depth after each level."""

    def __init__(self, rules: PairRules, depth: int) -> None:
        self.rules, self.depth = rules, depth
        self.asks: dict[str, str] = {}
        self.bids: dict[str, str] = {}

    def take(self, asks: tuple[Level, ...] | list[Level], bids: tuple[Level, ...] | list[Level]) -> None:
        self.asks = self._side(self.asks, asks, reverse=False)
        self.bids = self._side(self.bids, bids, reverse=True)

    def _side(self, side: dict[str, str], levels: tuple[Level, ...] | list[Level], *, reverse: bool) -> dict[str, str]:
        for level in levels:
            price = f"{float(digits(level.price, self.rules.pair_decimals)):.{self.rules.pair_decimals}f}"
            quantity = f"{float(digits(level.quantity, self.rules.lot_decimals)):.{self.rules.lot_decimals}f}"
            if float(quantity) > 0:
                side[price] = quantity
            else:
                side.pop(price, None)
            side = dict(sorted(side.items(), key=lambda item: float(item[0]), reverse=reverse)[: self.depth])
        return side

    def crc(self) -> int:
        rows = [*list(self.asks.items())[:10], *list(self.bids.items())[:10]]
        text = "".join(price.replace(".", "").lstrip("0") + quantity.replace(".", "").lstrip("0") for price, quantity in rows)
        return zlib.crc32(text.encode())


@pytest.mark.parametrize("rules", [DEAR, CHEAP, TINY], ids=lambda rules: rules.symbol)
@pytest.mark.parametrize(("depth", "ticks"), [(10, 300), (25, 120), (100, 30), (500, 6), (1000, 4)])
def test_a_client_of_floats_keeps_the_book_and_its_checksum(rules: PairRules, depth: int, ticks: int) -> None:
    book, client = at(rules, 0, depth), FloatClient(rules, depth)
    client.take(book.asks, book.bids)
    assert client.crc() == checksum(book)
    changed = 0
    for number in range(1, ticks + 1):
        after = at(rules, number, depth)
        asks, bids = changes(book, after)
        client.take(asks, bids)
        book, changed = after, changed + len(asks) + len(bids)
        assert client.crc() == checksum(book), f"tick {number}"
        assert list(client.asks) == [digits(level.price, rules.pair_decimals) for level in book.asks]
        assert list(client.bids) == [digits(level.price, rules.pair_decimals) for level in book.bids]
    assert changed >= ticks


def test_one_wrong_digit_in_any_of_the_top_ten_levels_breaks_the_checksum() -> None:
    book = at(DEAR, 0, 25)
    good = checksum(book)
    broken = 0
    for index in range(25):
        asks = list(book.asks)
        asks[index] = asks[index]._replace(quantity=asks[index].quantity + 1)
        broken += checksum(Book(asks=tuple(asks), bids=book.bids, depth=25, tick_us=0)) != good
    assert broken == 10  # the ten that count, and no other


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("rules", [DEAR, CHEAP, TINY], ids=lambda rules: rules.symbol)
def test_books_are_full_sorted_uncrossed_and_pure(rules: PairRules, depth: int) -> None:
    book = at(rules, 5, depth)
    assert book == at(rules, 5, depth)
    asks, bids = [level.price for level in book.asks], [level.price for level in book.bids]
    assert len(asks) == depth == len(set(asks))
    assert asks == sorted(asks)
    assert bids == sorted(set(bids), reverse=True)
    assert len(bids) == depth or bids[-1] >= 1
    assert 0 < bids[-1] <= bids[0] < asks[0]
    assert all(level.quantity > 0 and level.changed_us <= book.tick_us for level in (*book.asks, *book.bids))
    assert at(rules, 5, 10).asks == book.asks[:10]  # a smaller depth is the same book, cut


def test_a_still_market_changes_few_levels_a_tick() -> None:
    quotes = Decimal("60000.0"), Decimal("60000.2")
    books = [make_book(DEAR, *quotes, seed=7, tick_us=number * TICK_US, depth=100) for number in range(65)]
    counts = [sum(map(len, changes(before, after))) for before, after in itertools.pairwise(books)]
    assert 2 * 200 * 0.8 < sum(counts) < 2 * 200 * 1.2  # each of 200 levels about twice in 16 minutes
    assert max(counts) < 30


def test_quotes_that_touch_leave_a_spread_of_one_tick() -> None:
    book = make_book(DEAR, Decimal("60000.0"), Decimal("60000.0"), seed=7, tick_us=0, depth=10)
    assert book.asks[0].price - book.bids[0].price == 1


@pytest.mark.parametrize(("units", "decimals", "text"), [(1234, 10, "0.0000001234"), (600001, 1, "60000.1"), (5, 0, "5"), (0, 2, "0.00")])
def test_digits_are_plain_decimals(units: int, decimals: int, text: str) -> None:
    assert digits(units, decimals) == text
