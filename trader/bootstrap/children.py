"""The processes of `trader up`: what is started, with which settings in its environment, and how one sees that it answers."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trader
from trader.bootstrap.paths import Paths
from trader.config import SECRETS, Settings
from trader.errors import ConfigError
from trader.maintenance import prefect_control
from trader.maintenance.kin import MARK
from trader.maintenance.prefect_control import POOL, PrefectApi
from trader.maintenance.processes import ChildSpec, Probe

SERVER, WORKER = "prefect-server", "prefect-worker"
KRAKEN, GEMINI, ADVISOR = "kraken-twin", "gemini-twin", "ai-worker"
WEB, SENDER = "web", "sender"
TWINS = (KRAKEN, GEMINI)
"""What only a demo has."""
MODULES = {WEB: "trader.web", SENDER: "trader.bootstrap.sending"}
PROVIDER_KEY = "TRADER_GEMINI_API_KEY"
PORTS = {"prefect": SERVER, "web": WEB, "kraken_twin": KRAKEN, "gemini_twin": GEMINI}
"""Setting in [ports] -> who listens there."""


def project_root() -> Path:
    """The clone: the folder that holds prefect.yaml. Raises ConfigError where the package was installed without it."""
    root = Path(trader.__file__).resolve().parents[1]
    if not (root / "prefect.yaml").exists():
        raise ConfigError(f"{root}: no prefect.yaml; `trader up` runs from a clone of the project (see `make run`)")
    return root


def installed(name: str) -> bool:
    """Whether the optional part is there to be run."""
    module = MODULES[name]
    return importlib.util.find_spec(module) is not None


def settings_environ(settings: Settings, root: Path) -> dict[str, str]:
    """Settings as `TRADER_*` variables; secrets are left out, lists come from trader.toml in the clone.

    Raises ConfigError for a list that is not written there, which the processes would not see.
    """
    shown = settings.model_dump(mode="json", exclude=set(SECRETS)) | {"state_dir": str(settings.state.resolve())}
    file = root / "trader.toml"
    written = tomllib.loads(file.read_text()) if file.exists() else {}
    variables: dict[str, str] = {}
    for path, value in _leaves(shown):
        if not isinstance(value, list):
            variables["TRADER_" + "__".join(path).upper()] = str(value)
        elif value != (_at(written, path) or []):
            raise ConfigError(f"setting {'.'.join(path)}: under `trader up` a list must be written in {file}")
    return variables


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in values.items():
        found += _leaves(value, (*path, name)) if isinstance(value, dict) else [((*path, name), value)]
    return found


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values.get(name, {}) if isinstance(values, dict) else {}
    return values


def http_probe(url: str) -> Probe:
    """A probe that asks for a page: anything below 500 is an answer."""
    opened = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask() -> bool:
        try:
            with opened(url, timeout=3.0):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False

    async def probe() -> bool:
        return await asyncio.to_thread(ask)

    return probe


@dataclass(frozen=True, slots=True)
class Children:
    """Specs of one installation."""

    settings: Settings
    paths: Paths
    root: Path

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.settings.ports.prefect)

    def environ(self, **more: str) -> dict[str, str]:
        """What every child gets: the caller's environment without its own settings of trader and Prefect, then ours."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRADER_", "PREFECT_"))}
        quiet = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "PREFECT_LOGGING_COLORS": "false"}
        direct = ",".join(filter(None, (kept.get("NO_PROXY", kept.get("no_proxy", "")), "127.0.0.1,localhost")))
        prefect = prefect_control.environment(home=self.paths.root / "prefect", port=self.settings.ports.prefect)
        ours = {"NO_PROXY": direct, "no_proxy": direct, MARK: str(self.paths.root)}
        return kept | quiet | prefect | ours | settings_environ(self.settings, self.root) | more

    def _python(self, name: str, *words: str, port: int | None = None, page: str = "", **more: Any) -> ChildSpec:
        if port is not None:
            more |= {"address": f"http://127.0.0.1:{port}", "probe": http_probe(f"http://127.0.0.1:{port}{page}")}
        more.setdefault("environ", self.environ())
        return ChildSpec(name=name, command=(sys.executable, "-m", *words), directory=self.root, **more)

    def server(self) -> ChildSpec:
        port = self.settings.ports.prefect
        return ChildSpec(
            name=SERVER, command=prefect_control.command("server", "start", "--host", "127.0.0.1", "--port", str(port)),
            environ=self.environ(), directory=self.root, address=self.api.page, probe=self.api.healthy, ready_within_s=180,
        )  # fmt: skip

    def secrets(self) -> dict[str, str]:
        """What a session of real money signs with, and nobody else is given."""
        if self.settings.environment != "live":
            return {}
        named = {"TRADER_KRAKEN_API_KEY": self.settings.kraken_api_key, "TRADER_KRAKEN_API_SECRET": self.settings.kraken_api_secret}
        return {name: secret.get_secret_value() for name, secret in named.items() if secret is not None}

    def _provider_key(self) -> dict[str, str]:
        """The AI provider's: of a demo, a word its stand-in takes."""
        key = "demo" if self.settings.environment == "demo" else os.environ.get(PROVIDER_KEY, "")
        return {PROVIDER_KEY: key} if key else {}

    def worker(self) -> ChildSpec:
        """Probed at its start only: while the server is away, a restart would kill the session for nothing."""
        return ChildSpec(
            name=WORKER, command=prefect_control.command("worker", "start", "--pool", POOL, "--type", "process"),
            environ=self.environ(**(self.secrets() | self._provider_key())), directory=self.root, address=f"pool {POOL}",
            probe=self.api.worker_online, probe_later=False, ready_within_s=90,
        )  # fmt: skip

    def kraken(self) -> ChildSpec:
        port = self.settings.ports.kraken_twin
        return self._python(KRAKEN, "trader.bootstrap.twins", "kraken", port=port, page="/_twin", ready_within_s=120)

    def gemini(self) -> ChildSpec:
        return self._python(GEMINI, "trader.bootstrap.twins", "gemini", port=self.settings.ports.gemini_twin, page="/healthz")

    def advisor(self) -> ChildSpec:
        """Seen by its socket: a connection would pass for a session's."""
        ai, socket = self.settings.ai, self.paths.socket

        async def listening() -> bool:
            return socket.exists()

        demo = self.settings.environment == "demo"
        twin = ("--base-url", f"http://127.0.0.1:{self.settings.ports.gemini_twin}") if demo else ()
        words = (
            "--state", str(self.paths.root), *twin, "--model", ai.model,
            "--deadline-s", str(ai.deadline_s), "--provider", ai.provider, "--text-model", ai.text_model,
            "--text-deadline-s", str(ai.text_deadline_s), "--fallback", ai.fallback, "--ttl-s", str(ai.ttl_s),
            "--seed", str(self.settings.market.seed),
            "--calls-per-day", str(ai.calls_per_day), "--questions-per-day", str(ai.questions_per_day),
            "--input-tokens-per-day", str(ai.input_tokens_per_day), "--usd-per-day", str(ai.usd_per_day),
            "--calls-per-minute", str(ai.calls_per_minute), "--input-tokens-per-minute", str(ai.input_tokens_per_minute),
            *(("--usd-per-million", str(ai.usd_per_million_input_tokens)) if ai.usd_per_million_input_tokens else ()),
        )  # fmt: skip
        key = self.environ(**self._provider_key())
        return self._python(ADVISOR, "trader.gemini.worker", *words, environ=key, probe=listening, address=str(socket))

    def optional(self) -> list[ChildSpec]:
        """The status page and the sender of messages, as far as they are installed."""
        state, found = str(self.paths.root), []
        if installed(WEB):
            port = self.settings.ports.web
            found.append(self._python(WEB, MODULES[WEB], "--state", state, "--port", str(port), port=port, page="/healthz"))
        if installed(SENDER):
            token = self.settings.slack_token
            secret = {"TRADER_SLACK_TOKEN": token.get_secret_value()} if token is not None else {}
            found.append(self._python(SENDER, MODULES[SENDER], "--state", state, environ=self.environ(**secret), address="Slack"))
        return found
