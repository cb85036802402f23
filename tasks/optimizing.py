"""The choice of a strategy as tasks: load, sweep (a task a strategy, on threads or Dask), judge, ask, promote, report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import prefect.runtime
from prefect import task
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.approval import Approval, ask_person
from tasks.policies import BARE, TRIED_AGAIN
from trader.config import OptimizerSettings, load
from trader.errors import ConfigError, FatalError, RejectedError, TraderError

if TYPE_CHECKING:
    from trader.bootstrap.optimizing import Answer, Material
    from trader.research.optimizer.series import Run

TAGS = ["optimizer"]
SWEEP_S = 3600.0
"""How long after the record before it one may take: minutes at most, and a cluster that has lost its last worker would wait for ever."""


def make_runner() -> TaskRunner[Any]:
    """Where the sweep runs, by `optimizer.runner`: threads of this process, Dask or Ray (a cluster's address, or one for the run).

    Raises ConfigError where Ray is asked for and not installed.
    """
    settings = load().optimizer
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=settings.threads)
    if settings.runner == "ray":
        return _ray(settings)
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": settings.threads, "threads_per_worker": 1, "dashboard_address": None})


def _ray(settings: OptimizerSettings) -> TaskRunner[Any]:
    try:
        runners = import_module("prefect_ray.task_runners")
    except ImportError as error:
        raise ConfigError("optimizer.runner = ray needs an extra package: `make ray-extra`") from error
    here = None if settings.ray_address else {"num_cpus": settings.threads, "include_dashboard": False}
    runner: TaskRunner[Any] = runners.RayTaskRunner(address=settings.ray_address or None, init_kwargs=here)
    return runner


@task(name="load", tags=[*TAGS, "disk"], description="Pin the candles of the history store and read them.", **TRIED_AGAIN)
async def load_candles() -> Material:
    """What every strategy's run reads, pinned."""
    from trader.bootstrap.optimizing import load as material
    from trader.bootstrap.promotion import question_of

    settings = load()
    return await asyncio.to_thread(lambda: material(question_of(settings), state=settings.state.resolve()))


def names_of(material: Material) -> list[str]:
    """Strategies that compete; none where the candles do not suffice to judge any."""
    from trader.bootstrap.optimizing import candles_of

    return [] if candles_of(material).lacking else [one.name for one in material.question.strategies()]


def remembered(material: Material, name: str) -> Run | None:
    """The record of a strategy that an earlier run over the same inputs has finished."""
    from trader.bootstrap.optimizer_records import stored

    return stored(load().state, material.digest, name)


@task(name="sweep", task_run_name="sweep {name}", tags=TAGS, description="Run one strategy over all pairs.", **TRIED_AGAIN)
def sweep(material: Material, name: str) -> Run:
    """The record of one strategy, on whatever worker: it reads the pinned files itself."""
    from trader.bootstrap.optimizing import record

    return record(material, name)


async def swept(under_way: Mapping[str, PrefectFuture[Run]]) -> AsyncIterator[Run]:
    """The records of all strategies, in their order; all that can be had before a failure is told.

    Raises the first strategy's error at the end, FatalError where a worker was lost or is silent: nothing is judged then, and the next
    run finds what the others finished.
    """
    now, failed = asyncio.get_running_loop().time, list[TraderError]()
    until = now() + SWEEP_S
    for name, future in under_way.items():
        try:
            run = await _result(name, future, max(0.0, until - now()))
        except TraderError as error:
            failed.append(error)
            continue
        until = now() + SWEEP_S
        yield run
    if failed:
        raise failed[0]


async def _result(name: str, future: PrefectFuture[Run], patience_s: float) -> Run:
    try:
        return await asyncio.to_thread(future.result, timeout=patience_s)
    except TraderError:
        raise
    except Exception as error:  # a lost worker has another class with every runner
        raise FatalError(f"sweep {name}: its worker was lost or gave no answer ({type(error).__name__}: {error}); no judgement") from error


def keep_record(material: Material, run: Run) -> None:
    """Write a finished record down, so that a run which is cut off goes on where it was."""
    from trader.bootstrap.optimizer_records import store

    store(load().state, material.digest, run)


@task(name="judge", tags=TAGS, description="The conditions of the specification over all records.", **BARE)
async def judge(material: Material, runs: Sequence[Run]) -> Answer:
    """KEEP or SWITCH, and what was seen."""
    from trader.bootstrap.optimizing import conclude

    return await asyncio.to_thread(conclude, material, runs)


@task(name="hear the AI", tags=TAGS, description="A switch is put to the AI, which may reject it and nothing else.", **BARE)
async def hear(answer: Answer) -> Answer:
    """The answer, a KEEP where the AI vetoes; untouched where there is no switch or `ai.mode` is off."""
    from trader.bootstrap.optimizer_veto import heard

    return await heard(load(), answer)


@task(name="report", tags=[*TAGS, "disk"], description="Keep the judgement, tell people.", **TRIED_AGAIN)
async def report(answer: Answer) -> dict[str, Any]:
    """The judgement as plain values, with the name it is kept under."""
    from trader.bootstrap import optimize_command

    return optimize_command.report(load(), answer, flow_run=str(prefect.runtime.flow_run.id))


@task(name="settle", tags=[*TAGS, "disk"], description="Keep what became of a switch, tell people.", **TRIED_AGAIN)
async def settle(run: str, outcome: str) -> None:
    """Beside the judgement, for the status page."""
    from trader.bootstrap import optimize_command

    optimize_command.settle(load(), run, outcome)


def too_soon() -> str:
    """Why this run should not judge: the newest judgement is under 55 minutes old; empty where it may."""
    from trader.bootstrap import judgements
    from trader.bootstrap.paths import Paths
    from trader.bootstrap.state_time import now_of

    paths = Paths(load().state)
    return judgements.too_soon(paths, now_of(paths))


def obstacle(told: Mapping[str, Any]) -> str:
    """Why nobody need be asked: a KEEP, a lock, a switch in the last 7 days; empty where a person must decide."""
    from trader.bootstrap.paths import Paths
    from trader.bootstrap.promotion import obstacles
    from trader.bootstrap.state_time import now_of

    settings = load()
    paths = Paths(settings.state)
    return obstacles(settings, paths, told, now_of(paths))


async def ask(told: Mapping[str, Any], *, poll_s: float = 10.0) -> Approval:
    """A person's answer to a switch, shown with the leaderboard."""
    from trader.reporting.leaderboard import form

    return await ask_person(form(told), timeout_s=load().optimizer.approve_timeout_min * 60, poll_s=poll_s)


@task(name="promote", tags=[*TAGS, "disk"], description="Write an approved switch into the ledger; it binds the next session.", **BARE)
async def promote(run: str, answer: Approval) -> str:
    """What came of it, in words."""
    from trader.bootstrap import promotion

    try:
        made = promotion.promote(load(), run, who=answer.who or "somebody in Prefect's UI", reason=answer.reason)
    except RejectedError as error:
        return str(error)
    return f"{made.before} -> {made.after} from the next session on"


def page_of(told: Mapping[str, Any]) -> str:
    """The judgement with the chart of its folds."""
    from tasks.artifacts import picture
    from trader.reporting import charts, leaderboard

    page = leaderboard.markdown(told)
    if told["folds"]:
        page += "\n\n" + picture(charts.png(charts.folds(told["folds"]), scale=1.5), charts.folds_words(told["folds"]))
    return page


def tables_of(told: Mapping[str, Any]) -> dict[str, tuple[list[dict[str, str]], str]]:
    """Rows of each table and what it is, by the key of its artifact; none where nothing was compared."""
    from trader.reporting.leaderboard import narrow

    if not told["leaderboard"]:
        return {}
    board, details, folds = narrow(told)
    return {
        "optimizer-leaderboard": (board, told["sentence"]),
        "optimizer-trades": (details, "what each strategy made in the test blocks, net of costs"),
        "optimizer-folds": (folds, "mean a day that the best of each train block, and the strategy in use, made in its test block"),
    }
