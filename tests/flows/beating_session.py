"""A session that only beats: the real stage wrapper around work that takes a millisecond, on a fixed grid.

`python tests/flows/beating_session.py --kind KIND --beats N --every S` prints `ready`, then one JSON object: the flow run's id,
the stages it ran and how late each beat began, in seconds. Kinds: `session`; `variable`, which does on the beat what a beat must
never do; `bare`, the same beats without Prefect, which shows how late this machine alone makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

STAGES = ("check", "protect", "universe", "report")
Call = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def beat(beats: int, every_s: float, stage: Call, extra: Callable[[int], Awaitable[None]]) -> list[float]:
    """The session; how late each beat began."""
    await stage("reconcile", lambda: asyncio.sleep(0.001))
    sys.__stdout__.write("ready\n")
    sys.__stdout__.flush()
    late, start = [], time.monotonic() + every_s
    for number in range(beats):
        await asyncio.sleep(max(0.0, start + number * every_s - time.monotonic()))
        late.append(time.monotonic() - (start + number * every_s))
        await extra(number)
        for name in STAGES:
            await stage(name, lambda: asyncio.sleep(0.001))
    return late


async def bare(beats: int, every_s: float) -> dict[str, Any]:
    """Without Prefect."""

    async def nothing(_number: int) -> None:
        return None

    return {"late_s": await beat(beats, every_s, lambda _name, work: work(), nothing)}


async def under_prefect(beats: int, every_s: float, read_variable: bool) -> dict[str, Any]:
    """As a flow: on the beat only tasks, logging and events, unless a variable is read."""
    from prefect import flow, get_run_logger, runtime
    from prefect.events import emit_event
    from prefect.variables import Variable

    from tasks.trading import Stages

    async def extra(number: int) -> None:
        get_run_logger().info("beat %d", number)
        emit_event("trader.beat", resource={"prefect.resource.id": "trader.session"}, payload={"number": number})
        if read_variable:
            try:
                await Variable.aget("active_strategy", default="none")
            except Exception as error:  # noqa: BLE001 - whatever it raises while the API is away
                get_run_logger().info("variable: %s", error)

    @flow(log_prints=True)
    async def beating_session() -> dict[str, Any]:
        stages = Stages()
        late = await beat(beats, every_s, stages, extra)
        return {"run": str(runtime.flow_run.id), "stages": stages.started, "late_s": late}

    return await beating_session()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=("session", "variable", "bare"), required=True)
    parser.add_argument("--beats", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    options = parser.parse_args()
    work = (
        bare(options.beats, options.every)
        if options.kind == "bare"
        else under_prefect(options.beats, options.every, options.kind == "variable")
    )
    sys.__stdout__.write(json.dumps(asyncio.run(work)) + "\n")
