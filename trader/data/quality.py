"""The Polars engine of the data gate: derived columns, which rows break which rule, verdicts per pair.

For the hot path (2 ms for an hour of 144 pairs) and as the second opinion on Great Expectations. The rules themselves are data:
`rules`. Source: DATA.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, inf
from typing import Any, Final

import polars as pl

from trader.data.judged import Failure, GateResult, Verdict
from trader.data.parts import COLUMNS, SCHEMA
from trader.data.rules import (
    ABOVE,
    BETWEEN,
    COMPARED,
    IN_SET,
    MAX_LOG_SPIKE,
    NOT_NULL,
    TABLE_RULES,
    UNIQUE,
    Rule,
    row_rules,
    suite_version,
)
from trader.domain.market import Candle, Timeframe
from trader.domain.messages import stamp

SPIKE: Final = exp(MAX_LOG_SPIKE)


def prepare(frame: pl.DataFrame, timeframe: Timeframe, now_us: int) -> pl.DataFrame:
    """The rows in the order served, with the derived columns the rules speak of."""
    numbers = [c for c, kind in SCHEMA.items() if kind == pl.Float64()]
    time, seconds = pl.col("time").to_physical(), 1_000_000.0
    body = pl.col("open").is_not_null() & pl.col("close").is_not_null()
    absent = [pl.lit(None, pl.Float64).alias(name) for name in COMPARED if name not in frame.columns]
    raw = frame.with_columns(pl.col(numbers).fill_nan(None), *absent)
    return raw.with_columns(
        body_hi=pl.when(body).then(pl.max_horizontal("open", "close")),
        body_lo=pl.when(body).then(pl.min_horizontal("open", "close")),
        finite=pl.all_horizontal(pl.col(c).is_infinite().fill_null(False).not_() for c in numbers),
        grid_s=(time % timeframe.us) / seconds,
        step_s=(time - time.shift(1).over("pair")) / seconds,
        absret=(pl.col("close") / pl.col("close").shift(1).over("pair")).log().abs().fill_nan(None),
        closed_s=(now_us - timeframe.us - time) / seconds,
        spike=pl.min_horizontal(_apart(pl.col("close"), pl.col("close").shift(step).over("pair")) for step in (1, -1)),
        vwap_off=_outside(),
    ).with_columns(wick=pl.max_horizontal(_apart(pl.col("high"), pl.col("body_hi")), _apart(pl.col("low"), pl.col("body_lo"))))


def _apart(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """|ln| of the ratio of two prices; missing where one is, or is no price."""
    usable = one.is_finite() & other.is_finite() & (one > 0) & (other > 0)
    return pl.when(usable).then((one / other).log().abs())


def _outside() -> pl.Expr:
    """How far vwap lies outside low..high, as a fraction of the close; missing where nothing was traded or no vwap was given."""
    vwap = pl.col("vwap")
    far = pl.max_horizontal(pl.col("low") - vwap, vwap - pl.col("high"), pl.lit(0.0)) / pl.col("close")
    given = (pl.col("volume") > 0) & (vwap > 0) & (pl.col("close") > 0)
    finite = pl.all_horizontal(pl.col(c).is_finite() for c in ("vwap", "low", "high", "close"))
    return pl.when(given & finite).then(far)


def broken(rule: Rule) -> pl.Expr:
    """Rows of a prepared frame that break a rule; missing values never do, except for the null rule."""
    first, argument = rule.columns[0], rule.arguments
    if rule.type == NOT_NULL:
        return pl.col(first).is_null()
    if rule.type == UNIQUE:
        return pl.struct(rule.columns).is_duplicated() & ~pl.all_horizontal(pl.col(c).is_null() for c in rule.columns)
    if rule.type == ABOVE:
        return (pl.col(first) < pl.col(rule.columns[1])).fill_null(False)
    if rule.type == IN_SET:
        return pl.col(first).is_in(argument["value_set"]).not_().fill_null(False)
    if rule.type != BETWEEN:
        raise ValueError(f"rule {rule.name}: the Polars engine does not know this type")
    test = pl.lit(False)
    if "min_value" in argument:
        low = argument["min_value"]
        test = test | ((pl.col(first) <= low) if argument.get("strict_min") else (pl.col(first) < low))
    if "max_value" in argument:
        test = test | (pl.col(first) > argument["max_value"])
    return test.fill_null(False)


def schema_fault(columns: Sequence[str], rows: int) -> str:
    """The table rule that fails, with what was seen; empty when none does."""
    if sorted(set(columns) - set(COMPARED)) != sorted(COLUMNS):
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
    failing = [i for i, flag in enumerate(flags) if flag.any()]
    found: dict[str, list[Failure]] = {}
    for i in failing:
        rule = rules[i]
        shown = list(dict.fromkeys(("pair", "time", *rule.columns)))
        for pair, group in prepared.filter(flags[str(i)]).select(shown).group_by("pair", maintain_order=True):
            found.setdefault(pair[0] or "", []).append(failure(rule, len(group), group.row(0, named=True)))
    for pair, rows in prepared.group_by("pair", maintain_order=True).len().iter_rows():
        yield Verdict(timeframe=timeframe, pair=pair or "", rows=rows, failures=tuple(found.get(pair or "", ())))


def failure(rule: Rule, rows: int, first: Mapping[str, Any]) -> Failure:
    """A failure in words: the first bad row's time and the values the rule looked at; of a rule on counts, the count."""
    time = first["time"]
    when = "no time" if time is None or time != time else stamp(int(time.timestamp() * 1_000_000))  # noqa: PLR0124 - NaT differs from itself
    if rule.stands_for:
        count = int(first[rule.columns[0]])
        return Failure(expectation=rule.name, severity=rule.severity, rows=count, detail=f"{_rows(count)} stored up to {when}")
    values = ", ".join(f"{c}={_shown(first[c])}" for c in rule.columns if c not in ("pair", "time"))
    text = f"{_rows(rows)}, first {when}" + (f": {values}" if values else "")
    return Failure(expectation=rule.name, severity=rule.severity, rows=rows, detail=text)


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _shown(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return "missing"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def spans(prepared: pl.DataFrame, timeframe: Timeframe, rule: Rule) -> list[tuple[int, int]]:
    """The ranges [start, end) in microseconds that the rows of one pair which break a rule stand for, ascending.

    A step that is too long stands for the hole before its row; rows without a time are in no range.
    """
    time = pl.col("time").to_physical()
    bad = prepared.filter(broken(rule) & time.is_not_null())
    holes = rule.type == IN_SET and rule.columns == ("step_s",)
    length = (pl.col("step_s") * 1_000_000).round().cast(pl.Int64) if holes else pl.lit(0, pl.Int64)
    start = pl.when(length > timeframe.us).then(time - length + timeframe.us).otherwise(time)
    end = pl.when(length > timeframe.us).then(time).otherwise(time + timeframe.us)
    out: list[tuple[int, int]] = []
    for low, high in bad.select(start.alias("start"), end.alias("end")).unique().sort("start").iter_rows():
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def plainly_good(candles: Sequence[Candle], timeframe: Timeframe, now_us: int) -> bool:
    """Whether no rule about single rows can fail, in one cheap pass; False sends the rows through `check`.

    For the session's minutes: one row a pair; how they follow the rows before them is the caller's question. NaN makes a
    comparison false. Rules that only warn are left to the hourly close.
    """
    newest = now_us - timeframe.us
    return len({c.pair for c in candles}) == len(candles) and all(
        0 < c.low <= c.open <= c.high < inf
        and c.low <= c.close <= c.high
        and c.high < SPIKE * (c.open if c.open > c.close else c.close)
        and c.low * SPIKE > (c.close if c.open > c.close else c.open)
        and 0 <= c.volume < inf
        and -inf < c.vwap < inf
        and c.time_us <= newest
        and c.time_us % timeframe.us == 0
        for c in candles
    )
