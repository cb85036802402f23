"""`trader twin kraken` as a child process in paced real time, with one API key for each client on one account."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SEED, PAIRS = 5, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """API key and its base64 secret."""

    key: str
    secret: str


def key_of(client: str) -> Key:
    """The key of a client: libraries count nonces on different scales, so no two may share one (KRAKEN.md section 4)."""
    word = client.replace(" ", "-")
    return Key(key=f"key-of-{word}", secret=base64.b64encode(f"secret of {word}".encode() * 3).decode())


@dataclass(slots=True, kw_only=True)
class Twin:
    """A running twin and its levers. `tls` and `certificate` are there when it was started with a TLS listener."""

    url: str
    ws: str
    tls: str = ""
    certificate: str = ""

    def figures(self) -> dict[str, Any]:
        return self.request("/_twin")

    def inject(self, **fault: Any) -> dict[str, Any]:
        return self.request("/_twin/inject", fault)

    def clear(self) -> dict[str, Any]:
        """Take all faults out of force."""
        return self.request("/_twin/clear", {})

    def request(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET, or POST of a JSON body; raises ValueError with the twin's own words when it refuses."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=10) as answer:  # noqa: S310
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            raise ValueError(f"{path}: {error.code} {error.read().decode()[:300]}") from error


@contextlib.contextmanager
def running(clients: Sequence[str], *, port: int = 0, tls: bool = False, arguments: Sequence[str] = ()) -> Iterator[Twin]:
    """A twin that knows the keys of these clients; ended on leaving. Raises RuntimeError with its words when it does not start."""
    command = [sys.executable, "-m", "trader.cli", "twin", "kraken", "--port", str(port), "--seed", str(SEED), "--pairs", str(PAIRS)]
    command += ["--tier", "none"]  # limits have their own campaign; a table in a minute is far above any tier
    for client in clients:
        key = key_of(client)
        command += ["--api-key", key.key, "--api-secret", key.secret]
    command += [*(("--tls-port", "0") if tls else ()), *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRADER_")}
    with tempfile.TemporaryDirectory() as directory:
        errors = Path(directory) / "stderr"
        with errors.open("wb") as file:
            child = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=file, text=True)
        try:
            assert child.stdout is not None
            words = child.stdout.readline().split()
            if words[:1] != ["ready"]:
                raise RuntimeError(f"the twin did not start: {errors.read_text()[-1500:]}")
            twin = Twin(url=words[1], ws=words[2])
            if tls:
                _, twin.tls, _, twin.certificate = child.stdout.readline().split()
            yield twin
        finally:
            child.terminate()
            child.wait(timeout=60)
