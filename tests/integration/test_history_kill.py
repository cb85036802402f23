"""kill -9 of a process that commits and folds parts: every acknowledged commit is there, once; a missing safeguard is noticed.

The whole campaign is `python -m tests.store_kill`; here a part of it runs, so that it can't rot.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.store_kill.__main__ import Campaign

pytestmark = [pytest.mark.kill, pytest.mark.slow]


def test_every_acknowledged_commit_survives_kills_at_points_and_at_random(tmp_path: Path) -> None:
    campaign, rng = Campaign(tmp_path), random.Random(4)
    for point in ("part_written", "directory_synced", "cursors_set", "fold:part_synced", "fold:part_catalogued", "swept"):
        campaign.kill(point)
    for _ in range(6):
        campaign.kill(None, after_s=rng.uniform(0.005, 0.25))
    assert (campaign.faults, campaign.unreached) == ([], [])
    assert campaign.kills >= 11 and campaign.commits >= 30, "the kills met a busy writer"
    assert campaign.lost_files > 0, "some kills left bytes that a power cut would take"


@pytest.mark.parametrize(
    ("broken", "point", "noticed"),
    [
        ("file_fsync", "committed", "catalogued"),
        ("dir_fsync", "committed", "cannot be read"),
        ("transaction", "part_catalogued", "expected for"),
    ],
)
def test_a_store_without_one_safeguard_is_found_out(tmp_path: Path, broken: str, point: str, noticed: str) -> None:
    campaign = Campaign(tmp_path, broken=broken)
    campaign.kill(point, occurrence=2)
    assert campaign.kills == 1
    assert any(noticed in fault for fault in campaign.faults), campaign.faults
