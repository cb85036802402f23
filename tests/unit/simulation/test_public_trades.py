"""The short way for one candle gives the digits of the way for many."""

from __future__ import annotations

import random

from trader.simulation.kraken_server.spot.public_trades import PARTS, plain_units, seen_of_one, seen_volume, share, units


def test_the_trades_of_a_candle_add_up_to_what_is_seen_of_it() -> None:
    draw = random.Random(7)
    for _ in range(2_000):
        volume = draw.choice((draw.random() * 10 ** draw.randint(-8, 9), round(draw.random() * 100, 8), float(draw.randint(1, 10**9))))
        total = 0
        for part in range(1, PARTS + 1):
            total += share(volume, part)
            assert seen_of_one(volume, part) == seen_volume(volume, part), (volume, part)
            assert total == units(float(seen_volume(volume, part))), (volume, part)


def test_units_are_printed_with_all_digits() -> None:
    assert plain_units(units(0.1)) == "0.10000000" and plain_units(units(12.5)) == "12.50000000"
