"""Numbers on the command lines of campaigns and benchmarks: a count or a length that makes no sense is refused by name, not played."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(least: int = 1) -> Callable[[str], int]:
    """An argparse type: a whole number of at least so many."""

    def parsed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number of at least {least} is")
        return number

    return parsed


def above(limit: float = 0.0, *, or_equal: bool = False) -> Callable[[str], float]:
    """An argparse type: a finite number above the limit, or with `or_equal` the limit itself."""

    def parsed(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and (number > limit or (or_equal and number == limit))):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number {'from' if or_equal else 'above'} {limit:g} is")
        return number

    return parsed
