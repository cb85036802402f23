"""ingest_history: fetch what history lacks, gate it, commit it, and say which pairs may trade."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from prefect import flow

from tasks.artifacts import publish_progress, publish_table
from tasks.foreground import run_to_exit_code
from tasks.history import commit, compact, fetch, gate, ingestion, judge, plan, take_archive
from tasks.hooks import HOOKS
from tasks.policies import run_name

PROGRESS = "history-progress"


@dataclass(slots=True)
class Totals:
    """What a run came to."""

    rows: int = 0
    calls: int = 0
    filled: int = 0
    revisions: int = 0
    archived: int = 0
    quarantined: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def took(self, report: Any) -> None:
        """Add what a piece of the plan brought."""
        self.rows, self.calls = self.rows + report.added, self.calls + report.calls
        self.filled, self.revisions = self.filled + report.filled, self.revisions + report.revisions
        self.quarantined |= report.quarantined
        self.errors |= report.errors

    def imported(self, report: Any) -> None:
        """Add what an archive brought."""
        self.archived, self.filled = self.archived + report.added, self.filled + report.filled
        self.revisions += report.revisions
        self.quarantined |= report.quarantined
        self.errors |= {problem.partition(":")[0]: problem for problem in report.problems}

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def table(self, gates: dict[str, Any], folded: int) -> list[dict[str, Any]]:
        """Rows for people: the totals, then every pair that was refused or not answered, and why."""
        counts = {"calls": self.calls, "new candles": self.rows, "new candles from archives": self.archived, "filled": self.filled,
                  "revised": self.revisions, "parts folded": folded, "pairs ready": gates["ready"]}  # fmt: skip
        rows = [{"what": name, "value": value, "why": ""} for name, value in counts.items()]
        rows += [{"what": "pairs blocked", "value": count, "why": reason} for reason, count in gates["blocked"].items()]
        rows += [{"what": name, "value": "refused", "why": why} for name, why in self.quarantined.items()]
        return rows + [{"what": name, "value": "not taken", "why": why} for name, why in list(self.errors.items())[:50]]


@flow(
    name="ingest_history",
    description="Fetch missing candles from the exchange, judge them with Great Expectations, store what passes.",
    flow_run_name=run_name("ingest {due:%m-%d %H:%M}"),
    log_prints=True,
    **HOOKS,
)
async def ingest_history(pairs: list[str] | None = None, timeframes: list[str] | None = None) -> dict[str, Any]:
    """Bring history up to date for `pairs` (default: the universe by volume) and `timeframes` (default: 15m 4h 1h 1m 1d).

    What the strategies decide on comes first, and its pairs may trade as soon as their piece is stored; the archive of the deep
    past comes last, once.
    """
    done = Totals()
    async with ingestion(timeframes, pairs) as work:
        chunks = await plan(work)
        shown = await publish_progress(PROGRESS, 0.0, f"{sum(len(chunk.plan.requests) for chunk in chunks)} calls")
        gates = await judge(work)
        for chunk in chunks:
            report = await commit(work, await gate(work, await fetch(work, chunk)))
            gates = await judge(work)
            done.took(report)
            print(f"chunk {chunk}: {report.added} new candles, {len(report.quarantined)} refused, {len(report.errors)} unanswered")
            await publish_progress(PROGRESS, 80.0 * chunk.number / chunk.of, f"chunk {chunk}; {gates['ready']} pairs ready", shown)
        for archive in work.archives():
            deep = await take_archive(work, archive)
            done.imported(deep)
            print(f"archive {archive}: {deep.added} new candles from {deep.files} files, {deep.refused} rows refused")
            await publish_progress(PROGRESS, 80.0 + 19.0 * archive.number / archive.of, f"archive {archive}", shown)
        folded = await compact(work)
        await publish_progress(PROGRESS, 100.0, f"{gates['ready']} pairs ready", shown)
    await publish_table("history-ingestion", done.table(gates, folded.days + folded.months), "what the newest ingestion brought")
    print(f"{done.rows} new candles from {done.calls} calls; {gates['ready']} pairs ready, {sum(gates['blocked'].values())} blocked")
    return {**done.as_dict(), **gates}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.ingest_history", description="fetch what history lacks, in the foreground")
    parser.add_argument("--pairs", nargs="+", metavar="PAIR", help="for instance BTC/EUR; default: the universe by volume")
    parser.add_argument("--timeframes", nargs="+", metavar="TF", help="for instance 15m 4h; default: those decided on")
    chosen = parser.parse_args()
    sys.exit(run_to_exit_code(ingest_history(pairs=chosen.pairs, timeframes=chosen.timeframes)))
