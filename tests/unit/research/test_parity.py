"""Trade lists side by side: what is equal, what differs by name, and which input parted first."""

from __future__ import annotations

import pytest

from trader.research.parity import ABSENT, FIELDS, Heard, compare, first_diverging

LINES = (
    "ARB/USDT long 2024-08-25T02:00:00Z 2024-08-25T15:45:00Z 0.6043 0.6021 558.67 2.6961 STAGNATION",
    "ATOM/USDT long 2024-08-25T02:00:00Z 2024-08-25T03:15:00Z 5.18 5.25 22.09 0.9 TP1",
    "ATOM/USDT long 2024-08-25T02:00:00Z 2024-08-25T15:45:00Z 5.18 5.126 57.808356 2.3832 STAGNATION",
)


def test_the_same_legs_in_another_order_are_equal() -> None:
    made = compare(LINES, LINES[::-1])
    assert (made.left, made.right, made.same, made.equal) == (3, 3, 3, True)


@pytest.mark.parametrize("place", range(3, len(FIELDS)))
def test_a_field_that_differs_is_named_with_both_values(place: int) -> None:
    words = LINES[0].split(" ")
    words[place] = "2024-08-25T16:00:00Z" if FIELDS[place].endswith("time") else "1"
    (found,) = compare(LINES, (" ".join(words), *LINES[1:])).differences
    assert (found.field, found.left, found.right) == (FIELDS[place], LINES[0].split(" ")[place], words[place])
    assert str(found).startswith("ARB/USDT long 2024-08-25T02:00:00Z leg 1: ")


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_leg_of_one_run_only_is_one_difference(side: str) -> None:
    lists = (LINES[:1] + LINES[2:], LINES)
    made = compare(*(lists if side == "left" else lists[::-1]))
    legs = [one for one in made.differences if one.field == "leg"]
    assert [getattr(one, side) for one in legs] == [ABSENT] and made.same == 1


def test_what_is_no_trade_line_is_refused() -> None:
    with pytest.raises(ValueError, match="9 expected"):
        compare(["ARB/USDT long"], [])


def heard(time_us: int = 10, pair: str = "A/EUR", **values: object) -> Heard:
    return Heard(time_us=time_us, pair=pair, values=values)


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ([heard(rsi=1.0), heard(20, rsi=2.0)], [heard(20, rsi=3.0), heard(rsi=1.5)], "close 10: rsi: 1.0 | 1.5"),
        ([heard(rsi=1.0)], [heard(rsi=1.0), heard(5)], "close 5: judged a candidate by the right side only"),
        ([heard(rsi=1.0)], [heard(rsi=1.0, atr=2.0)], "values ['atr'] are known to one side only"),
        ([heard(rsi=1.0)], [heard(rsi=1.0)], "none: all 1 judged candidates are equal"),
    ],
)
def test_the_first_input_that_parts_two_runs_is_named(left: list[Heard], right: list[Heard], said: str) -> None:
    assert said in first_diverging(left, right)
