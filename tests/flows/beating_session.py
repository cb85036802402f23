"""A session that only beats: the real stage wrapper around work that takes a millisecond, on a fixed grid.

`python tests/flows/beating_session.py --beats N --every S [--read-variable]` prints `ready`, then one JSON object: the flow
run's id, the stages it ran and how late each beat began, in seconds. `--read-variable` does what a beat must never do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.events import emit_event
from prefect.variables import Variable

from tasks.trading import Stages

STAGES = ("check", "protect", "universe", "report")


@flow(log_prints=True)
async def beating_session(beats: int, every_s: float, read_variable: bool) -> dict[str, Any]:
    """`beats` beats of four stages each; on the beat only tasks, logging and events."""
    stages, late, log = Stages(), [], get_run_logger()
    await stages("reconcile", lambda: asyncio.sleep(0.001))
    print("ready")
    sys.__stdout__.write("ready\n")
    sys.__stdout__.flush()
    start = time.monotonic() + every_s
    for number in range(beats):
        await asyncio.sleep(max(0.0, start + number * every_s - time.monotonic()))
        late.append(time.monotonic() - (start + number * every_s))
        if read_variable:
            try:
                await Variable.aget("active_strategy", default="none")
            except Exception as error:  # noqa: BLE001 - whatever it raises when the API is away
                log.info("variable: %s", error)
        for name in STAGES:
            await stages(name, lambda: asyncio.sleep(0.001))
        log.info("beat %d", number)
        emit_event("trader.beat", resource={"prefect.resource.id": "trader.session"}, payload={"number": number})
    return {"run": str(runtime.flow_run.id), "stages": stages.started, "late_s": late}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--beats", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--read-variable", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(beating_session(options.beats, options.every, options.read_variable))
    sys.__stdout__.write(json.dumps(result) + "\n")
