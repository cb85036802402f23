"""The doctor's questions to a running `trader up`: do twins, status page and Prefect answer, and does Prefect schedule?"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from trader.bootstrap.children import GEMINI, KRAKEN, WEB, http_probe, installed
from trader.bootstrap.paths import Paths
from trader.bootstrap.prefect_up import AT_START, LATER, SESSION
from trader.config import Settings
from trader.errors import RejectedError, RetryableError
from trader.maintenance.locks import is_locked
from trader.maintenance.prefect_control import PrefectApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One finding about a running part."""

    ok: bool
    code: str
    what: str
    why: str
    fix: str


def running_checks(settings: Settings) -> list[Running]:
    """Every question, in order; takes a few seconds where something hangs."""
    return asyncio.run(_all(settings))


async def _all(settings: Settings) -> list[Running]:
    ports = settings.ports
    found: list[Running] = []
    if settings.environment == "demo":
        found += [
            await _answers("E-TWIN-001", KRAKEN, f"http://127.0.0.1:{ports.kraken_twin}/_twin", "the session has no exchange"),
            await _answers("E-TWIN-002", GEMINI, f"http://127.0.0.1:{ports.gemini_twin}/healthz", "no entry is confirmed in veto mode"),
        ]
    if installed(WEB):
        found.append(await _answers("E-WEB-001", WEB, f"http://127.0.0.1:{ports.web}/", "nobody can look at it"))
    found += await _prefect(PrefectApi(ports.prefect))
    trades = is_locked(Paths(settings.state.resolve()).lock)
    fix = "wait 20 s; else see logs/prefect-worker.jsonl and `trader status`"
    found.append(
        Running(ok=trades, code="E-SES-001", what="a session trades" if trades else "no session trades", why="nothing is decided", fix=fix)
    )
    return found


async def _answers(code: str, who: str, url: str, why: str) -> Running:
    ok = await http_probe(url)()
    what = f"{who} answers at {url}" if ok else f"{who} does not answer at {url}"
    return Running(ok=ok, code=code, what=what, why=why, fix=f"see logs/{who}.jsonl; `trader up` restarts it by itself")


async def _prefect(api: PrefectApi) -> list[Running]:
    if not await api.healthy():
        fix = "see logs/prefect-server.jsonl; `trader up` restarts it by itself"
        return [Running(ok=False, code="E-PRE-001", what=f"Prefect does not answer at {api.page}", why="no flow is started", fix=fix)]
    found = [Running(ok=True, code="E-PRE-001", what=f"Prefect answers at {api.page}", why="", fix="")]
    try:
        found += await _schedules(api)
    except (RetryableError, RejectedError) as error:
        found.append(Running(ok=False, code="E-PRE-002", what=str(error), why="its state is unknown", fix="run the doctor again"))
    return found


async def _schedules(api: PrefectApi) -> list[Running]:
    """Pool, deployments, and whether a run of the session really is scheduled: a wrong SQLAlchemy stops that silently."""
    deployed = await api.deployments()
    missing = [name for name in (SESSION, *AT_START, LATER) if name not in deployed]
    shown = f"deployments: {', '.join(sorted(deployed)) or 'none'}"
    found = [Running(ok=not missing, code="E-PRE-002", what=shown, why=f"missing: {', '.join(missing)}", fix="start `trader up` again")]
    online = await api.worker_online()
    fix = "see logs/prefect-worker.jsonl"
    found.append(
        Running(ok=online, code="E-PRE-003", what=f"worker is {'online' if online else 'offline'}", why="no flow is executed", fix=fix)
    )
    if SESSION in deployed:
        due = await api.runs(("SCHEDULED",), deployment=deployed[SESSION], before=time.time() + 3600)
        what = f"{len(due)} sessions are scheduled within the hour"
        why = "the scheduler makes no runs, so a lost session is not replaced; known with SQLAlchemy 2.1"
        found.append(Running(ok=bool(due), code="E-PRE-004", what=what, why=why, fix="check the pins above, then start `trader up` again"))
    return found
