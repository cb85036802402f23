"""Counts and lengths of campaigns: what makes no sense is refused with what was given and what is allowed."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from tests.amounts import above, whole


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (whole(), "0", "'0' is not allowed; a whole number of at least 1 is"),
        (whole(0), "-1", "'-1' is not allowed; a whole number of at least 0 is"),
        (whole(), "1.5", "'1.5' is not allowed"),
        (above(), "0", "'0' is not allowed; a number above 0 is"),
        (above(), "nan", "'nan' is not allowed"),
        (above(), "inf", "'inf' is not allowed"),
        (above(or_equal=True), "-0.1", "'-0.1' is not allowed; a number from 0 is"),
        (above(), "much", "'much' is not allowed"),
    ],
)
def test_what_makes_no_sense_is_refused(parse: Callable[[str], float], text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "number"), [(whole(), "3", 3), (whole(0), "0", 0), (above(), "0.25", 0.25), (above(or_equal=True), "0", 0.0)]
)
def test_what_makes_sense_is_taken(parse: Callable[[str], float], text: str, number: float) -> None:
    assert parse(text) == number
