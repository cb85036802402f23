"""Pages and tables for Prefect's own UI. Never called while a session beats: the API may be away."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact

from tasks.policies import TRIED_AGAIN


def picture(png: bytes, words: str) -> str:
    """A PNG inside markdown, so that the page needs no file beside it; `words` say what it shows."""
    return f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})"


@task(name="publish page", task_run_name="publish {key}", tags=["artifact"], description="Store a markdown artifact.", **TRIED_AGAIN)
async def publish_page(key: str, markdown: str, description: str) -> str:
    """Store a page under `key` (lower case, digits, dashes); the artifact's id."""
    return str(await acreate_markdown_artifact(markdown, key=key, description=description))


@task(name="publish table", task_run_name="publish {key}", tags=["artifact"], description="Store a table artifact.", **TRIED_AGAIN)
async def publish_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> str:
    """Store rows under `key`; the artifact's id."""
    return str(await acreate_table_artifact([dict(row) for row in rows], key=key, description=description))


@task(name="publish progress", task_run_name="publish {key}", tags=["artifact"], description="Store a progress artifact.", **TRIED_AGAIN)
async def publish_progress(key: str, percent: float, description: str, artifact: str | None = None) -> str:
    """Show how far a run is, 0 to 100; the artifact's id, to be given back at the next call."""
    if artifact is None:
        return str(await acreate_progress_artifact(percent, key=key, description=description))
    await aupdate_progress_artifact(UUID(artifact), percent, description=description)
    return artifact
