"""`trader optimize` and the flow's report: one judgement of the strategy in use, kept and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from trader.bootstrap.notices import post_notice
from trader.bootstrap.optimizing import Answer, Tell, decide_on, quiet
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import keep, question_of, too_soon
from trader.bootstrap.reading import now_of
from trader.config import Settings
from trader.errors import RejectedError


def run_optimize(
    settings: Settings, *, data: Path | None = None, current: str | None = None, force: bool = False, tell: Tell = quiet
) -> dict[str, Any]:  # fmt: skip
    """The judgement as plain values, kept in the state directory unless it is about a file.

    Raises ConfigError for what cannot be asked, RejectedError where the newest judgement is too young, CorruptError for candles
    that cannot be read.
    """
    paths = Paths(settings.state)
    question = question_of(settings)
    if current is not None:
        question = replace(question, current=f"{settings.profile}/{current}")
    if data is not None:
        return decide_on(question, data=data, threads=settings.optimizer.threads, tell=tell).as_dict()
    if not force and (why := too_soon(paths, now_of(paths))):
        raise RejectedError(f"{why}; --force judges anyway")
    return report(settings, decide_on(question, state=settings.state, threads=settings.optimizer.threads, tell=tell))


def report(settings: Settings, answer: Answer) -> dict[str, Any]:
    """Keep the judgement and tell people its sentence; the judgement as plain values with the name it is kept under."""
    paths = Paths(settings.state)
    run = keep(paths, answer, now_of(paths))
    told = {"run": run} | answer.as_dict()
    payload = {name: told[name] for name in ("run", "decision", "current", "candidate", "reason", "sentence", "no_edge", "inputs_digest")}
    post_notice(settings, "optimizer.judged", payload, dedupe_key=f"optimizer {run}")
    return told
