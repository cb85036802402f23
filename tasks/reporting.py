"""The status report as tasks: read the stores and draw, then hand it to people. Nothing here touches the session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prefect import task

from tasks.policies import BARE, TRIED_AGAIN
from trader.config import load

if TYPE_CHECKING:
    from trader.bootstrap.reports import StatusReport


@task(name="read and draw", tags=["reporting", "disk"], description="Figures, words and the equity chart from the stores.", **TRIED_AGAIN)
async def read_status() -> StatusReport:
    """The report as of now; drawing takes a second of CPU, in a thread."""
    from trader.bootstrap.reports import status_report

    return await asyncio.to_thread(status_report, load())


@task(name="tell people", tags=["reporting", "disk"], description="Put the report into the outbox unless it says nothing new.", **BARE)
async def post_status(report: StatusReport) -> None:
    """One row in the outbox; a report with the same content is not stored twice."""
    from trader.bootstrap.reports import post_report

    post_report(load(), report)
