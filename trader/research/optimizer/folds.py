"""Rolling folds over whole UTC days: 56 days to choose in, 14 days to be judged in, and what is left out between them.

Source: Lopez de Prado, "Advances in Financial Machine Learning" (2018), ch. 7: a day whose positions may still be open in the test
block is purged from the end of the train block, and what whole days leave over beyond the longest position is the embargo.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

TRAIN_DAYS, TEST_DAYS = 56, 14
LEAST_DAYS, MOST_DAYS = 56, 300
BARS_A_DAY = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Day numbers, ends excluded: train [train_first, train_end), purged [train_end, test_first), test [test_first, test_end)."""

    number: int
    train_first: int
    train_end: int
    test_first: int
    test_end: int


def purged_days(longest_bars: int) -> int:
    """Whole days that hold the longest position and one bar more."""
    return ceil((longest_bars + 1) / BARS_A_DAY)


def folds_of(first_day: int, end_day: int, purge: int) -> tuple[Fold, ...]:
    """Folds of the days [first_day, end_day), oldest first; test blocks follow each other and the newest ends with the data.

    As many as the days hold, at most 300 days of test blocks; none where even 56 days of them do not fit. Raises ValueError where the
    purge leaves nothing of a train block.
    """
    if not 0 <= purge < TRAIN_DAYS:
        raise ValueError(f"a purge of {purge} days leaves nothing of {TRAIN_DAYS} train days")
    count = min((end_day - first_day - TRAIN_DAYS) // TEST_DAYS, MOST_DAYS // TEST_DAYS)
    if count * TEST_DAYS < LEAST_DAYS:
        return ()
    made = []
    for number in range(1, count + 1):
        test = end_day - (count - number + 1) * TEST_DAYS
        made.append(Fold(number=number, train_first=test - TRAIN_DAYS, train_end=test - purge, test_first=test, test_end=test + TEST_DAYS))
    return tuple(made)
