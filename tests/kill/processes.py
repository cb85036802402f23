"""The two processes of a kill: the exchange, which owns time and survives, and one life of the session.

Run as `python -m tests.kill.processes exchange|life JSON`; each prints one JSON object at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.kill.points import POINTS, Killer
from tests.session_kit import PAIRS, Stage, live, opened
from trader.bootstrap.paths import Paths
from trader.bootstrap.world import HOST, World, kraken_twin
from trader.config import load
from trader.simulation.baton import GuestChange, run_guest, run_owner
from trader.simulation.clock import LoopClock
from trader.simulation.exchange_account import ProtectionReport
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin

DOWNTIME_S = 20.0


def stage_of(root: Path, port: int) -> Stage:
    """The stage whose world is saved in a state directory."""
    world = World.load(Paths(root).world)
    flags = {"market.pairs": world.pairs, "universe": PAIRS, "ai.mode": "off", "market.seed": world.seed, "ports.kraken_twin": port}
    return Stage(settings=load(flags, environ={}), world=world)


def exchange(*, root: Path, port: int, control: int, point: str, occurrence: int) -> dict[str, Any]:
    """Serve until a life says that it is done; what it answers late is sent when the asker is dead."""
    stage, twins = stage_of(root, port), list[KrakenTwin]()
    faults = [Fault(where="AddOrder", match={"type": "buy"}, nth=(occurrence,), action="hold_reply")] if point == "after_send" else []
    deaths: list[dict[str, Any]] = []
    reports: list[ProtectionReport] = []

    async def main() -> None:
        clock = LoopClock(stage.world.epoch_us)
        twin = kraken_twin(stage.world, stage.world.market(), clock, paths=Paths(root), plan=FaultPlan(faults, seed=stage.world.seed))
        twins.append(twin)
        await twin.start(HOST, port)
        print("ready", flush=True)
        market = asyncio.create_task(twin.run_market(None), name="market")
        try:
            await asyncio.Event().wait()
        finally:
            reports.append(twin.protection_report())
            market.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await market
            await twin.close()

    def changed(change: GuestChange) -> None:
        if change is GuestChange.DIED:
            twin = twins[0]
            deaths.append({"at_us": twin.clock.now_us(), "released": twin.middleware.release(), "orders": len(twin.exchange.state.orders)})

    run_owner(main, control_port=control, downtime_s=DOWNTIME_S, on_change=changed)
    report = reports[0]
    return {"deaths": deaths, "max_unprotected_s": report.max_unprotected_us / 1e6, "unprotected": dict(report.unprotected)}


def life(*, root: Path, port: int, control: int, point: str, occurrence: int, until_us: int) -> dict[str, Any]:
    """One session on the exchange's clock until it ends or kills itself; `point` empty = it is left alone."""
    stage = stage_of(root, port)

    async def main() -> dict[str, Any]:
        clock = LoopClock(stage.world.epoch_us)
        kill = Killer(POINTS[point], occurrence) if point else None
        async with opened(stage, Paths(root), clock, kill=kill) as session:
            summary = await live(session, clock, until_us)
            return {"summary": asdict(summary), "journal": session.w.ledger.journal_hash()}

    return run_guest(main, control_port=control)


if __name__ == "__main__":
    role, words = sys.argv[1], json.loads(sys.argv[2])
    words["root"] = Path(words["root"])
    print(json.dumps({"exchange": exchange, "life": life}[role](**words)), flush=True)
