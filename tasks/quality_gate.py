"""The data gate: judges a staged batch, or tails, with Great Expectations built from the rule table of `trader.data.quality`.

`python -m tasks.quality_gate --batch FILE --out FILE`. Importing Great Expectations costs 5-6 CPU-seconds, so it happens inside
the function and in a process that is not the session's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from trader.data import quality, rules
from trader.data.judged import Failure, GateResult, Verdict
from trader.data.parts import COLUMNS
from trader.data.rules import Rule
from trader.domain.market import Timeframe
from trader.errors import CorruptError


class _Refused(Exception):
    """A rule could not be judged, so the batch as a whole counts for nothing."""


def judge(batch: Path) -> GateResult:
    """Verdicts per pair and timeframe of a staged Parquet file: candles (`ingest.stage`), tails (`tails.tail_frame`), or the
    audit's counts (`history_audit.summarise`).

    Raises CorruptError where the file cannot be read as any of them.
    """
    frame = _read(batch)
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported; the gate never calls out
    import great_expectations as gx

    engine, version = f"great_expectations {gx.__version__}", rules.suite_version()
    verdicts: list[Verdict] = []
    before = len(_RUNS)
    try:
        for (name,), rows in frame.group_by("tf", maintain_order=True):
            verdicts.extend(_one(rows, Timeframe(name)))
        if frame.is_empty() and "judged_us" in frame.columns:
            judge_frame(frame.drop("tf", "judged_us"), Timeframe.M1, 0)
    except _Refused as refusal:
        return GateResult(engine=engine, suite_version=version, verdicts=(), refused=str(refusal), validations=len(_RUNS) - before)
    return GateResult(engine=engine, suite_version=version, verdicts=tuple(verdicts), validations=len(_RUNS) - before)


def _one(rows: pl.DataFrame, timeframe: Timeframe) -> list[Verdict]:
    """Verdicts on the rows of one timeframe, by the rules for what the file holds; one validation."""
    if "judged_us" in rows.columns:
        return judge_frame(rows.drop("tf", "judged_us"), timeframe, rows["judged_us"][0])
    return _verdicts(rows, timeframe, rules.TAIL_RULES if _tails(rows) else rules.summary_rules(timeframe))


def _tails(frame: pl.DataFrame) -> bool:
    return tuple(frame.columns) == rules.TAIL_COLUMNS


def _read(batch: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(batch, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise CorruptError(f"{batch}: not a readable batch ({error})") from error
    if not (_tails(frame) or {"tf", "judged_us"} <= set(frame.columns) or {"tf", "lacking"} <= set(frame.columns)):
        raise CorruptError(f"{batch}: neither staged candles, nor tails, nor counts; columns {', '.join(frame.columns)}")
    return frame


def judge_frame(rows: pl.DataFrame, timeframe: Timeframe, judged_us: int) -> list[Verdict]:
    """Great Expectations' verdicts on candles of one timeframe in the order served (`quality.check` is the Polars form).

    Table rules and row rules in one validation; where the table rules cannot hold, they alone are run.
    """
    if fault := quality.schema_fault(rows.columns, len(rows)):
        failed = [r for r in _validate(rows, rules.TABLE_RULES, _table(COLUMNS)) if not r.success]
        raise _Refused(fault if failed else f"{fault}, which Great Expectations let pass")
    prepared = quality.prepare(rows, timeframe, judged_us)
    return _verdicts(prepared, timeframe, (*rules.TABLE_RULES, *rules.row_rules(timeframe)))


def _table(columns: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """What the table rules are told beside their own arguments."""
    return {0: {"column_set": list(columns), "exact_match": True}}


def _verdicts(prepared: pl.DataFrame, timeframe: Timeframe, chosen: Sequence[Rule]) -> list[Verdict]:
    found: dict[str, list[tuple[int, Failure]]] = {}
    whole = chosen[: len(rules.TABLE_RULES)] == rules.TABLE_RULES
    more = _table((*COLUMNS, *rules.COMPARED, *rules.DERIVED)) if whole else {}
    for result in _validate(prepared, chosen, more):
        if result.success:
            continue
        number = int(result.expectation_config.meta["rule"])
        entries = result.result.get("unexpected_index_list")
        if not entries:
            raise _Refused(f"{chosen[number].name}: could not be judged: {result.exception_info}")
        by_pair: dict[str, list[Mapping[str, Any]]] = {}
        for entry in entries:
            by_pair.setdefault(_name(entry["pair"]), []).append(entry)
        for pair, rows in by_pair.items():
            found.setdefault(pair, []).append((number, quality.failure(chosen[number], len(rows), rows[0])))
    counts = prepared.group_by("pair", maintain_order=True).len().iter_rows()
    return [
        Verdict(
            timeframe=timeframe,
            pair=pair or "",
            rows=rows,
            failures=tuple(f for _, f in sorted(found.get(pair or "", []), key=lambda x: x[0])),
        )
        for pair, rows in counts
    ]


_RUNS: list[str] = []
"""Suites run in this process, by name: at most one a timeframe and batch."""


def _validate(frame: pl.DataFrame, chosen: Sequence[Rule], more: Mapping[int, Mapping[str, Any]]) -> list[Any]:
    """Great Expectations' results for a suite made of `chosen`; each carries its rule's number in `meta`."""
    import great_expectations as gx
    from great_expectations.expectations.registry import get_expectation_impl

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    whole = context.data_sources.add_pandas("candles").add_dataframe_asset("batch").add_batch_definition_whole_dataframe("whole")
    suite = gx.ExpectationSuite(name=f"candles_{rules.suite_version()}")
    for number, rule in enumerate(chosen):
        arguments = {**_columns(rule), **rule.arguments, **more.get(number, {})}
        suite.add_expectation(get_expectation_impl(rule.type)(severity=str(rule.severity), meta={"rule": number}, **arguments))
    shown = {"result_format": "COMPLETE", "unexpected_index_column_names": ["pair", "time"]}
    if not {"pair", "time"} <= set(frame.columns):
        shown = {"result_format": "COMPLETE"}
    _RUNS.append(suite.name)
    return list(whole.get_batch({"dataframe": frame.to_pandas()}).validate(suite, result_format=shown).results)


def _columns(rule: Rule) -> dict[str, Any]:
    """A rule's columns under the argument names of its expectation."""
    if rule.type.startswith("expect_table_"):
        return {}
    if rule.type == "expect_compound_columns_to_be_unique":
        return {"column_list": list(rule.columns)}
    if rule.type.startswith("expect_column_pair_"):
        return {"column_A": rule.columns[0], "column_B": rule.columns[1]}
    return {"column": rule.columns[0]}


def _name(pair: Any) -> str:
    return pair if isinstance(pair, str) else ""  # pandas says NaN for no name


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: judge a batch file, write the verdicts as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tasks.quality_gate", description="judge a staged batch with Great Expectations")
    parser.add_argument("--batch", type=Path, required=True, help="Parquet file of staged candles or of tails")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the verdicts")
    options = parser.parse_args(arguments)
    try:
        result = judge(options.batch)
    except CorruptError as error:
        print(f"quality gate: {error}", file=sys.stderr)
        return 1
    options.out.write_text(result.to_json())
    failed = sum(v.critical is not None for v in result.verdicts)
    print(
        f"{result.engine}: {len(result.verdicts)} series, {failed} refused{'; batch refused: ' + result.refused if result.refused else ''}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
