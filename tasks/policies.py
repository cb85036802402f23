"""Who is tried again, when, and how runs are named. An order is never inside any of these."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import prefect.runtime
from prefect.cache_policies import NO_CACHE

from trader.errors import RetryableError

PAUSES_S: Final = (2.0, 10.0, 30.0)
"""Seconds before the second, third and fourth try of a task that talks to a peer or to a disk others use."""


async def only_retryable(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task run may be repeated: only where the error says that nothing happened."""
    try:
        await state.aresult()
    except RetryableError:
        return True
    except Exception:  # noqa: BLE001 - any other error has its own name and reaches the flow as it is
        return False
    return False


BARE: Final[dict[str, Any]] = {"retries": 0, "cache_policy": NO_CACHE, "persist_result": False}
"""A transform or a stage of trading: once, nothing stored."""

TRIED_AGAIN: Final[dict[str, Any]] = {
    "retries": len(PAUSES_S), "retry_delay_seconds": list(PAUSES_S), "retry_condition_fn": only_retryable,
    "cache_policy": NO_CACHE, "persist_result": False,
}  # fmt: skip
"""Idempotent reading, fetching and committing."""


def scheduled_at() -> datetime:
    """When this flow run was due, UTC; for one started by hand, when it was started."""
    due: datetime = prefect.runtime.flow_run.scheduled_start_time
    return due.astimezone(UTC)


def run_name(template: str) -> Callable[[], str]:
    """A namer of flow runs from a template with the run's parameters and `due`, for example `session {due:%m-%d %H:%M}`."""

    def name() -> str:
        return template.format(due=scheduled_at(), **prefect.runtime.flow_run.parameters)

    return name
