"""Prefect's API from outside: a busy server is asked again, a refusal is not, an absent one is said at once."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from trader.errors import RejectedError, RetryableError
from trader.maintenance import prefect_control
from trader.maintenance.prefect_control import PrefectApi
from trader.maintenance.sockets import port_free


@contextmanager
def server(answers: list[tuple[int, Any]]) -> Iterator[tuple[int, list[tuple[str, str, Any]]]]:
    """A peer that gives these answers in turn; yields its port and what it was asked."""
    asked: list[tuple[str, str, Any]] = []

    class Peer(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, json.loads(body) if body else None))
            status, value = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    http = HTTPServer(("127.0.0.1", 0), Peer)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield http.server_address[1], asked
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_control, "BUSY_PAUSES_S", (0.0, 0.0, 0.0))


def test_a_server_whose_database_is_locked_is_asked_again() -> None:
    with server([(503, {}), (500, {}), (200, None)]) as (port, asked):
        asyncio.run(PrefectApi(port).pause_pool(True))
    assert asked == [("PATCH", "/api/work_pools/trader", {"is_paused": True})] * 3


def test_a_server_that_stays_busy_is_retryable_and_a_refusal_is_not() -> None:
    with server([(503, {})] * 4) as (port, asked):
        with pytest.raises(RetryableError, match="503"):
            asyncio.run(PrefectApi(port).deployments())
        assert len(asked) == 4
    with server([(409, {"detail": "no"})]) as (port, asked):
        with pytest.raises(RejectedError, match="409"):
            asyncio.run(PrefectApi(port).deployments())
        assert len(asked) == 1


def test_a_server_that_is_slow_to_answer_is_asked_again_unless_that_might_do_a_thing_twice() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(8)
        mute.setblocking(False)
        api = PrefectApi(mute.getsockname()[1], timeout_s=0.05)

        def asked() -> int:
            done = 0
            with suppress(BlockingIOError):
                while True:
                    mute.accept()[0].close()
                    done += 1
            return done

        for call, times in ((api.has_pool, 4), (api.deployments, 4), (lambda: api.pause_pool(True), 4), (lambda: api.start_run("d"), 1)):
            with pytest.raises(RetryableError, match="timed out"):
                asyncio.run(call())
            assert asked() == times


def test_an_absent_server_is_not_healthy_and_has_no_worker() -> None:
    with server([]) as (port, _):
        pass
    assert port_free(port)
    api = PrefectApi(port)
    assert not asyncio.run(api.healthy())
    assert not asyncio.run(api.worker_online())
    with pytest.raises(RetryableError):
        asyncio.run(api.deployments())


def test_runs_are_read_with_their_due_time_and_the_reason_of_their_state() -> None:
    row = {
        "id": "1", "name": "session 1", "created": "2026-01-05T00:00:00Z", "deployment_id": "d", "state_type": "CRASHED",
        "state_name": "Crashed", "state": {"message": "status -9"}, "expected_start_time": "2026-01-05T00:02:00+00:00",
    }  # fmt: skip
    with server([(200, [row])]) as (port, asked):
        (run,) = asyncio.run(PrefectApi(port).runs(("CRASHED",), deployment="d", before=0.0))
    assert (run.state, run.message, run.expected, run.deployment) == ("CRASHED", "status -9", 1_767_571_320.0, "d")
    assert asked[0][2]["flow_runs"]["expected_start_time"] == {"before_": "1970-01-01T00:00:00+00:00"}


def test_the_server_gets_its_own_address_and_no_analytics() -> None:
    found = prefect_control.environment(home=Path("/s/prefect"), port=4200)
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == found["PREFECT_CLI_PROMPT"] == "false"
    assert "flow_runs" in found["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"]
