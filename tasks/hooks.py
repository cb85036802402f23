"""Run-state hooks: what went wrong goes into the outbox, from where it reaches Slack and the dashboard.

Prefect calls them by keyword, in the worker's process where the flow's own is gone, so the signature is exactly
`(flow, flow_run, state)`.
"""

from __future__ import annotations

import logging
from typing import Any

from trader.config import load
from trader.errors import TraderError

log = logging.getLogger(__name__)


def tell_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """Post `flow.failed`, once for each run and state; what keeps it from being stored is logged, never raised."""
    from trader.bootstrap.notices import post_notice

    payload = {
        "flow": flow.name, "run": flow_run.name, "run_id": str(flow_run.id), "state": state.name,
        "reason": (state.message or "")[:500],
    }  # fmt: skip
    try:
        post_notice(load(), "flow.failed", payload, dedupe_key=f"flow {flow_run.id} {state.name}")
    except TraderError as error:
        log.error("flow %s %s: the notice was not stored: %s", flow.name, state.name, error)


HOOKS: dict[str, Any] = {"on_failure": [tell_failure], "on_crashed": [tell_failure]}
"""For every flow."""
