"""A person's word on a run: Prefect's own pause with typed input, answered in its UI.

The answer outlives the server: while nobody can be reached the run goes on waiting, and asks again. No answer in time is a no.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_base_key
from pydantic import Field

KEY: Final = "approval"
SPARE_S: Final = 600
"""The server's own time-out comes this much later than ours: it would fail the run, ours is an answer."""


class Approval(RunInput):
    """What a person says about a switch."""

    approve: bool = Field(default=False, description="let the switch come true at the next session")
    who: str = Field(default="", description="your name, kept in the ledger")
    reason: str = Field(default="", description="why, kept in the ledger")


async def ask_person(description: str, *, timeout_s: float, poll_s: float = 10.0) -> Approval:
    """Pause the flow run that this is called in until somebody answers; without an answer in time it goes on with a no."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a person is asked from inside a flow run")
    run_id = context.flow_run.id
    asked = Approval.with_initial_data(description=description)
    try:
        async with asyncio.timeout(timeout_s):
            try:
                found = await apause_flow_run(
                    wait_for_input=asked, timeout=round(timeout_s + SPARE_S), poll_interval=round(poll_s), key=KEY
                )
            except (httpx.TransportError, PrefectHTTPStatusError):
                found = await _answered(run_id, poll_s)
    except TimeoutError:
        return await _unanswered(run_id, poll_s)
    return Approval.model_validate(found.model_dump()) if found is not None else Approval()


async def _answered(run_id: UUID, poll_s: float) -> Approval:
    """Wait on through outages of the server: the pause and its answer are rows of its database."""
    while True:
        await asyncio.sleep(poll_s)
        try:
            async with get_client() as client:
                run = await client.read_flow_run(run_id)
                if run.state is not None and run.state.is_running():
                    return await Approval.aload(keyset_from_base_key(f"paused-{KEY}"), flow_run_id=run_id)
        except (httpx.TransportError, PrefectHTTPStatusError):
            continue


async def _unanswered(run_id: UUID, poll_s: float) -> Approval:
    """Resume the run itself, with a no; as soon as the server can be told."""
    no = Approval(reason="no answer in time")
    while True:
        try:
            async with get_client() as client:
                await client.resume_flow_run(run_id, run_input=no.model_dump())
                return no
        except (httpx.TransportError, PrefectHTTPStatusError):
            await asyncio.sleep(poll_s)
