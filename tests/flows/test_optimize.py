"""The flow optimize_strategies on a Prefect server: threads and Dask agree, a switch waits for a person, what breaks changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect_kit import ROOT, Server

from tests.optimizer_kit import EDGE, state_with
from trader.bootstrap import judgements, promotion
from trader.bootstrap.paths import Paths
from trader.config import load

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
POLL_S = 1.0
SAME = ("decision", "leaderboard", "folds", "conditions", "inputs_digest")
DYING = """
import os
from trader.bootstrap import optimizing
optimizing.record = lambda material, name: os._exit(9)  # the process is gone in the middle of a sweep
"""


@pytest.fixture(scope="module")
def judged(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], dict[str, Any]]:
    """A state in which one run has swept on threads and reported only; its environment, its judgement."""
    from flows.optimize_strategies import optimize_strategies

    state = tmp_path_factory.mktemp("edge") / "state"
    state.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        environment = state_with(EDGE, state)
        for name, value in (environment | {"TRADER_OPTIMIZER__LOCK": "true"}).items():
            patch.setenv(name, value)
        found = asyncio.run(optimize_strategies(poll_s=POLL_S))
    assert found["decision"] == "SWITCH" and "lock is on" in found["outcome"]
    return state, environment, judgements.kept(Paths(state))


@pytest.fixture
def state(judged: tuple[Path, dict[str, str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that state, records of its sweep included, and the environment that names it."""
    shutil.copytree(judged[0], tmp_path / "state")
    for name, value in (judged[1] | {"TRADER_STATE_DIR": str(tmp_path / "state")}).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "state"


async def _answered(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Run the flow; once it is paused, answer it as its form in the UI would (None: never)."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    from flows.optimize_strategies import optimize_strategies

    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    run = asyncio.create_task(optimize_strategies(poll_s=POLL_S, force=True))
    if answer is not None:
        async with get_client() as client:
            while not run.done():
                runs = await client.read_flow_runs(flow_run_filter=paused, sort=FlowRunSort.START_TIME_DESC, limit=1)
                if runs:  # the newest: other tests share the server
                    await client.resume_flow_run(runs[0].id, run_input=answer)
                    break
                await asyncio.sleep(0.2)
    return await run


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"approve": True, "who": "ann", "reason": "looked at it"}, "-> viable/mitraillette/DEFAULT from the next session on"),
        ({"approve": False, "reason": "not today"}, "not approved: not today"),
        (None, "not approved: no answer in time"),
    ],
    ids=["approve", "reject", "time-out"],
)
def test_a_person_answers_a_switch(
    prefect_api: str, state: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None, outcome: str
) -> None:
    monkeypatch.setenv("TRADER_OPTIMIZER__APPROVE_TIMEOUT_MIN", "60" if answer else "0.03")
    found = asyncio.run(_answered(answer))
    assert found["decision"] == "SWITCH" and found["outcome"].endswith(outcome)
    changes = [(one["who"], one["reason"], one["after"]) for one in promotion.history(load())]
    assert changes == ([("ann", "looked at it", found["candidate"])] if answer and answer["approve"] else [])
    told = judgements.kept(Paths(state), found["run"])
    assert told["outcome"] == found["outcome"] and told["flow_run"], "the status page finds both"


def test_runs_are_55_minutes_apart(prefect_api: str, state: Path) -> None:
    from flows.optimize_strategies import optimize_strategies

    assert "runs are 55 apart" in asyncio.run(optimize_strategies(poll_s=POLL_S))["ended"]


def _on_dask(**cluster: Any) -> Any:
    from prefect_dask.task_runners import DaskTaskRunner

    from flows.optimize_strategies import optimize_strategies

    kwargs = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None} | cluster
    return optimize_strategies.with_options(task_runner=DaskTaskRunner(cluster_kwargs=kwargs))


def test_dask_and_threads_give_the_same_leaderboard(
    judged: tuple[Path, dict[str, str], dict[str, Any]], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADER_OPTIMIZER__LOCK", "true")
    shutil.rmtree(state / "optimizer" / "records")
    found = asyncio.run(_on_dask()(poll_s=POLL_S, force=True))
    told = json.loads((state / "optimizer" / f"{found['run']}.json").read_text())
    assert {name: told[name] for name in SAME} == {name: judged[2][name] for name in SAME}
    assert len(told["leaderboard"]) == 6


def test_a_worker_lost_in_mid_sweep_is_named_and_nothing_is_judged(prefect_api: str, state: Path, tmp_path: Path) -> None:
    import dask

    from trader.errors import FatalError

    shutil.rmtree(state / "optimizer")
    (tmp_path / "dying.py").write_text(DYING)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), pytest.raises(FatalError, match=r"worker was lost.*no judgement"):
        asyncio.run(_on_dask(n_workers=1, preload=str(tmp_path / "dying.py"))(poll_s=POLL_S))
    assert not list((state / "optimizer").glob("*.json")) and promotion.history(load()) == []


def test_what_the_others_finished_is_kept_when_one_strategy_fails(
    judged: tuple[Path, dict[str, str], dict[str, Any]], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the six fails once; the run after it sweeps that one alone and comes to the same answer."""
    from flows.optimize_strategies import optimize_strategies
    from trader.bootstrap import optimizing
    from trader.errors import FatalError

    shutil.rmtree(state / "optimizer")
    real, asked = optimizing.record, list[str]()

    def once_broken(material: Any, name: str) -> Any:
        asked.append(name)
        if asked.count("viable/mitraillette/CONSERVATIVE") == 1 and name == "viable/mitraillette/CONSERVATIVE":
            raise FatalError("the first one broke")
        return real(material, name)

    monkeypatch.setattr(optimizing, "record", once_broken)
    monkeypatch.setenv("TRADER_OPTIMIZER__LOCK", "true")
    with pytest.raises(FatalError, match="the first one broke"):
        asyncio.run(optimize_strategies(poll_s=POLL_S))
    assert sorted(asked) == sorted({*asked}) and len(asked) == 6
    found = asyncio.run(optimize_strategies(poll_s=POLL_S))
    assert asked[6:] == ["viable/mitraillette/CONSERVATIVE"]
    told = judgements.kept(Paths(state), found["run"])
    assert {name: told[name] for name in SAME} == {name: judged[2][name] for name in SAME}


def test_a_pinned_file_that_is_gone_is_named_and_nothing_is_judged(prefect_api: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The candles were pinned by an earlier task; the process that sweeps finds one of them gone."""
    from flows.optimize_strategies import optimize_strategies
    from trader.bootstrap import optimizing
    from trader.errors import CorruptError

    shutil.rmtree(state / "optimizer")
    real = optimizing.load

    def load_and_lose(*arguments: Any, **named: Any) -> Any:
        material = real(*arguments, **named)
        optimizing.forget()
        next((state / "history" / "parts").rglob("*.parquet")).unlink()
        return material

    monkeypatch.setattr(optimizing, "load", load_and_lose)
    with pytest.raises(CorruptError, match="not a readable part"):
        asyncio.run(optimize_strategies(poll_s=POLL_S))
    assert not list((state / "optimizer").glob("*.json")) and promotion.history(load()) == []


def test_a_server_that_restarts_while_a_person_is_asked_still_asks(server: Server, state: Path) -> None:
    """Killed while the run is paused: the run's process lives on, the question is still there, and the answer counts."""
    words = "import asyncio, flows.optimize_strategies as f; print(asyncio.run(f.optimize_strategies(poll_s=1.0, force=True))['outcome'])"
    environment = {**server.environment, **{name: value for name, value in os.environ.items() if name.startswith("TRADER_")}}
    asked = subprocess.Popen([sys.executable, "-c", words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        run = _paused(server, asked)
        server.kill()
        assert asked.poll() is None
        server.start()
        assert _paused(server, asked) == run, "still pending"
        assert promotion.history(load()) == []
        answer = {"run_input": {"approve": True, "who": "ann", "reason": "after the restart"}}
        server.post(f"flow_runs/{run}/resume", answer)
        told = asked.communicate(timeout=90)[0].decode()
    finally:
        asked.kill()
    assert "from the next session on" in told, told[-2000:]
    assert [one["reason"] for one in promotion.history(load())] == ["after the restart"]


def _paused(server: Server, process: subprocess.Popen[bytes]) -> str:
    """Id of the flow run that waits for a person."""
    until = time.monotonic() + 90
    body = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}, "name": {"like_": "optimize"}}}
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[0][-2000:]
        if found := server.post("flow_runs/filter", body):
            return str(found[0]["id"])
        time.sleep(0.3)
    raise AssertionError("no run paused")
