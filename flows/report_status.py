"""report_status: how the account stands, as a page with its equity chart, as tables, and as a message."""

from __future__ import annotations

import sys
from typing import Any

from prefect import flow

from tasks.artifacts import picture, publish_page, publish_table
from tasks.foreground import run_to_exit_code
from tasks.hooks import HOOKS
from tasks.policies import run_name
from tasks.reporting import post_status, read_status


@flow(
    name="report_status",
    description="Read the stores, draw the equity chart, publish page and tables as artifacts, tell people what is new.",
    flow_run_name=run_name("status {due:%m-%d %H:%M}"),
    log_prints=True,
    **HOOKS,
)
async def report_status() -> dict[str, Any]:
    """The periodic report; its headline figures are the result."""
    report = await read_status()
    image = picture(report.png, report.words) if report.png else ""
    await publish_page("status", report.markdown(image), "Status of the account")
    for key, rows in report.tables.items():
        await publish_table(key, rows, key.replace("-", " "))
    await post_status(report)
    found: dict[str, Any] = report.summary
    print(f"equity {found['equity']} {found['quote']}, {found['open']} open, {found['trades']} closed, net {found['net']}")
    return found


if __name__ == "__main__":
    sys.exit(run_to_exit_code(report_status()))
