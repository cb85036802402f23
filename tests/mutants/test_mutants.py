"""One mutant in the default suite, and a change that means nothing: the judge can say both. In full: `python -m tests.mutants`."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import judge, main
from tests.mutants.ai import BREACHES
from tests.mutants.table import MUTANTS, REVIEWS, RISK, Mutant
from tests.tree_copy import ROOT


def test_a_cooldown_that_is_a_bar_short_is_caught_by_a_table_and_a_harmless_change_by_nobody() -> None:
    cooldown = next(one for one in MUTANTS if one.name == "cooldown a bar short")
    assert judge(cooldown, campaign=False).startswith("test_risk.py::")
    harmless = Mutant(name="harmless", file=RISK, old="DEPTH_STAKES = 13 ", new="DEPTH_STAKES = 13  ", tables=REVIEWS)
    assert judge(harmless, campaign=False) == ""


def test_every_mutant_stands_where_the_table_says() -> None:
    assert len(MUTANTS) == 10 and all(one.line(ROOT) > 0 for one in (*MUTANTS, *BREACHES))
    assert all((ROOT / table).exists() for one in BREACHES for table in one.tables)
    with pytest.raises(ValueError, match="stands 0 times"):
        Mutant(name="gone", file=RISK, old="no such line", new="").line(ROOT)


def test_an_unknown_mutant_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "quantum"])
    assert "ratchet a level high" in capsys.readouterr().err
