"""What grows fails the soak, what is flat passes, and a real kill that never came is told. The soak itself: `make soak`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.soak import Sample, grown, slope
from tests.kill.__main__ import campaign


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


def test_all_kills_tell_what_failed_what_was_not_reached_and_what_never_killed() -> None:
    def play(point: str, occurrence: int) -> dict[str, Any]:
        if point == "breaks":
            raise RuntimeError("exchange: gone")
        killed = point == "good" and occurrence == 1
        return {"killed": killed, "checks": {"killed": killed, "one_order": point != "bad"}}

    report = campaign(["good", "bad", "breaks"], play)
    assert not report["ok"]
    assert (report["kills"], report["never_killed"]) == (1, ["bad", "breaks"])
    assert report["failed"]["bad 1"] == ["one_order"]
    assert report["failed"]["breaks 2"] == ["RuntimeError: exchange: gone"]
    assert report["unreached"] == ["good 2", "bad 1", "bad 2"]
    assert campaign(["good"], play)["ok"]
