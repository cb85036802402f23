"""The flow optimize_strategies on a Prefect server: threads and Dask agree, a switch waits for a person, a server may restart."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.optimizer_kit import EDGE, state_with
from trader.bootstrap import promotion
from trader.config import load

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
POLL_S = 1.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    state = tmp_path_factory.mktemp("edge")
    return state, state_with(EDGE, state)


@pytest.fixture
def state(made: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the state with the edge, and the environment that names it."""
    shutil.copytree(made[0], tmp_path / "state")
    for name, value in (made[1] | {"TRADER_STATE_DIR": str(tmp_path / "state")}).items():
        monkeypatch.setenv(name, value)
    yield tmp_path / "state"


async def _answered(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Run the flow; once it is paused, answer it as its form in the UI would (None: never)."""
    from prefect.client.orchestration import get_client

    from flows.optimize_strategies import optimize_strategies

    run = asyncio.create_task(optimize_strategies(poll_s=POLL_S))
    if answer is not None:
        async with get_client() as client:
            while not run.done():
                runs = [one for one in await client.read_flow_runs(limit=5) if one.state is not None and one.state.is_paused()]
                if runs:
                    await client.resume_flow_run(runs[0].id, run_input=answer)
                    break
                await asyncio.sleep(0.3)
    return await run


def test_an_approved_switch_binds_the_next_session(prefect_api: str, state: Path) -> None:
    found = asyncio.run(_answered({"approve": True, "who": "ann", "reason": "looked at it"}))
    assert found["decision"] == "SWITCH"
    assert "from the next session on" in found["outcome"]
    (change,) = promotion.history(load())
    assert (change["who"], change["reason"], change["after"]) == ("ann", "looked at it", found["candidate"])


def test_a_rejected_switch_changes_nothing(prefect_api: str, state: Path) -> None:
    found = asyncio.run(_answered({"approve": False, "reason": "not today"}))
    assert found["decision"] == "SWITCH" and found["outcome"] == "not approved: not today"
    assert promotion.history(load()) == []


def test_no_answer_in_time_is_a_keep(prefect_api: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADER_OPTIMIZER__APPROVE_TIMEOUT_MIN", "0.05")
    found = asyncio.run(_answered(None))
    assert found["outcome"] == "not approved: no answer in time"
    assert promotion.history(load()) == []


def test_dask_and_threads_give_the_same_leaderboard(prefect_api: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.optimize_strategies import optimize_strategies
    from tasks.optimizing import make_runner

    monkeypatch.setenv("TRADER_OPTIMIZER__LOCK", "true")
    told = {}
    for runner in ("threads", "dask"):
        monkeypatch.setenv("TRADER_OPTIMIZER__RUNNER", runner)
        flow = optimize_strategies.with_options(task_runner=make_runner())
        run = asyncio.run(flow(poll_s=POLL_S))["run"]
        told[runner] = json.loads((state / "optimizer" / f"{run}.json").read_text())
        shutil.rmtree(state / "optimizer" / "records")
    same = ("decision", "leaderboard", "folds", "conditions", "inputs_digest")
    assert {name: told["threads"][name] for name in same} == {name: told["dask"][name] for name in same}
    assert len(told["dask"]["leaderboard"]) == 6
