"""optimize_strategies: has another strategy earned the place of the one in use? KEEP unless all says otherwise and a person agrees."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.artifacts import publish_page, publish_progress, publish_table
from tasks.foreground import run_to_exit_code
from tasks.hooks import HOOKS
from tasks.optimizing import (
    ask,
    hear,
    judge,
    keep_record,
    load_candles,
    make_runner,
    names_of,
    obstacle,
    page_of,
    promote,
    remembered,
    report,
    settle,
    sweep,
    swept,
    tables_of,
    too_soon,
)
from tasks.policies import run_name

PROGRESS = "optimizer-progress"


@flow(
    name="optimize_strategies",
    description="Judge the strategy in use against all others, over purged walk-forward folds; a switch waits for a person.",
    flow_run_name=run_name("optimize {due:%m-%d %H:%M}"),
    task_runner=make_runner(),
    log_prints=True,
    **HOOKS,
)
async def optimize_strategies(poll_s: float = 10.0, force: bool = False) -> dict[str, Any] | State[Any]:
    """Load, sweep, judge, report; where a switch passes, ask and promote. The judgement's headline is the result.

    `poll_s`: seconds between two looks for a person's answer; `force`: judge although the newest judgement is under 55 minutes old.
    """
    if not force and (why := too_soon()):
        return Completed(message=why, data={"ended": why})
    material = await load_candles()
    names = names_of(material)
    shown = await publish_progress(PROGRESS, 0.0, f"{len(names)} strategies")
    runs = {name: known for name in names if (known := remembered(material, name)) is not None}
    under_way = {name: sweep.submit(material, name) for name in names if name not in runs}
    async for run in swept(under_way):
        runs[run.name] = run
        keep_record(material, run)
        print(f"{run.name}: {len(run.trades)} trades")
        await publish_progress(PROGRESS, 90.0 * len(runs) / len(names), run.name, shown)
    told = await report(await hear(await judge(material, [runs[name] for name in names])))
    for key, (rows, words) in tables_of(told).items():
        await publish_table(key, rows, words)
    await publish_page("optimizer", page_of(told), told["sentence"])
    await publish_progress(PROGRESS, 100.0, told["decision"], shown)
    print(told["sentence"])
    outcome = obstacle(told)
    if not outcome:
        answer = await ask(told, poll_s=poll_s)
        outcome = await promote(told["run"], answer) if answer.approve else f"not approved: {answer.reason or 'no reason given'}"
    if told["decision"] == "SWITCH":
        await settle(told["run"], outcome)
        print(outcome)
    return {name: told[name] for name in ("run", "decision", "current", "candidate", "sentence", "inputs_digest")} | {"outcome": outcome}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.optimize_strategies", description="judge the strategy in use, in the foreground")
    parser.add_argument("--force", action="store_true", help="judge although the newest judgement is under 55 minutes old")
    sys.exit(run_to_exit_code(optimize_strategies(force=parser.parse_args().force)))
