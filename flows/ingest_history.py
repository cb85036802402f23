"""ingest_history: fetch what history lacks, gate it, commit it, and say which pairs may trade."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prefect import flow

from tasks.foreground import run_to_exit_code
from tasks.history import commit, fetch, gate, ingestion, judge, plan
from tasks.hooks import HOOKS
from tasks.policies import run_name


@flow(
    name="ingest_history",
    description="Fetch missing candles from the exchange, judge them with Great Expectations, store what passes.",
    flow_run_name=run_name("ingest {due:%m-%d %H:%M}"),
    log_prints=True,
    **HOOKS,
)
async def ingest_history(pairs: list[str] | None = None, timeframes: list[str] | None = None) -> dict[str, Any]:
    """Bring history up to date for `pairs` (default: the universe by volume) and `timeframes` (default: those decided on)."""
    rows = calls = 0
    quarantined: dict[str, str] = {}
    errors: dict[str, str] = {}
    async with ingestion(timeframes, pairs) as work:
        for chunk in await plan(work):
            report = await commit(work, await gate(work, await fetch(work, chunk)))
            rows, calls = rows + report.added, calls + report.calls
            quarantined, errors = {**quarantined, **report.quarantined}, {**errors, **report.errors}
            print(f"chunk {chunk}: {report.added} new candles, {len(report.quarantined)} refused, {len(report.errors)} unanswered")
        gates = await judge(work)
    print(f"{rows} new candles from {calls} calls; {gates['ready']} pairs ready, {sum(gates['blocked'].values())} blocked")
    return {"rows": rows, "calls": calls, "quarantined": quarantined, "errors": errors, **gates}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.ingest_history", description="fetch what history lacks, in the foreground")
    parser.add_argument("--pairs", nargs="+", metavar="PAIR", help="for instance BTC/EUR; default: the universe by volume")
    parser.add_argument("--timeframes", nargs="+", metavar="TF", help="for instance 15m 4h; default: those decided on")
    chosen = parser.parse_args()
    sys.exit(run_to_exit_code(ingest_history(pairs=chosen.pairs, timeframes=chosen.timeframes)))
