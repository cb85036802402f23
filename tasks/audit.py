"""The nightly audit of history as a task: judges everything stored, sets aside what is critical, queues repairs."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import task

from tasks.policies import TRIED_AGAIN
from trader.config import load


@task(name="audit history", tags=["quality", "disk"], description="Judge all stored candles; block what fails.", **TRIED_AGAIN)
async def audit_history() -> dict[str, Any]:
    """Series and rows judged, critical failures and warnings, each with pair, expectation and first bad row."""
    from trader.bootstrap.data_desk import audit

    return await asyncio.to_thread(audit, load().state)
