"""A state directory whose disk takes no file is refused in one sentence and left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from trader.bootstrap.installation import claim
from trader.bootstrap.paths import Paths
from trader.config import load
from trader.errors import UnwritableError


def test_a_claim_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state").make()
    settings = load({"environment": "paper"}, environ={})
    fresh = paths.installed_for.with_name(f"{paths.installed_for.name}.new")
    fresh.mkdir()
    with pytest.raises(UnwritableError, match=r"installation.json: .*; nothing was started, and stops rest on the exchange"):
        claim(settings, paths)
    assert not paths.installed_for.exists()
    fresh.rmdir()
    assert claim(settings, paths) == claim(settings, paths)
    assert paths.installed_for.stat().st_mode & 0o777 == 0o600
