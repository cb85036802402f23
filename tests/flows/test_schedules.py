"""Deployments: `prefect deploy --all` from a fresh copy needs no prompt and no machine path, and its schedules yield runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect_kit import ROOT, Server


def _prefect(server: Server, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments], cwd=folder, env=server.environment, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def deployed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The deployments made from a copy of the files that a clone holds, by name; `folder` is the copy."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("flows", "tasks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", folder)
    before = (folder / "prefect.yaml").read_bytes()
    _prefect(server, folder, "work-pool", "create", "trader", "--type", "process", "--overwrite")
    _prefect(server, folder, "--no-prompt", "deploy", "--all")
    assert (folder / "prefect.yaml").read_bytes() == before
    found = {row["name"]: row for row in server.post("deployments/filter", {})}
    assert {row["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"] for row in found.values()} == {str(folder)}
    return found


@pytest.mark.prefect
@pytest.mark.slow
def test_deployments_carry_their_schedules_limits_and_words(deployed: dict[str, dict[str, Any]]) -> None:
    assert sorted(deployed) == ["ingest_history", "nightly_analysis", "optimize_strategies", "report_status", "trade_intraday"]
    for name, row in deployed.items():
        assert row["entrypoint"] == f"flows.{name}:{name}"
        assert row["tags"]
        assert row["description"]
        assert row["work_pool_name"] == "trader"
        if name == "optimize_strategies":
            assert row["global_concurrency_limit"] is None, "a run that pauses for a person would lose its slot, and end by it"
        else:
            assert row["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
            assert row["global_concurrency_limit"]["limit"] == 1
        assert not (row["job_variables"] or {}).get("env"), "a deployment row stores its environment in clear"
    schedules = {name: row["schedules"][0]["schedule"] for name, row in deployed.items()}
    assert schedules.pop("nightly_analysis")["cron"] == "0 3 * * *"
    assert schedules.pop("optimize_strategies")["cron"] == "30 3 * * *"
    intervals = {name: schedule["interval"] for name, schedule in schedules.items()}
    assert intervals == {"ingest_history": 3600.0, "trade_intraday": 300.0, "report_status": 89 * 60.0}
    assert deployed["trade_intraday"]["parameters"] == {"minutes": 55}


@pytest.mark.prefect
@pytest.mark.slow
def test_a_deployed_schedule_really_yields_scheduled_runs(server: Server, deployed: dict[str, dict[str, Any]]) -> None:
    until = time.monotonic() + 75
    runs: dict[str, list[str]] = {}
    while len(runs) < len(deployed) and time.monotonic() < until:
        rows = server.post("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "limit": 200})
        names = {row["id"]: name for name, row in deployed.items()}
        runs = {}
        for row in rows:
            assert row["auto_scheduled"]
            runs.setdefault(names[row["deployment_id"]], []).append(row["expected_start_time"])
        time.sleep(0.5)
    assert sorted(runs) == sorted(deployed), "the scheduler made no run; see the pins of prefect and sqlalchemy"
    due = [datetime.fromisoformat(text) for text in runs["trade_intraday"]]
    assert len(due) >= 3
    assert {moment.minute % 5 for moment in due} == {2}
    assert all(moment.second == 0 for moment in due)


def test_the_deployment_file_names_no_folder_of_this_machine() -> None:
    text = (ROOT / "prefect.yaml").read_text()
    assert "set_working_directory" in text
    assert str(ROOT) not in text
    assert 'directory: "{{ home.stdout }}"' in text
