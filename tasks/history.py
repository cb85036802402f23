"""Ingestion of history as tasks: plan, fetch, gate, commit, judge. The network and the shared disk are tried again, the gate is not."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks.policies import BARE, TRIED_AGAIN
from trader.config import load

if TYPE_CHECKING:
    from trader.bootstrap.ingesting import Archive, Chunk, Deep, Fetched, Folded, Ingestion, Judged, Report

TAGS = ["history"]


def ingestion(timeframes: list[str] | None, pairs: list[str] | None) -> AbstractAsyncContextManager[Ingestion]:
    """The store, the market and the clock of this installation, open for one ingestion."""
    from trader.bootstrap.ingesting import ingesting

    return ingesting(load(), timeframes=timeframes, pairs=pairs)


@task(name="plan", tags=[*TAGS, "network"], description="Rank the pairs and list the calls that history lacks.", **TRIED_AGAIN)
async def plan(work: Ingestion) -> list[Chunk]:
    """What is missing, in pieces that are fetched, judged and committed one after the other."""
    return await work.plan()


@task(
    name="fetch",
    task_run_name="fetch {chunk}",
    tags=[*TAGS, "network"],
    description="Fetch one piece of the plan.",
    timeout_seconds=900,
    **TRIED_AGAIN,
)
async def fetch(work: Ingestion, chunk: Chunk) -> Fetched:
    """Candles as served; calls that keep failing are named in the result, the others continue."""
    return await work.fetch(chunk)


@task(name="gate", task_run_name="gate {fetched}", tags=[*TAGS, "quality"], description="Judge a batch with Great Expectations.", **BARE)
async def gate(work: Ingestion, fetched: Fetched) -> Judged:
    """The verdicts, from a process of their own: importing the judge costs seconds of CPU."""
    return await asyncio.to_thread(work.gate, fetched)


@task(
    name="commit",
    task_run_name="commit {judged}",
    tags=[*TAGS, "disk"],
    description="Store what passed, set the rest aside.",
    **TRIED_AGAIN,
)
async def commit(work: Ingestion, judged: Judged) -> Report:
    """One transaction a timeframe; repeating it stores nothing twice."""
    return work.commit(judged)


@task(
    name="judge tails",
    tags=[*TAGS, "quality", "disk"],
    description="Say for each pair whether its newest candles allow trading.",
    **TRIED_AGAIN,
)
async def judge(work: Ingestion) -> dict[str, Any]:
    """The gate's word on every pair for the next two hours: how many may trade, and why others may not."""
    return work.judge()


@task(
    name="take archive",
    task_run_name="take archive {archive}",
    tags=[*TAGS, "network", "disk"],
    description="Import candles of the deep past from the exchange's archive files.",
    timeout_seconds=1800,
    **TRIED_AGAIN,
)
async def take_archive(work: Ingestion, archive: Archive) -> Deep:
    """One group of pairs, judged by the gate; files imported before are passed over."""
    return await work.take(archive)


@task(name="compact", tags=[*TAGS, "disk"], description="Fold finished days and months, sweep files nobody reads.", **TRIED_AGAIN)
async def compact(work: Ingestion) -> Folded:
    """Each fold is proved equal to what it replaces before it counts."""
    return await asyncio.to_thread(work.compact)
