"""Each flow for real: a Prefect server, the exchange twin on real sockets, the gate with Great Expectations."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from demo_kit import PAIRS, running_demo

from trader.bootstrap.paths import Paths
from trader.bootstrap.trading import sole_trader

SECONDS = 12.0


async def _run_all(state: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from flows.ingest_history import ingest_history
    from flows.report_status import report_status
    from flows.trade_intraday import trade_intraday

    found: dict[str, Any] = {}
    async with running_demo(state, monkeypatch):
        found["ingest"] = await ingest_history()
        found["again"] = await ingest_history(timeframes=["15m", "4h"])
        found["trade"] = await trade_intraday(minutes=SECONDS / 60)
        found["report"] = await report_status()
        with sole_trader(Paths(state)):
            found["taken"] = await trade_intraday(minutes=1, return_state=True)
    return found


@pytest.fixture(scope="module")
def ran(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all three flows, run one after the other over one small demo."""
    assert prefect_api
    with pytest.MonkeyPatch.context() as monkeypatch:
        state = tmp_path_factory.mktemp("state")
        return {**asyncio.run(_run_all(state, monkeypatch)), "state": state, **asyncio.run(_from_server())}


async def _from_server() -> dict[str, Any]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        runs = {run.id: run for run in await client.read_flow_runs(limit=50)}
        flows = {flow.id: flow.name for flow in await client.read_flows()}
        for _ in range(60):
            tasks = await client.read_task_runs(limit=200)
            if tasks and all(task.state_type and task.state_type.value == "COMPLETED" for task in tasks):
                break
            await asyncio.sleep(0.5)
        artifacts = await client.read_artifacts()
    return {
        "runs": [(flows[run.flow_id], run.name, run.state_name) for run in runs.values()],
        "tasks": [(flows[runs[task.flow_run_id].flow_id], task.name, task.state_name) for task in tasks if task.flow_run_id in runs],
        "artifacts": artifacts,
    }


@pytest.mark.prefect
@pytest.mark.slow
def test_ingest_history_stores_every_pair_and_asks_for_nothing_twice(ran: dict[str, Any]) -> None:
    first, again = ran["ingest"], ran["again"]
    assert first["calls"] == 5 * PAIRS
    assert first["rows"] > 3 * 700 * PAIRS
    assert first["archived"] > 10 * 96 * PAIRS, "the deep past comes from the exchange's archive"
    assert again["archived"] == 0
    assert first["errors"] == {}
    assert first["quarantined"] == {}
    assert first["ready"] == PAIRS
    assert again["calls"] <= 2 * PAIRS
    assert again["rows"] <= 60 * PAIRS, "only what closed since"
    names = {name for flow, name, _ in ran["tasks"] if flow == "ingest_history"}
    assert any(name.startswith("fetch 1 of 1, 30 calls") for name in names)


@pytest.mark.prefect
@pytest.mark.slow
def test_ingest_history_shows_its_progress_and_a_table_of_what_it_brought(ran: dict[str, Any]) -> None:
    progress = [artifact for artifact in ran["artifacts"] if artifact.key == "history-progress"]
    assert {artifact.type for artifact in progress} == {"progress"}
    # Prefect's client repeats a creation whose answer got lost, so beside the one that goes on a run may have another that stands at 0
    assert len({artifact.flow_run_id for artifact in progress if artifact.data == 100.0}) == 2
    assert {artifact.data for artifact in progress} <= {0.0, 100.0}
    tables = [json.loads(artifact.data) for artifact in ran["artifacts"] if artifact.key == "history-ingestion"]
    values = {row["what"]: row["value"] for row in tables[0]}
    assert values["calls"] in {ran["ingest"]["calls"], ran["again"]["calls"]} and values["pairs ready"] == PAIRS


@pytest.mark.prefect
@pytest.mark.slow
def test_trade_intraday_is_one_session_with_one_task_a_stage(ran: dict[str, Any]) -> None:
    summary = ran["trade"]
    assert summary["ended"] == "its time is over"
    assert summary["beats"] >= 2
    assert summary["ready_pairs"] == PAIRS
    stages = [(name, state) for flow, name, state in ran["tasks"] if flow == "trade_intraday"]
    for name in ("check", "protect", "universe", "report"):
        assert summary["beats"] - 1 <= sum(found == name for found, _ in stages) <= summary["beats"]
    assert sum(found == "reconcile" for found, _ in stages) == 1
    assert {state for _, state in stages} == {"Completed"}
    assert sum(flow == "trade_intraday" for flow, _, _ in ran["runs"]) == 2, "stages are tasks, never subflows"


@pytest.mark.prefect
@pytest.mark.slow
def test_a_second_session_ends_at_once_and_says_why(ran: dict[str, Any]) -> None:
    state = ran["taken"]
    assert state.is_completed()
    assert state.message == "another session trades"


@pytest.mark.prefect
@pytest.mark.slow
def test_report_status_publishes_a_page_with_its_chart_and_one_message(ran: dict[str, Any]) -> None:
    from trader.data.outbox import Outbox

    pages = [artifact for artifact in ran["artifacts"] if artifact.key == "status"]
    assert len(pages) == 1
    assert pages[0].type == "markdown"
    text = pages[0].data
    assert text.startswith("# DEMO status 2026-01-05")
    match = re.search(r"!\[Equity from [^\]]+\]\(data:image/png;base64,([^)]+)\)", text)
    assert match is not None
    assert base64.b64decode(match[1])[:8] == b"\x89PNG\r\n\x1a\n"
    assert ran["report"]["equity"] is not None
    outbox = Outbox(Paths(ran["state"]).ops)
    try:
        kinds = [message.kind for message in outbox.latest()]
    finally:
        outbox.close()
    assert kinds.count("report.periodic") == 1


@pytest.mark.prefect
@pytest.mark.slow
def test_runs_are_named_by_their_templates(ran: dict[str, Any]) -> None:
    names = [name for _, name, _ in ran["runs"]]
    assert len(names) == 5
    assert all(re.fullmatch(r"(ingest|session|status) \d\d-\d\d \d\d:\d\d", name) for name in names), names
