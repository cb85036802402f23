"""Prefect from outside: its environment, the command lines we use of it, and the few calls of its HTTP API we need."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader.errors import RejectedError, RetryableError

POOL = "trader"
UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")
RETENTION_S = 6 * 3600
"""A demo at 30-fold speed makes some 2 GB of task runs a day; six hours are kept."""


BUSY_PAUSES_S = (0.3, 1.0, 2.0)


class BusyError(RetryableError):
    """The server is there and could not serve this call now."""


def environment(*, home: Path, port: int) -> dict[str, str]:
    """Variables for the server, the worker and the flows alike; the server needs PREFECT_API_URL too, for its own pages."""
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_S),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "2",
    }


def command(*words: str) -> tuple[str, ...]:
    """Prefect's command line with this interpreter."""
    return (sys.executable, "-m", "prefect", *words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A flow run as the API tells it; `expected` is UTC seconds since 1970."""

    id: str
    name: str
    state: str
    state_name: str
    message: str
    expected: float
    deployment: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Run:
        state = row.get("state") or {}
        due = row.get("expected_start_time") or row["created"]
        return cls(
            id=row["id"], name=row["name"], state=row.get("state_type") or "", state_name=row.get("state_name") or "",
            message=state.get("message") or "", expected=datetime.fromisoformat(due).astimezone(UTC).timestamp(),
            deployment=row.get("deployment_id"),
        )  # fmt: skip


class PrefectApi:
    """Calls of the server's API. Raises RetryableError when it cannot be reached or fails, RejectedError when it refuses."""

    def __init__(self, port: int, *, timeout_s: float = 5.0) -> None:
        self.page = f"http://127.0.0.1:{port}"
        self._timeout_s = timeout_s
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # loopback never goes through a proxy

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """One call, its answer as Python values; three more where the server was busy: 5xx (its database was locked), or slow to read."""
        for pause_s in BUSY_PAUSES_S:
            try:
                return await asyncio.to_thread(self.call_now, method, path, body)
            except BusyError:
                await asyncio.sleep(pause_s)
        return await asyncio.to_thread(self.call_now, method, path, body)

    def call_now(self, method: str, path: str, body: object = None) -> Any:
        """The same in the caller's thread."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.page}/api{path}", data=data, method=method, headers={"Content-Type": "application/json"})  # noqa: S310 - our own loopback address
        try:
            with self._open(request, timeout=self._timeout_s) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            words = error.read()[:300].decode(errors="replace")
            kind = BusyError if error.code >= 500 else RejectedError
            raise kind(f"Prefect {method} {path}: {error.code} {words}") from error
        except (OSError, ValueError) as error:
            slow = isinstance(error, TimeoutError) and (
                method in ("GET", "PATCH") or path.endswith("/filter")
            )  # else it may have taken effect
            raise (BusyError if slow else RetryableError)(f"Prefect {method} {path}: {error}") from error
        return json.loads(text) if text else None

    async def healthy(self) -> bool:
        """Whether the server says it is well."""
        try:
            return (await self.call("GET", "/health")) is True
        except (RetryableError, RejectedError):
            return False

    # --- pool and deployments ----------------------------------------------------------------------------------------
    async def has_pool(self) -> bool:
        try:
            return bool((await self.call("GET", f"/work_pools/{POOL}"))["type"] == "process")
        except RejectedError:
            return False

    async def pause_pool(self, paused: bool) -> None:
        """A paused pool hands out no runs."""
        await self.call("PATCH", f"/work_pools/{POOL}", {"is_paused": paused})

    async def worker_online(self) -> bool:
        """Whether a worker has reported to the pool."""
        try:
            workers = await self.call("POST", f"/work_pools/{POOL}/workers/filter", {})
        except (RetryableError, RejectedError):
            return False
        return any(worker.get("status") == "ONLINE" for worker in workers)

    async def deployments(self) -> dict[str, str]:
        """Deployment name -> id."""
        return {row["name"]: row["id"] for row in await self.call("POST", "/deployments/filter", {})}

    # --- runs ----------------------------------------------------------------------------------------------------------
    async def start_run(self, deployment: str, *, after_s: float = 0.0) -> Run:
        """Create a run that is due now, or in so many seconds."""
        due = datetime.fromtimestamp(time.time() + after_s, UTC).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        return Run.of(await self.call("POST", f"/deployments/{deployment}/create_flow_run", {"state": state}))

    async def runs(
        self, states: Sequence[str], *, deployment: str | None = None, before: float | None = None, limit: int = 200
    ) -> list[Run]:
        """Runs in one of these states, the next due first; `before`: only those due earlier (UTC seconds)."""
        wanted: dict[str, Any] = {"state": {"type": {"any_": list(states)}}}
        if deployment is not None:
            wanted["deployment_id"] = {"any_": [deployment]}
        if before is not None:
            wanted["expected_start_time"] = {"before_": datetime.fromtimestamp(before, UTC).isoformat()}
        body = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        return [Run.of(row) for row in await self.call("POST", "/flow_runs/filter", body)]

    async def newest(self, deployment: str) -> Run | None:
        """The run of a deployment that was last due among those that have begun or ended."""
        wanted = {"deployment_id": {"any_": [deployment]}, "state": {"type": {"not_any_": ["SCHEDULED"]}}}
        rows = await self.call("POST", "/flow_runs/filter", {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_DESC", "limit": 1})
        return Run.of(rows[0]) if rows else None

    async def cancel(self, run: Run, message: str) -> None:
        """Ask for its end: its `finally` and hooks run."""
        await self._set(run, "CANCELLING", message, force=False)

    async def force_cancel(self, run: Run, message: str) -> None:
        """Write down that a run is over whose process is gone; frees its concurrency slot."""
        await self._set(run, "CANCELLED", message, force=True)

    async def delete(self, run: Run) -> None:
        """Forget a run that never started."""
        await self.call("DELETE", f"/flow_runs/{run.id}")

    async def _set(self, run: Run, state: str, message: str, *, force: bool) -> None:
        body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": force}
        await self.call("POST", f"/flow_runs/{run.id}/set_state", body)
