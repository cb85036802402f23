"""The reference page of the data gate says what the rule table says."""

from __future__ import annotations

import re
from pathlib import Path

from trader.data import rules
from trader.data.rules import NOT_NULL, UNIQUE, Rule
from trader.domain.market import Timeframe

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "data-gate.md").read_text()


def said() -> list[tuple[str, str, str]]:
    """Column, bound and severity of each line of both tables."""
    rows = re.findall(r"^\| ([a-z_, +]+) \| (.+?) \| (critical|warning)", PAGE, re.M)
    return [(column, bound, severity) for column, bound, severity in rows if column != "table"]


def lines(table: tuple[Rule, ...]) -> list[tuple[str, str]]:
    """What the page must list: columns (the null rules together) and severity."""
    nulls = ", ".join(r.columns[0] for r in table if r.type == NOT_NULL)
    rest = [((" + " if r.type == UNIQUE else ", ").join(r.columns), str(r.severity)) for r in table if r.type != NOT_NULL]
    return ([(nulls, "critical")] if nulls else []) + rest


def test_the_page_lists_every_rule_in_order_with_its_severity() -> None:
    expected = lines(rules.row_rules(Timeframe.M1)) + lines(rules.TAIL_RULES)
    assert [(column, severity) for column, _, severity in said()] == expected and len(expected) == 22 - 1


def test_the_page_gives_each_upper_bound() -> None:
    bounds = {
        r.columns[0]: r.arguments["max_value"] for r in (*rules.row_rules(Timeframe.M1), *rules.TAIL_RULES) if "max_value" in r.arguments
    }
    shown = {column: float(bound.split()[1]) for column, bound, _ in said() if bound.startswith("<= ")}
    assert shown == bounds and len(bounds) == 9
