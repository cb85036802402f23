"""`trader ingest`: the same steps as the flow `ingest_history` without Prefect, for a person who watches; and archives and back-fill.

Every step ends with a commit, so a run that ends early, however it ends, is continued by the same command.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trader.bootstrap import archives
from trader.bootstrap.ingesting import Ingestion, ingesting
from trader.bootstrap.paths import Paths
from trader.bootstrap.progress import Bar
from trader.config import Settings
from trader.data.archive import ArchiveReport
from trader.data.archive_files import Contents
from trader.data.backfill import Backfill
from trader.data.plan import Plan, plan_of, shown
from trader.errors import ConfigError
from trader.ports import TradeHistory

Say = Callable[[str], None]
NAMED = 20  # problems shown; --json has all
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of the command line."""

    plan: bool = False
    archive: str | None = None
    backfill_days: int = 0
    pairs: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    as_json: bool = False


def run_ingest(settings: Settings, asked: Asked, *, say: Say, hint: Say) -> int:
    """Carry the command out; the exit code: 0 done, 1 where a pair or a row was refused or not answered, 130 interrupted.

    Raises ConfigError for unknown pairs or timeframes and where no demo runs; an archive of files needs none.
    """
    command = _Command(settings, asked, say, hint)
    return asyncio.run(command.run())


class _Command:
    """One run of the command."""

    def __init__(self, settings: Settings, asked: Asked, say: Say, hint: Say) -> None:
        self.settings, self.asked, self.say, self.hint = settings, asked, say, hint
        self.bar = Bar(hint)
        self.stopped = False
        self.result: dict[str, Any] = {
            "rows": 0, "calls": 0, "filled": 0, "revisions": 0, "files": 0, "skipped": 0, "rows_refused": 0, "trades": 0, "gaps": 0,
            "quarantined": {}, "errors": {}, "problems": [], "missing": [],
        }  # fmt: skip

    async def run(self) -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupted() -> None:
            if self.stopped:
                task.cancel()
            self.stopped = True
            self.hint("ending after what is under way; once more ends at once. The same command continues")

        loop.add_signal_handler(signal.SIGINT, interrupted)
        try:
            with self.bar.shown():
                code = await self._offline() if self._needs_nobody() else await self._online()
        except asyncio.CancelledError:
            self.hint("interrupted; what was committed stays, the same command continues")
            return INTERRUPTED
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        return INTERRUPTED if self.stopped else code

    def _needs_nobody(self) -> bool:
        """Only files, and no demo whose clock and names could be used."""
        return self.asked.archive is not None and not self.asked.backfill_days and not Paths(self.settings.state).clock.exists()

    async def _offline(self) -> int:
        paths = Paths(self.settings.state).make()
        async with archives.at_hand(self.asked.archive or "", paths.history) as path:
            found = archives.look(path, {}, self.asked.pairs, self.asked.timeframes)
            if self.asked.plan:
                from trader.data.history import HistoryStore
                from trader.data.ingest import IngestPlan

                return self._tell_plan(plan_of(HistoryStore(paths.history), IngestPlan(requests=(), made_us=0), archive=found, now_us=0))
            await self._files(found, time.time_ns() // 1000, paths)
        return self._summary()

    async def _online(self) -> int:
        asked = self.asked
        async with ingesting(self.settings, timeframes=asked.timeframes or None, pairs=asked.pairs or None) as work:
            if asked.archive is None:
                return await self._steps(work, None)
            async with archives.at_hand(asked.archive, work.store.directory) as path:
                return await self._steps(work, archives.look(path, work.instruments, asked.pairs, asked.timeframes))

    async def _steps(self, work: Ingestion, found: Contents | None) -> int:
        asked = self.asked
        calls = await work.calls()
        plan = plan_of(work.store, calls, archive=found, pairs=work.pairs, days=asked.backfill_days, now_us=work.clock.now_us())
        if asked.plan:
            return self._tell_plan(plan)
        self.hint(shown(plan))
        for chunk in work.chunked(calls):
            if self.stopped:
                break
            fetched = await work.fetch(chunk, self.bar.of(f"exchange, {chunk}"))
            report = work.commit(await asyncio.to_thread(work.gate, fetched))
            for name in ("calls", "filled", "revisions", "gaps"):
                self.result[name] += getattr(report, name)
            self.result["rows"] += report.added
            self.result["quarantined"] |= report.quarantined
            self.result["errors"] |= report.errors
            work.judge()
        if found is not None and not self.stopped:
            await self._files(found, work.clock.now_us(), Paths(self.settings.state))
        if asked.backfill_days and not self.stopped:
            await self._trades(work)
        work.compact()
        return self._summary(work.judge())

    async def _files(self, found: Contents, now_us: int, paths: Paths) -> None:
        report: ArchiveReport = await archives.take(
            paths.history, found, now_us=now_us, progress=self.bar.of("archive, bytes"), stopping=lambda: self.stopped
        )
        self.result["rows"] += report.added
        self.result["rows_refused"] += report.refused
        for name in ("filled", "revisions", "files", "skipped"):
            self.result[name] += getattr(report, name)
        self.result["quarantined"] |= report.quarantined
        self.result["problems"] += report.problems
        self.result["missing"] += [
            {"pair": m.pair, "timeframe": str(m.timeframe), "start_us": m.start_us, "bars": m.bars, "filled": not m.open}
            for m in report.missing
        ]

    async def _trades(self, work: Ingestion) -> None:
        market: TradeHistory = work.market  # type: ignore[assignment]
        run = Backfill(work.store, market, work.clock, progress=self.bar.of("trades, minutes"), stopping=lambda: self.stopped)
        report = await run.run(work.pairs, self.asked.backfill_days)
        self.result["rows"] += report.added
        self.result["trades"] += report.trades
        self.result["calls"] += report.calls
        self.result["revisions"] += report.revisions
        self.result["gaps"] += report.left
        self.result["quarantined"] |= {f"{pair} 1m": why for pair, why in report.quarantined.items()}
        self.result["errors"] |= report.errors

    # --- words ---------------------------------------------------------------------------------------------------------
    def _tell_plan(self, plan: Plan) -> int:
        if self.asked.as_json:
            steps = [
                {"source": s.source, "what": s.what, "pairs": s.pairs, "calls": s.calls, "seconds": round(s.seconds, 1),
                 "estimated": s.estimated}
                for s in plan.steps
            ]  # fmt: skip
            self.say(json.dumps({"steps": steps, "calls": plan.calls, "seconds": round(plan.seconds, 1)}, indent=2))
        else:
            self.say(shown(plan))
        return 0

    def _summary(self, gates: dict[str, Any] | None = None) -> int:
        result = self.result | (gates or {})
        if self.asked.as_json:
            self.say(json.dumps(result, indent=2))
        else:
            wrong = [*result["problems"], *(f"{name}: {why}" for part in ("quarantined", "errors") for name, why in result[part].items())]
            for problem in wrong[:NAMED]:
                self.hint(problem)
            if len(wrong) > NAMED:
                self.hint(f"and {len(wrong) - NAMED} more; --json names them all")
            words = f"{result['rows']:,} new candles, {result['filled']:,} filled, {result['calls']:,} calls, {result['trades']:,} trades"
            words += f", {result['files']:,} files ({result['skipped']:,} known), {result['rows_refused']:,} rows refused"
            if gates is not None:
                words += f"; {gates['ready']} pairs ready, {sum(gates['blocked'].values())} blocked"
            self.say(words)
        failed = result["problems"] or result["quarantined"] or result["errors"]
        return 1 if failed else 0


def split(text: str | None, option: str) -> tuple[str, ...]:
    """`BTC/EUR,ETH/EUR` as a tuple. Raises ConfigError for an empty part."""
    parts: Sequence[str] = () if text is None else [part.strip() for part in text.split(",")]
    if "" in parts:
        raise ConfigError(f"{option} {text!r}: names separated by commas, for instance BTC/EUR,ETH/EUR")
    return tuple(parts)
