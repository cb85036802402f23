"""phi-beat: the schedule is absolute, spread and never makes up for what it missed."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from trader.execution.pulse import SECOND, Pulse, beats, due_us, mood, offset_us

T_US = 60 * 1.618033988749895 * SECOND


def test_beats_do_not_drift_over_ten_thousand() -> None:
    due = list(islice(beats(7, 60.0), 10_000))
    assert all(abs(at - (7 + n * T_US)) <= 1 for n, at in enumerate(due, 1))
    assert np.mean(np.diff(due)) / SECOND == pytest.approx(97.082, abs=1e-3)


def test_positions_in_the_minute_leave_at_most_three_gap_lengths() -> None:
    for count in (10, 55, 200, 1000):
        inside = sorted(n * T_US % (60 * SECOND) for n in range(count))
        gaps = {round((b - a) / 1000) for a, b in pairwise([*inside, inside[0] + 60 * SECOND])}
        distinct = [g for g in sorted(gaps) if g - 1 not in gaps]
        assert len(distinct) <= 3, count


def test_a_beat_on_time() -> None:
    pulse = Pulse(base_s=60.0, start_us=0)
    assert pulse.next_due_us == due_us(0, 60.0, 1)
    beat = pulse.begin(pulse.next_due_us)
    assert (beat.number, beat.late_us, beat.missed, beat.restart) == (1, 0, 0, False)
    with pytest.raises(ValueError, match="beat 2 is due"):
        pulse.begin(beat.due_us)


def test_a_late_beat_runs_once_and_missed_ones_are_counted() -> None:
    pulse = Pulse(base_s=60.0, start_us=0)
    late = pulse.begin(due_us(0, 60.0, 1) + 5 * SECOND)
    assert (late.number, late.late_us, late.missed, late.restart) == (1, 5 * SECOND, 0, False)
    skipped = pulse.begin(due_us(0, 60.0, 3) + SECOND)
    assert (skipped.number, skipped.missed, skipped.restart, pulse.missed) == (3, 1, False, 1)
    assert pulse.next_due_us == due_us(0, 60.0, 4)


def test_a_gap_of_more_than_two_periods_is_a_restart() -> None:
    pulse = Pulse(base_s=60.0, start_us=0)
    pulse.begin(due_us(0, 60.0, 1))
    after = pulse.begin(due_us(0, 60.0, 9) + SECOND)
    assert (after.number, after.missed, after.restart) == (9, 7, True)


def test_a_session_can_go_on_with_the_schedule_of_the_last() -> None:
    assert Pulse(base_s=60.0, start_us=0, done=41).next_due_us == due_us(0, 60.0, 42)


@pytest.mark.parametrize("base", [0.0, -1.0, float("nan"), float("inf")])
def test_a_base_that_is_no_time_is_refused(base: float) -> None:
    with pytest.raises(ValueError, match="base_s"):
        Pulse(base_s=base, start_us=0)


def test_requests_of_a_beat_spread_over_a_quarter_period_at_most() -> None:
    offsets = [offset_us(3, k, 55, 60.0) for k in range(55)]
    assert len(set(offsets)) == 55 and min(offsets) >= 0 and max(offsets) < 21 * SECOND
    assert max(offset_us(n, k, 8, 10.0) for n in range(50) for k in range(8)) < 10 * 1.619 / 4 * SECOND
    assert max(np.diff(sorted(offsets))) < 2 * 21 * SECOND / 55


def test_mood_is_between_0_and_100() -> None:
    assert mood(1.0, 0.2, 5.0) == pytest.approx(100.0) and mood(-1.0, -0.5, 0.0) == 0.0
    assert mood(0.0, 0.0, 1.0) == pytest.approx(19.1 + 19.1 + 11.8)
