"""`trader optimize` and the flow's report: one judgement of the strategy in use, kept and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from trader.bootstrap.judgements import keep, kept, too_soon, write
from trader.bootstrap.notices import post_notice
from trader.bootstrap.optimizer_veto import heard_now
from trader.bootstrap.optimizing import Answer, Tell, decide_on, quiet
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import question_of
from trader.bootstrap.state_time import now_of
from trader.config import Settings
from trader.errors import RejectedError

TOLD = ("run", "decision", "current", "candidate", "reason", "sentence", "no_edge", "inputs_digest")
"""What a message says of a judgement."""


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
    answer = decide_on(question, state=settings.state, threads=settings.optimizer.threads, tell=tell)
    return report(settings, heard_now(settings, answer))


def report(settings: Settings, answer: Answer, flow_run: str = "") -> dict[str, Any]:
    """Keep the judgement and tell people its sentence; the judgement as plain values with the name it is kept under.

    `flow_run`: id of the run in Prefect that will ask a person about a switch; none for one made by command.
    """
    paths = Paths(settings.state)
    told = keep(paths, answer, now_of(paths), flow_run)
    payload = {name: told[name] for name in TOLD} | {"approval_in_prefect": bool(flow_run)}
    post_notice(settings, "optimizer.judged", payload, dedupe_key=f"optimizer {told['run']}")
    return told


def settle(settings: Settings, run: str, outcome: str) -> None:
    """Write down what became of a switch that a person was asked about, and tell people. Raises as `judgements.kept`."""
    paths = Paths(settings.state)
    told = kept(paths, run) | {"outcome": outcome}
    write(paths, told)
    payload = {name: told[name] for name in ("run", "current", "candidate", "outcome")}
    post_notice(settings, "optimizer.settled", payload, dedupe_key=f"optimizer settled {run}")
