"""A real `prefect server start` with a home of its own, killed and started again as a test needs it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A real Prefect server with a home of its own, killed and started again as a test needs it."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "TRADER_"))},
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 90.0) -> None:
        """Start it, with less claim to the CPU than a session has, and wait until it answers."""
        command = ["nice", "-n", "10", sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.home, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until = time.monotonic() + timeout_s
        while not self.healthy():
            assert self._process.poll() is None, (self.home / "server.log").read_text()[-2000:]
            assert time.monotonic() < until, f"no server after {timeout_s} s: {(self.home / 'server.log').read_text()[-2000:]}"
            time.sleep(0.2)

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            return self._ask("GET", "health", None, timeout_s=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer of `POST /api/PATH`."""
        until = time.monotonic() + 30
        status, text = self._ask("POST", path, json.dumps(body), timeout_s=30)
        while status == 503 and time.monotonic() < until:  # its database is busy, as after a restart
            time.sleep(0.5)
            status, text = self._ask("POST", path, json.dumps(body), timeout_s=30)
        assert status in (200, 201), f"{path}: {status} {text[:500]!r}"
        return json.loads(text)

    def _ask(self, method: str, path: str, body: str | None, *, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, f"/api/{path}", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL to the server and what it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
