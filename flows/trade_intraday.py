"""trade_intraday: one bounded trading session; each stage of its beats is one awaited task.

Between the first beat and the last nothing here asks the Prefect API for anything: no subflow, artifact, variable or
concurrency slot. An outage of the API delays no beat; the runs appear when it is back.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.foreground import run_to_exit_code
from tasks.hooks import HOOKS
from tasks.policies import run_name, scheduled_at
from tasks.trading import NoSessionError, session_seconds, told, trade_session


@flow(
    name="trade_intraday",
    description="One trading session: recover, protect, then beat and decide until 20 s before its successor is due.",
    flow_run_name=run_name("session {due:%m-%d %H:%M}"),
    log_prints=True,
    retries=0,
    **HOOKS,
)
async def trade_intraday(minutes: float = 55.0) -> dict[str, Any] | State[Any]:
    """Trade for `minutes`: of the schedule's clock when a deployment started this run, of its own when a person did."""
    due = scheduled_at() if runtime.deployment.id else None
    seconds = session_seconds(minutes, due=due, now=datetime.now(UTC))
    print(f"session of {seconds / 60:.1f} minutes")
    try:
        summary = told(await trade_session(seconds))
    except NoSessionError as error:
        print(error)
        return Completed(message=error.ended, data={"ended": error.ended})
    done = ", ".join(f"{summary[name]} {name}" for name in ("beats", "decisions", "orders", "fills"))
    print(f"{summary['ended']}: {done}")
    return summary


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.trade_intraday", description="one trading session in the foreground")
    parser.add_argument("--minutes", type=float, default=55.0, help="of the machine's time")
    sys.exit(run_to_exit_code(trade_intraday(minutes=parser.parse_args().minutes)))
