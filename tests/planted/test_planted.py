"""Planted bugs stay plantable: each changes a line that stands in the tree once, and names invariants that exist.

The hunt itself: `python -m tests.planted`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.catalogue import ROWS
from tests.chaos.invariants import INVARIANTS
from tests.planted.__main__ import controls, main
from tests.planted.bugs import BUGS, Bug
from tests.tree_copy import ROOT, patched


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_changes_one_line_of_the_tree_into_python(bug: Bug, tmp_path: Path) -> None:
    copy = tmp_path / bug.file
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / bug.file).read_text())
    with patched(tmp_path, bug.file, bug.old, bug.new):
        compile(copy.read_text(), bug.file, "exec")
        assert copy.read_text() != (ROOT / bug.file).read_text()
    assert copy.read_text() == (ROOT / bug.file).read_text()


def test_there_are_twenty_bugs_and_each_names_what_must_notice_it() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
    assert all(set(bug.breaks) <= set(INVARIANTS) and bug.breaks for bug in BUGS)
    assert all(name in ROWS for bug in BUGS for name in bug.faults.split(",") if name != "none")


def test_a_name_that_no_bug_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "zzz"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--only 'zzz'" in said.err
    assert BUGS[0].name in said.err


def test_each_campaign_is_played_once_without_a_bug_first() -> None:
    clean = controls(BUGS)
    assert {(one.faults, one.seeds, one.days, one.words) for one in clean} == {(b.faults, b.seeds, b.days, b.words) for b in BUGS}
    assert len(clean) < len(BUGS)
    assert not any(one.file or one.new for one in clean)


def test_a_line_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="stands there 0 times"), patched(tmp_path, "a.py", "y = 1", "y = 2"):
        pass
