"""Who is tried again, how long a session lasts, what a failure leaves behind, what importing a flow loads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect_kit import ROOT

from trader.bootstrap.paths import Paths
from trader.data.outbox import Outbox
from trader.errors import AmbiguousError, FatalError, RejectedError, RetryableError

pytestmark = pytest.mark.prefect
DUE = datetime(2026, 3, 1, 10, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("due", "now", "end"),
    [
        (DUE, DUE, "10:56:40"),
        (DUE, DUE + timedelta(seconds=14), "10:56:40"),
        (DUE, DUE + timedelta(minutes=7), "11:01:40"),  # the worker was away: the tick it belongs to is the newest one
        (DUE + timedelta(minutes=3, seconds=12), DUE + timedelta(minutes=3, seconds=20), "10:56:40"),
    ],
)
def test_a_scheduled_session_ends_twenty_seconds_before_a_tick(due: datetime, now: datetime, end: str) -> None:
    from tasks.trading import session_seconds

    assert f"{now + timedelta(seconds=session_seconds(55, due=due, now=now)):%H:%M:%S}" == end


def test_a_session_started_by_hand_lasts_as_long_as_asked() -> None:
    from tasks.trading import session_seconds

    assert session_seconds(55, due=None, now=DUE) == 3300
    assert session_seconds(0.5, due=DUE, now=DUE) == 30


def test_a_session_that_begins_just_before_its_end_gets_the_next_tick() -> None:
    from tasks.trading import session_seconds

    now = DUE + timedelta(minutes=4, seconds=50)
    assert session_seconds(5, due=DUE, now=now) == 290


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RetryableError("busy"), True),
        (RejectedError("no"), False),
        (AmbiguousError("?"), False),
        (FatalError("stop"), False),
        (KeyError("x"), False),
    ],
)
def test_only_what_surely_did_not_happen_is_tried_again(error: Exception, again: bool) -> None:
    from prefect.states import exception_to_failed_state

    from tasks.policies import only_retryable

    async def judged() -> bool:
        return await only_retryable(None, None, await exception_to_failed_state(error))

    assert asyncio.run(judged()) is again


def test_stages_and_everything_about_trading_are_never_retried() -> None:
    from tasks import artifacts, history, reporting
    from tasks.trading import stage_task

    assert stage_task("check").retries == 0
    assert stage_task("check") is stage_task("check")
    assert not stage_task("check").tags, "a tag makes Prefect ask the API for a slot on the beat's path"
    tried = {task.name: task.retry_delay_seconds for task in (history.plan, history.fetch, history.commit, artifacts.publish_page)}
    assert len(tried) == 4
    assert all(pauses == [2.0, 10.0, 30.0] for pauses in tried.values())
    assert history.gate.retries == 0
    assert reporting.post_status.retries == 0


def test_a_failed_run_leaves_one_message_in_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.hooks import tell_failure

    monkeypatch.delenv("TRADER_SHARED_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADER_STATE_DIR", str(tmp_path))
    flow, run = SimpleNamespace(name="trade_intraday"), SimpleNamespace(name="session 03-01 10:02", id="0b7c")
    state = SimpleNamespace(name="Crashed", message="killed by signal 9")
    for _ in range(2):
        tell_failure(flow=flow, flow_run=run, state=state)
    outbox = Outbox(Paths(tmp_path).ops)
    try:
        messages: Any = outbox.latest()
    finally:
        outbox.close()
    assert [(m.kind, m.priority, m.payload["state"], m.payload["reason"]) for m in messages] == [
        ("flow.failed", True, "Crashed", "killed by signal 9")
    ]


def test_every_flow_carries_the_hooks_with_the_signature_prefect_calls() -> None:
    import inspect

    from flows.ingest_history import ingest_history
    from flows.nightly_analysis import nightly_analysis
    from flows.report_status import report_status
    from flows.trade_intraday import trade_intraday
    from tasks.hooks import tell_failure

    assert list(inspect.signature(tell_failure).parameters) == ["flow", "flow_run", "state"]
    for flow in (ingest_history, trade_intraday, report_status, nightly_analysis):
        assert tell_failure in flow.on_failure_hooks
        assert tell_failure in flow.on_crashed_hooks
        assert flow.retries in (0, None)
        assert flow.isasync
        assert flow.log_prints


def test_importing_the_flows_loads_neither_the_gate_nor_the_compilers() -> None:
    code = (
        "import sys, flows.ingest_history, flows.trade_intraday, flows.report_status, flows.nightly_analysis\n"
        "print([m for m in ('great_expectations', 'talib', 'numba', 'altair', 'ccxt') if m in sys.modules], 'prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[] True"


def test_the_gate_is_importable_without_prefect_and_great_expectations() -> None:
    code = "import sys, tasks.quality_gate\nprint('prefect' in sys.modules, 'great_expectations' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False False"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("ConfigError('x: bad')", 2),
        ("LeaseLostError('gone')", 5),
        ("RetryableError('busy')", 4),
        ("FatalError('stop')", 1),
        ("KeyboardInterrupt()", 130),
    ],
)
def test_a_flow_in_the_foreground_ends_with_one_sentence_and_a_code(error: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    import trader.errors
    from tasks.foreground import run_to_exit_code

    raised = eval(error, vars(trader.errors) | {"KeyboardInterrupt": KeyboardInterrupt})  # noqa: S307 - a literal above

    async def flow() -> None:
        raise raised

    assert run_to_exit_code(flow()) == code
    assert capsys.readouterr().err in (f"trader: {raised}\n", "")


def test_the_result_is_the_answer_a_taken_account_is_code_5_and_a_stopped_one_3(capsys: pytest.CaptureFixture[str]) -> None:
    from tasks.foreground import run_to_exit_code
    from tasks.trading import STOPPED, TAKEN

    async def flow(result: Any) -> Any:
        return result

    assert run_to_exit_code(flow({"rows": 3})) == 0
    assert '"rows": 3' in capsys.readouterr().out
    assert (run_to_exit_code(flow({"ended": TAKEN})), run_to_exit_code(flow({"ended": STOPPED}))) == (5, 3)
