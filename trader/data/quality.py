"""The data gate's rules as data, their evaluation in Polars, and the verdicts both engines return.

`tasks/quality_gate.py` builds a Great Expectations suite from the same table; a test asserts equal verdicts. A value is
*missing* when it is null or NaN (pandas knows no difference); rules about values skip rows where one is missing, the null
rule catches those. Source: DATA.md section 5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any, Final

import polars as pl

from trader.data.parts import COLUMNS, SCHEMA
from trader.domain.market import Candle, Timeframe
from trader.domain.messages import stamp
from trader.errors import CorruptError

MAX_LOG_RETURN: Final = 0.5
MAX_AGE_BARS: Final = 2.0
TAIL_FRESH_US: Final = 2 * 3_600 * 1_000_000
DERIVED: Final = ("body_hi", "body_lo", "finite", "grid_s", "step_s", "absret", "closed_s")
TAIL_COLUMNS: Final = ("tf", "pair", "time", "missing", "gaps", "age_bars")


class Severity(StrEnum):
    CRITICAL = "critical"  # the pair's rows are quarantined and its entries blocked
    WARNING = "warning"  # a repair is queued, nothing is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One expectation: its Great Expectations type and arguments, the columns shown in a failure, and its severity."""

    type: str
    columns: tuple[str, ...]
    severity: Severity
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`expect_column_values_to_be_between(low)`: what blocks, messages and pages show."""
        return f"{self.type}({', '.join(self.columns)})"


def _rule(kind: str, *columns: str, soft: bool = False, **arguments: Any) -> Rule:
    return Rule(type=kind, columns=columns, severity=Severity.WARNING if soft else Severity.CRITICAL, arguments=arguments)


def _above(high: str, low: str) -> Rule:
    return _rule("expect_column_pair_values_a_to_be_greater_than_b", high, low, or_equal=True, ignore_row_if="either_value_is_missing")


TABLE_RULES: Final = (
    _rule("expect_table_columns_to_match_set", "table"),
    _rule("expect_table_row_count_to_be_between", "table", min_value=1),
)
NOT_NULL: Final = "expect_column_values_to_not_be_null"
BETWEEN: Final = "expect_column_values_to_be_between"
IN_SET: Final = "expect_column_values_to_be_in_set"


def row_rules(timeframe: Timeframe) -> tuple[Rule, ...]:
    """The rules on rows of one timeframe, in the order in which failures are reported."""
    return (
        *(_rule(NOT_NULL, column) for column in ("pair", "time", "open", "high", "low", "close", "volume")),
        _rule("expect_compound_columns_to_be_unique", "pair", "time"),
        _above("high", "body_hi"),
        _above("body_lo", "low"),
        _rule(BETWEEN, "low", min_value=0, strict_min=True),
        _rule(BETWEEN, "volume", min_value=0),
        _rule(IN_SET, "finite", value_set=[True]),
        _rule(IN_SET, "grid_s", value_set=[0.0]),
        _rule(BETWEEN, "step_s", min_value=0, strict_min=True),
        _rule(BETWEEN, "closed_s", min_value=0),  # no forming bar (SPEC section 11)
        _rule(IN_SET, "step_s", soft=True, value_set=[timeframe.us / 1_000_000]),
        _rule(BETWEEN, "absret", soft=True, max_value=MAX_LOG_RETURN),
    )


TAIL_RULES: Final = (
    _rule(BETWEEN, "missing", max_value=0),  # rows missing of LOOKBACK
    _rule(BETWEEN, "gaps", max_value=0),  # unfetched holes inside LOOKBACK
    _rule(BETWEEN, "age_bars", max_value=MAX_AGE_BARS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One broken expectation of one pair; `detail` shows the first row and what was seen."""

    expectation: str
    severity: Severity
    rows: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word on one pair's rows of one timeframe; no failure = passed."""

    timeframe: Timeframe
    pair: str
    rows: int
    failures: tuple[Failure, ...] = ()

    @property
    def critical(self) -> Failure | None:
        """The first critical failure, which names the block."""
        return next((f for f in self.failures if f.severity is Severity.CRITICAL), None)

    @property
    def gaps(self) -> int:
        """Holes the warning rule saw."""
        return sum(f.rows for f in self.failures if f.severity is Severity.WARNING and f.expectation == f"{IN_SET}(step_s)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Verdicts of one batch. `refused`: a table rule failed, so the batch as a whole counts for nothing."""

    engine: str
    suite_version: str
    verdicts: tuple[Verdict, ...]
    refused: str = ""

    def of(self, timeframe: Timeframe) -> dict[str, Verdict]:
        return {v.pair: v for v in self.verdicts if v.timeframe is timeframe}

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> GateResult:
        """Raises CorruptError when the text is not a gate result."""
        try:
            raw = json.loads(text)
            verdicts = tuple(
                Verdict(
                    timeframe=Timeframe(v["timeframe"]), pair=v["pair"], rows=v["rows"],
                    failures=tuple(Failure(**{**f, "severity": Severity(f["severity"])}) for f in v["failures"]),
                )
                for v in raw["verdicts"]
            )  # fmt: skip
            return GateResult(engine=raw["engine"], suite_version=raw["suite_version"], verdicts=verdicts, refused=raw["refused"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"gate result: {type(error).__name__}: {error}") from error

    @staticmethod
    def load(path: Path) -> GateResult:
        return GateResult.from_json(path.read_text())


def suite_version() -> str:
    """A digest of the rule table: changes exactly when a rule does."""
    rules = [*TABLE_RULES, *row_rules(Timeframe.M1), *TAIL_RULES]
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:12]


def prepare(frame: pl.DataFrame, timeframe: Timeframe, now_us: int) -> pl.DataFrame:
    """The rows in the order served, with the derived columns the rules speak of."""
    numbers = [c for c, kind in SCHEMA.items() if kind == pl.Float64()]
    time = pl.col("time").to_physical()
    previous = pl.col("close").shift(1).over("pair")
    seconds = 1_000_000.0
    return frame.with_columns(pl.col(numbers).fill_nan(None)).with_columns(
        body_hi=pl.when(pl.col("open").is_not_null() & pl.col("close").is_not_null()).then(pl.max_horizontal("open", "close")),
        body_lo=pl.when(pl.col("open").is_not_null() & pl.col("close").is_not_null()).then(pl.min_horizontal("open", "close")),
        finite=pl.all_horizontal(pl.col(c).is_infinite().fill_null(False).not_() for c in numbers),
        grid_s=(time % timeframe.us) / seconds,
        step_s=(time - time.shift(1).over("pair")) / seconds,
        absret=(pl.col("close") / previous).log().abs().fill_nan(None),
        closed_s=(now_us - timeframe.us - time) / seconds,
    )


def broken(rule: Rule) -> pl.Expr:
    """Rows of a prepared frame that break a rule; missing values never do, except for the null rule."""
    first, argument = rule.columns[0], rule.arguments
    if rule.type == NOT_NULL:
        return pl.col(first).is_null()
    if rule.type == "expect_compound_columns_to_be_unique":
        return pl.struct(rule.columns).is_duplicated() & ~pl.all_horizontal(pl.col(c).is_null() for c in rule.columns)
    if rule.type == "expect_column_pair_values_a_to_be_greater_than_b":
        return (pl.col(first) < pl.col(rule.columns[1])).fill_null(False)
    if rule.type == IN_SET:
        return pl.col(first).is_in(argument["value_set"]).not_().fill_null(False)
    test = pl.lit(False)
    if "min_value" in argument:
        low = argument["min_value"]
        test = test | ((pl.col(first) <= low) if argument.get("strict_min") else (pl.col(first) < low))
    if "max_value" in argument:
        test = test | (pl.col(first) > argument["max_value"])
    return test.fill_null(False)


def schema_fault(columns: Sequence[str], rows: int) -> str:
    """The table rule that fails, with what was seen; empty when none does."""
    if sorted(columns) != sorted(COLUMNS):
        return f"{TABLE_RULES[0].name}: columns {', '.join(columns)}; wanted {', '.join(COLUMNS)}"
    return "" if rows else f"{TABLE_RULES[1].name}: 0 rows"


def check(frame: pl.DataFrame, timeframe: Timeframe, now_us: int) -> GateResult:
    """Judge rows of one timeframe in the order served, per pair, with Polars."""
    if fault := schema_fault(frame.columns, len(frame)):
        return GateResult(engine="polars", suite_version=suite_version(), verdicts=(), refused=fault)
    prepared = prepare(frame, timeframe, now_us)
    return GateResult(engine="polars", suite_version=suite_version(), verdicts=tuple(judge(prepared, timeframe, row_rules(timeframe))))


def judge(prepared: pl.DataFrame, timeframe: Timeframe, rules: Sequence[Rule]) -> Iterator[Verdict]:
    """Verdicts per pair, in order of first appearance."""
    flags = prepared.select(broken(rule).alias(str(i)) for i, rule in enumerate(rules))
    failing = [i for i, count in enumerate(flags.sum().row(0)) if count]
    found: dict[str, list[Failure]] = {}
    for i in failing:
        rule = rules[i]
        shown = list(dict.fromkeys(("pair", "time", *rule.columns)))
        for pair, group in prepared.filter(flags[str(i)]).select(shown).group_by("pair", maintain_order=True):
            found.setdefault(pair[0] or "", []).append(failure(rule, len(group), group.row(0, named=True)))
    for pair, rows in prepared.group_by("pair", maintain_order=True).len().iter_rows():
        yield Verdict(timeframe=timeframe, pair=pair or "", rows=rows, failures=tuple(found.get(pair or "", ())))


def failure(rule: Rule, rows: int, first: Mapping[str, Any]) -> Failure:
    """A failure in words: the first bad row's time and the values the rule looked at."""
    time = first["time"]
    when = "no time" if time is None or time != time else stamp(int(time.timestamp() * 1_000_000))  # noqa: PLR0124 - NaT differs from itself
    values = ", ".join(f"{c}={_shown(first[c])}" for c in rule.columns if c not in ("pair", "time"))
    text = f"{rows} row{'s' if rows > 1 else ''}, first {when}" + (f": {values}" if values else "")
    return Failure(expectation=rule.name, severity=rule.severity, rows=rows, detail=text)


def _shown(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return "missing"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def plainly_good(candles: Sequence[Candle], timeframe: Timeframe, now_us: int) -> bool:
    """Whether no rule about single rows can fail, in one cheap pass; False sends the rows through `check`.

    For the session's minutes: one row a pair, so the rules about neighbouring rows do not apply. NaN makes a comparison false.
    """
    newest = now_us - timeframe.us
    return len({c.pair for c in candles}) == len(candles) and all(
        0 < c.low <= c.open <= c.high < inf
        and c.low <= c.close <= c.high
        and 0 <= c.volume < inf
        and -inf < c.vwap < inf
        and c.time_us <= newest
        and c.time_us % timeframe.us == 0
        for c in candles
    )


# --- tails -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The newest stored candles of a pair: `rows` of the last LOOKBACK, holes among them, open time of the newest (us)."""

    timeframe: Timeframe
    pair: str
    rows: int
    gaps: int
    newest_us: int | None


def tail_frame(tails: Iterable[Tail], lookbacks: Mapping[Timeframe, int], now_us: int) -> pl.DataFrame:
    """One row a pair and timeframe with the counts TAIL_RULES speak of: summarise, then assert."""
    rows = [
        (
            str(t.timeframe), t.pair, t.newest_us, max(0, lookbacks[t.timeframe] - t.rows), t.gaps,
            float("inf") if t.newest_us is None else (t.timeframe.floor(now_us) - t.newest_us) / t.timeframe.us - 1,
        )
        for t in tails
    ]  # fmt: skip
    schema = {"tf": pl.String, "pair": pl.String, "time": pl.Int64, "missing": pl.Int64, "gaps": pl.Int64, "age_bars": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


def check_tails(frame: pl.DataFrame) -> GateResult:
    """Judge a tail frame with Polars; every timeframe in it."""
    verdicts: list[Verdict] = []
    for (tf,), rows in frame.group_by("tf", maintain_order=True):
        verdicts.extend(judge(rows, Timeframe(tf), TAIL_RULES))
    return GateResult(engine="polars", suite_version=suite_version(), verdicts=tuple(verdicts))
