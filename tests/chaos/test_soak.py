"""What grows fails the soak, and what is flat passes. The soak itself: `make soak`."""

from __future__ import annotations

import pytest

from tests.chaos.soak import Sample, grown, slope


def samples(**growth: float) -> list[Sample]:
    """Twelve hours: everything flat with a little noise, but for what grows by so much an hour."""
    flat = {"rss_mb": 500.0, "descriptors": 27, "tasks": 28, "work": 0, "outbox_mb": 0.0}
    return [
        Sample(hour=hour, **{name: value + hour % 2 + growth.get(name, 0) * hour for name, value in flat.items()}) for hour in range(12)
    ]


def test_what_is_flat_has_not_grown() -> None:
    assert grown(samples()) == []


@pytest.mark.parametrize(("name", "per_hour"), [("rss_mb", 1.5), ("descriptors", 1), ("tasks", 2), ("work", 1)])
def test_what_grows_is_named(name: str, per_hour: float) -> None:
    (found,) = grown(samples(**{name: per_hour}))
    assert found.startswith(name if name != "rss_mb" else "memory")


def test_a_slope_is_that_of_the_line_and_its_bound_lies_above_noise() -> None:
    exact = slope([3.0, 5.0, 7.0, 9.0])
    assert (exact.per_hour, exact.upper) == (2.0, 2.0)
    assert slope([3.0, 5.5, 6.5, 9.0]).upper > slope([3.0, 5.5, 6.5, 9.0]).per_hour
    with pytest.raises(ValueError, match="3 values, not 2"):
        slope([1.0, 2.0])
