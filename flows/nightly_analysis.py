"""nightly_analysis: look back on the day that is over, step by step, and say what came of it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.foreground import run_to_exit_code
from tasks.hooks import HOOKS
from tasks.night import PUBLISH, STEPS, begin, concluded, failed
from tasks.policies import run_name

NOTHING = "no session had run by the end of that day"


@flow(
    name="nightly_analysis",
    description="Close the day's books, audit the data, replay the day and name every difference, sum up, publish, tell people.",
    flow_run_name=run_name("night {due:%m-%d %H:%M}"),
    log_prints=True,
    **HOOKS,
)
async def nightly_analysis(day: str | None = None, again: bool = False) -> dict[str, Any] | State[Any]:
    """The night of `day` (default: yesterday by the exchange's clock). Steps that are done are not repeated unless `again`.

    A step that fails stops no other; the run is Failed then, and the next one tries that step again.
    """
    night = await begin(day, again)
    if night is None:
        return Completed(message=NOTHING, data={"ended": NOTHING})
    fresh = False
    for name, step in STEPS.items():
        if night.done(name) and not (fresh and name == PUBLISH):  # a page that lacks what was found since is made anew
            print(f"{name}: done before")
            continue
        try:
            await step(night.day)
        except Exception as error:  # noqa: BLE001 - whatever stops a step stops no other; it is written down and ends the run Failed
            print(f"{name}: {error}")
            failed(night.day, name, f"{type(error).__name__}: {error}")
        else:
            fresh = True
            print(f"{name}: done")
    return concluded(night.day)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.nightly_analysis", description="look back on a day, in the foreground")
    parser.add_argument("--day", help="a UTC day that is over, e.g. 2026-01-06; default: yesterday")
    parser.add_argument("--again", action="store_true", help="run every step anew")
    chosen = parser.parse_args()
    sys.exit(run_to_exit_code(nightly_analysis(day=chosen.day, again=chosen.again)))
