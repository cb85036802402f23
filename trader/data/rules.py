"""The data gate's rules as data: one table from which both engines, the nightly audit and the reference page are made.

`quality` evaluates the table in Polars, `tasks/quality_gate.py` builds a Great Expectations suite from it; a test asserts equal
verdicts. A value is *missing* when it is null or NaN (pandas knows no difference); rules about values skip rows where one is
missing, the null rule catches those. Source: DATA.md section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Final

from trader.domain.market import Timeframe

MAX_LOG_RETURN: Final = 0.5
MAX_LOG_SPIKE: Final = 3.0
"""|ln| of a factor of 20: no candle is that far from both its neighbours, or from its own body; a x100 row is (4.6)."""
MAX_OUTSIDE: Final = 1e-3
"""How far vwap may lie outside low..high, as a fraction of the close; exchanges round it."""
MAX_DIFFERENCE: Final = 1e-4
"""How far two ways to the same candle may differ, as a fraction; the same trades give the same numbers but for rounding."""
MAX_AGE_BARS: Final = 2.0
TAIL_FRESH_US: Final = 2 * 3_600 * 1_000_000
DERIVED: Final = ("body_hi", "body_lo", "finite", "grid_s", "step_s", "absret", "closed_s", "spike", "wick", "vwap_off")
COMPARED: Final = ("cross", "rival", "zone_h")
"""Derived from the store when a batch is staged (`agreement`); missing where there is nothing to compare with."""
TAIL_COLUMNS: Final = ("tf", "pair", "time", "missing", "gaps", "age_bars")


class Severity(StrEnum):
    CRITICAL = "critical"  # the pair's rows are quarantined and its entries blocked
    WARNING = "warning"  # a repair is queued, nothing is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One expectation: its Great Expectations type and arguments, the columns shown in a failure, and its severity.

    `stands_for`: a rule on counts reports under the name of the rule whose failures it counts.
    """

    type: str
    columns: tuple[str, ...]
    severity: Severity
    arguments: Mapping[str, Any] = field(default_factory=dict)
    stands_for: str = ""

    @property
    def name(self) -> str:
        """`expect_column_values_to_be_between(low)`: what blocks, messages and pages show."""
        return self.stands_for or f"{self.type}({', '.join(self.columns)})"


NOT_NULL: Final = "expect_column_values_to_not_be_null"
BETWEEN: Final = "expect_column_values_to_be_between"
IN_SET: Final = "expect_column_values_to_be_in_set"
UNIQUE: Final = "expect_compound_columns_to_be_unique"
ABOVE: Final = "expect_column_pair_values_a_to_be_greater_than_b"


def _rule(kind: str, *columns: str, soft: bool = False, **arguments: Any) -> Rule:
    return Rule(type=kind, columns=columns, severity=Severity.WARNING if soft else Severity.CRITICAL, arguments=arguments)


def _above(high: str, low: str) -> Rule:
    return _rule(ABOVE, high, low, or_equal=True, ignore_row_if="either_value_is_missing")


TABLE_RULES: Final = (
    _rule("expect_table_columns_to_match_set", "table"),
    _rule("expect_table_row_count_to_be_between", "table", min_value=1),
)
GAP: Final = f"{IN_SET}(step_s)"
PLAUSIBLE: Final = (f"{BETWEEN}(spike)", f"{BETWEEN}(wick)", f"{IN_SET}(zone_h)")
"""Critical rules about what is most unlikely, not impossible: what a person accepts once under these names is then stored."""


def row_rules(timeframe: Timeframe) -> tuple[Rule, ...]:
    """The rules on rows of one timeframe, in the order in which failures are reported."""
    return (
        *(_rule(NOT_NULL, column) for column in ("pair", "time", "open", "high", "low", "close", "volume")),
        _rule(UNIQUE, "pair", "time"),
        _above("high", "body_hi"),
        _above("body_lo", "low"),
        _rule(BETWEEN, "low", min_value=0, strict_min=True),
        _rule(BETWEEN, "volume", min_value=0),
        _rule(IN_SET, "finite", value_set=[True]),
        _rule(IN_SET, "grid_s", value_set=[0.0]),
        _rule(BETWEEN, "step_s", min_value=0, strict_min=True),
        _rule(BETWEEN, "closed_s", min_value=0),  # no forming bar (SPEC section 11)
        _rule(IN_SET, "zone_h", value_set=[0.0]),  # the stored candles, shifted by whole hours
        _rule(BETWEEN, "spike", max_value=MAX_LOG_SPIKE),  # a jump up and back
        _rule(BETWEEN, "wick", max_value=MAX_LOG_SPIKE),
        _rule(IN_SET, "step_s", soft=True, value_set=[timeframe.us / 1_000_000]),
        _rule(BETWEEN, "absret", soft=True, max_value=MAX_LOG_RETURN),
        _rule(BETWEEN, "vwap_off", soft=True, max_value=MAX_OUTSIDE),
        _rule(BETWEEN, "cross", soft=True, max_value=MAX_DIFFERENCE),  # native against built from shorter candles
        _rule(BETWEEN, "rival", soft=True, max_value=MAX_DIFFERENCE),  # trades, REST and archive against each other
    )


TAIL_RULES: Final = (
    _rule(BETWEEN, "missing", max_value=0),  # rows missing of LOOKBACK
    _rule(BETWEEN, "gaps", max_value=0),  # unfetched holes inside LOOKBACK
    _rule(BETWEEN, "age_bars", max_value=MAX_AGE_BARS),
)
KINDS: Final = {NOT_NULL: "null", UNIQUE: "unique", ABOVE: "order", BETWEEN: "range", IN_SET: "set"}
LACKING: Final = Rule(
    type=BETWEEN, columns=("lacking",), severity=Severity.WARNING, arguments={"min_value": 0, "max_value": 0}
)  # rows that coverage promises and no file holds, less those it does not know of


def count_column(rule: Rule) -> str:
    """The audit's column that counts the rows which break a row rule, for example `range_low`."""
    return "_".join((KINDS[rule.type], *rule.columns))


def summary_rules(timeframe: Timeframe) -> tuple[Rule, ...]:
    """The audit's rules: no row of the pair breaks a row rule, and the rows are those that coverage promises."""
    counted = [
        Rule(type=BETWEEN, columns=(count_column(r),), severity=r.severity, arguments={"max_value": 0}, stands_for=r.name)
        for r in row_rules(timeframe)
    ]
    return (*counted, LACKING)


@cache
def suite_version() -> str:
    """A digest of the rule table: changes exactly when a rule does."""
    rules = [*TABLE_RULES, *row_rules(Timeframe.M1), *TAIL_RULES, LACKING]
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:12]
