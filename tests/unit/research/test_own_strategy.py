"""The page "your own strategy in 30 lines" is true: its code runs as printed, and is that short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "your-own-strategy.md"


def test_the_page_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102 - our own page
    said = re.search(r"(\d+) trades, mean net return (-?[\d.]+)%", capsys.readouterr().out)
    assert said is not None
    assert int(said[1]) >= 20
    assert -1.5 < float(said[2]) < 0.5
