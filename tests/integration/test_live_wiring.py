"""Live and paper against the twin by URL override: every refusal with its sentence and code 3, trading with all right, and no
private request in paper."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from session_kit import HOUR, Stage, fetch_history, state_dir

from trader.bootstrap.grounds import stand
from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import HOST, kraken_twin
from trader.bootstrap.trading import trade
from trader.bootstrap.verification import verify_state
from trader.bootstrap.world import World
from trader.cli import run
from trader.config import Settings, load
from trader.data.audit import audit
from trader.data.history import HistoryStore
from trader.data.ledger import SqlLedger
from trader.data.ledger_control import submit_control
from trader.data.link import DirectHistoryLink
from trader.data.reader import LedgerReader
from trader.domain.market import Timeframe
from trader.domain.orders import Leg
from trader.errors import ConfigError, LeaseLostError, UnsafeError
from trader.ports import Clock
from trader.simulation.clock import LoopClock, PacedClock
from trader.simulation.faults import FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.spot.keyring import NEEDS, TRADING, ApiKey
from trader.simulation.kraken_server.stream.subscriptions import PRIVATE as SUBSCRIBED
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

pytestmark = pytest.mark.slow

SECRET = base64.b64encode(b"a secret of the twin").decode()
GOOD = ApiKey(key="good", secret=SECRET, name="trading only")
KEYS = (
    GOOD,
    ApiKey(key="withdraws", secret=SECRET, name="too much", permissions=(*TRADING, "withdraw-funds")),
    ApiKey(key="lame", secret=SECRET, name="too little", permissions=("query-funds", "create-ws-token")),
    ApiKey(key="old", secret=SECRET, name="expiring", valid_until_us=1),
)
ACCOUNT = "main"


# --- a twin on real sockets, on the machine's clock ---------------------------------------------------------------------
class Served:
    """The twin in a thread of its own; `skew_s` puts its clock ahead. `home`: where nonce floors live as long as its keys do."""

    def __init__(self, home: Path, *, skew_s: float = 0.0, cash: str = "10000") -> None:
        self.home, self.skew_us, self.cash = home, int(skew_s * 1e6), cash
        self.port, self.requests = 0, dict[str, int]()
        self._ready, self._loop, self._over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        world = World(seed=1, pairs=8, epoch_us=EPOCH_US, cash=self.cash)
        clock = PacedClock(self.skew_us, 0.0, 1.0)
        twin = kraken_twin(world, world.market(), clock, paths=None, plan=FaultPlan(), keys=KEYS)
        self.port, self.requests = await twin.start(HOST, 0), twin.middleware.counters
        self._ready.set()
        await self._over.wait()
        await twin.close()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("home")) as served:
        yield served


def environ(twin: Served, tmp_path: Path, key: str = "good", **more: str) -> dict[str, str]:
    """What a person sets to go live against this twin."""
    at = f"{HOST}:{twin.port}"
    return {
        "TRADER_ENVIRONMENT": "live", "TRADER_ACCOUNT": ACCOUNT, "TRADER_STATE_DIR": str(tmp_path / "state"), "TRADER_AI__MODE": "off",
        "TRADER_KRAKEN__URL": f"http://{at}", "TRADER_KRAKEN__WS_URL": f"ws://{at}", "TRADER_KRAKEN_API_KEY": key,
        "TRADER_KRAKEN_API_SECRET": SECRET, "TRADER_UNIVERSE": "8", "XDG_STATE_HOME": str(twin.home), **more,
    }  # fmt: skip


def arm(tmp_path: Path, account: str = ACCOUNT, mode: int = 0o600) -> None:
    file = Paths(tmp_path / "state").make().arm
    file.write_text(f"{account}\n")
    file.chmod(mode)


@dataclass(frozen=True)
class Said:
    code: int
    checks: Mapping[str, tuple[str, str]]  # code -> (level, what)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(values: Mapping[str, str]) -> Said:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        code = run(["doctor", "--live", "--json"])
        out = capsys.readouterr().out
        assert SECRET not in out
        return Said(code=code, checks={check["code"]: (check["level"], check["what"]) for check in json.loads(out)})

    return ask


# --- preflight ----------------------------------------------------------------------------------------------------------
Row = tuple[str, dict[str, str], str, str]  # why, what is set, the check that fails, its words
REFUSED: list[Row] = [
    ("the environment is not live", {"TRADER_ENVIRONMENT": "paper"}, "E-LIVE-001", "environment is paper"),
    ("no key", {"TRADER_KRAKEN_API_KEY": "", "TRADER_KRAKEN_API_SECRET": ""}, "E-KEY-001", "there is no API key"),
    ("a key nobody knows", {"TRADER_KRAKEN_API_KEY": "stranger"}, "E-KEY-001", "EAPI:Invalid key"),
    ("an expired key", {"TRADER_KRAKEN_API_KEY": "old"}, "E-KEY-001", "EAPI:Invalid key"),
    ("a key that can withdraw", {"TRADER_KRAKEN_API_KEY": "withdraws"}, "E-KEY-003", "key 'too much' can withdraw (withdraw-funds)"),
    ("a key without rights", {"TRADER_KRAKEN_API_KEY": "lame"}, "E-KEY-002", "key 'too little' lacks the rights query-open-trades"),
    ("another account than armed", {"TRADER_ACCOUNT": "other"}, "E-ARM-002", "the arm file names account 'main', the settings 'other'"),
    ("AI without a provider's key", {"TRADER_AI__MODE": "veto"}, "E-AI-001", "there is no key for the provider"),
]


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_doctor_refuses_with_code_3_and_the_sentence(row: Row, twin: Served, tmp_path: Path, doctor: Any) -> None:
    _why, values, code, words = row
    arm(tmp_path)
    said = doctor(environ(twin, tmp_path) | values)
    assert said.code == 3
    assert said.checks[code][0] == "FAIL" and words in said.checks[code][1]
    ours = ("E-LIVE", "E-ARM", "E-KEY", "E-AI", "E-CLOCK", "E-VENUE", "E-MONEY")
    assert [name for name, (level, _) in said.checks.items() if level == "FAIL" and name.startswith(ours)] == [code]


def test_an_arm_file_must_be_there_and_be_private(twin: Served, tmp_path: Path, doctor: Any) -> None:
    Paths(tmp_path / "state").make()
    said = doctor(environ(twin, tmp_path))
    assert said.code == 3 and said.checks["E-ARM-001"][0] == "FAIL" and "not armed" in said.checks["E-ARM-001"][1]
    arm(tmp_path, mode=0o644)
    said = doctor(environ(twin, tmp_path))
    assert said.code == 3 and said.checks["E-ARM-003"] == ("FAIL", "the arm file is 644, ours")


def test_a_ledger_of_another_account_is_refused(twin: Served, tmp_path: Path, doctor: Any) -> None:
    arm(tmp_path)
    ledger = SqlLedger(tmp_path / "state" / "ledger.sqlite", account="other")
    ledger.set_opening_cash({"EUR": Decimal(1)}, 1)
    ledger.close()
    said = doctor(environ(twin, tmp_path))
    assert said.code == 3 and said.checks["E-ARM-004"] == ("FAIL", "the ledger belongs to account 'other'")


@pytest.mark.parametrize(("skew_s", "fails"), [(2.0, True), (-2.0, True), (0.0, False)])
def test_a_skew_of_two_seconds_is_refused(skew_s: float, fails: bool, tmp_path: Path, doctor: Any) -> None:
    arm(tmp_path)
    with Served(tmp_path, skew_s=skew_s) as ahead:
        said = doctor(environ(ahead, tmp_path))
    assert (said.checks["E-CLOCK-003"][0] == "FAIL") is fails and (said.code == 3) is fails


def test_an_account_too_poor_for_the_smallest_order_is_refused(tmp_path: Path, doctor: Any) -> None:
    arm(tmp_path)
    with Served(tmp_path, cash="1") as poor:
        said = doctor(environ(poor, tmp_path))
    assert said.code == 3 and said.checks["E-MONEY-001"][0] == "FAIL" and "1.00 EUR free" in said.checks["E-MONEY-001"][1]


def test_with_all_right_the_doctor_names_what_it_found(twin: Served, tmp_path: Path, doctor: Any) -> None:
    arm(tmp_path)
    said = doctor(environ(twin, tmp_path))
    assert said.code in (0, 1)  # 1: a check of the machine, which is not about live
    live = {name: what for name, (level, what) in said.checks.items() if level != "FAIL"}
    assert (
        live["E-KEY-002"] == "key 'trading only' may do all that is needed"
        and live["E-KEY-003"] == "key 'trading only' cannot move money out"
    )
    assert live["E-FEE-001"].startswith("fee tier: taker 0.40 %, maker 0.25 %") and "10000.00 EUR free" in live["E-MONEY-001"]
    assert said.checks["E-LIVE-002"][0] == "warn"  # the override is said aloud


def test_a_key_that_can_withdraw_may_be_accepted_by_its_name(twin: Served, tmp_path: Path, doctor: Any) -> None:
    arm(tmp_path)
    values = environ(twin, tmp_path, "withdraws", TRADER_KRAKEN__ACCEPT_WITHDRAW_KEY="too much")
    said = doctor(values)
    assert said.code != 3 and said.checks["E-KEY-003"][0] == "warn"
    assert doctor(values | {"TRADER_KRAKEN__ACCEPT_WITHDRAW_KEY": "another"}).code == 3


def test_a_session_is_refused_as_the_doctor_refuses_it(twin: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(twin, tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnsafeError, match=r"live trading is refused: E-ARM-001 live trading is not armed.*trader doctor --live"):
        asyncio.run(trade(load(), seconds=1))
    assert not (tmp_path / "state" / "ledger.sqlite").exists()
    assert run(["up", "--env", "live"]) == 3
    arm(tmp_path)
    monkeypatch.setenv("TRADER_KRAKEN_API_KEY", "withdraws")
    assert run(["up", "--env", "live"]) == 3


# --- trading ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage.of(1)


@pytest.fixture(scope="module")
def history(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_history(stage, tmp_path_factory.mktemp("history"))


def settings_of(stage: Stage, root: Path, environment: str) -> Settings:
    at = f"{HOST}:{stage.settings.ports.kraken_twin}"
    return load(
        {"environment": environment, "account": ACCOUNT, "state_dir": str(root / "state"), "ai.mode": "off", "universe": 8,
         "kraken.url": f"http://{at}", "kraken.ws_url": f"ws://{at}", "kraken.tier": "pro", "kraken_api_key": "good",
         "kraken_api_secret": SECRET},
        environ={},
    )  # fmt: skip


@contextlib.asynccontextmanager
async def market(stage: Stage, clock: LoopClock) -> AsyncIterator[KrakenTwin]:
    """The stage's exchange at its address, in this loop."""
    world: World = stage.world
    twin = kraken_twin(world, world.market(), clock, paths=None, plan=FaultPlan(), keys=(GOOD,))
    await twin.start(HOST, stage.settings.ports.kraken_twin)
    moving = asyncio.create_task(twin.run_market(None), name="market")
    try:
        yield twin
    finally:
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
        await twin.close()


def in_process(paths: Paths, clock: Clock, needs: Mapping[Timeframe, int]) -> DirectHistoryLink:
    return DirectHistoryLink(HistoryStore(paths.history), clock, needs=needs)


def play(stage: Stage, settings: Settings) -> tuple[KrakenTwin, dict[str, int]]:
    """70 minutes of the environment on the stepped clock; after an hour a person closes the first position.

    The twin it met, and its requests by endpoint.
    """
    ledger = Paths(settings.state).ledger

    async def exit_one(clock: Clock) -> None:
        await clock.sleep(HOUR / 1e6)
        reader = LedgerReader(ledger)
        first = reader.positions()[0]
        reader.close()
        submit_control(ledger, "exit", first.position.pair, "ada", clock.now_us())

    async def main() -> tuple[KrakenTwin, dict[str, int]]:
        clock = LoopClock(stage.world.epoch_us)
        async with market(stage, clock) as twin, asyncio.TaskGroup() as group:
            group.create_task(exit_one(clock))
            await trade(settings, seconds=70 * 60, clock=clock, histories=in_process)
            return twin, dict(twin.middleware.counters)

    return run_stepped(main)


def prepared(stage: Stage, history: Path, root: Path) -> Paths:
    """A directory with candles and nothing of a demo."""
    paths = state_dir(stage, root / "state", history)
    paths.world.unlink()
    return paths


def test_live_trades_entries_resting_stops_and_exits(stage: Stage, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    paths = prepared(stage, history, tmp_path)
    arm(tmp_path)
    twin, _ = play(stage, settings_of(stage, tmp_path, "live"))
    facts = audit(paths.ledger)
    ledger = SqlLedger(paths.ledger, account=ACCOUNT)
    legs, tag = {intent.leg for intent in ledger.intents()}, json.loads(paths.installed_for.read_text())["tag"]
    ledger.close()
    assert facts.problems == () and len(facts.fills) >= 3 and {Leg.ENTRY, Leg.STOP, Leg.EXIT} <= legs
    orders = twin.exchange.state.orders.values()
    assert {order.cl_ord_id[:4] for order in orders if order.cl_ord_id} == {f"t{tag}"}
    assert set(facts.fills) == set(twin.exchange.state.trades)
    resting = {o.pair: o.remaining for o in orders if o.live and o.ordertype == "stop-loss"}
    assert resting == facts.positions  # what is held rests under its stop, to the last digit
    assert [p.name for p in (tmp_path / "home" / "trader").glob("kraken-key-*.json")]  # the nonce floor outlives the session


def test_two_sessions_never_sign_with_one_key(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    settings = settings_of(stage, tmp_path, "live")
    arm(tmp_path)

    async def main() -> None:
        clock = LoopClock(stage.world.epoch_us)
        async with market(stage, clock), contextlib.AsyncExitStack() as stack:
            await stand(settings, Paths(settings.state), stack, clock)
            with pytest.raises(LeaseLostError, match="another process on this machine trades this account"):
                await stand(settings, Paths(tmp_path / "elsewhere").make(), stack, clock)

    run_stepped(main)


def test_paper_trades_on_public_data_without_one_private_request(stage: Stage, history: Path, tmp_path: Path) -> None:
    paths = prepared(stage, history, tmp_path)
    twin, requests = play(stage, settings_of(stage, tmp_path, "paper"))
    facts = audit(paths.ledger)
    assert facts.problems == () and len(facts.fills) >= 3 and facts.positions
    assert {order.leg for order in facts.orders.values()} == {"entry", "stop", "exit"}
    assert requests and not [name for name in requests if name in NEEDS or name in SUBSCRIBED]
    assert twin.exchange.state.orders == {} and sum(requests.values()) > 20
    told = verify_state(paths.root)
    assert told["ok"] and told["checks"]["ledger_sound"]["compared"] > 100 and told["checks"]["outcomes_proved"]["compared"] >= 3


def test_a_directory_belongs_to_one_environment(stage: Stage, history: Path, tmp_path: Path) -> None:
    state_dir(stage, tmp_path / "state", history)
    with pytest.raises(ConfigError, match="a demo has lived there"):
        asyncio.run(trade(settings_of(stage, tmp_path, "paper"), seconds=1))
