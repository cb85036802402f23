"""`trader twin`: the Kraken or Gemini twin alone on real sockets, under `trader up` on the clock all processes share."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trader.bootstrap.paths import Paths
from trader.bootstrap.stand_ins import DEMO_KEY, HOST, TIER, gemini_twin, kraken_twin, read_plans
from trader.bootstrap.world import World, world_of
from trader.config import Settings, load
from trader.domain.market import SECOND
from trader.errors import ConfigError, TraderError
from trader.maintenance.sockets import owner_of
from trader.ports import Clock
from trader.simulation.clock import PacedClock, load_clock, wall_clock
from trader.simulation.gemini_limits import FREE
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.spot.keyring import TRADING, ApiKey
from trader.simulation.kraken_server.spot.market_view import OHLC_ROWS
from trader.simulation.kraken_server.switches import read_switches
from trader.simulation.replay import ReplayMarket

KINDS = ("kraken", "gemini")
FREE_TIER = "free"  # of Gemini; any other is no limit there


def run_twin(
    which: str,
    settings: Settings,
    *,
    port: int,
    replay: Path | None = None,
    start: str | None = None,
    plan: Path | None = None,
    keys: Sequence[ApiKey] = (DEMO_KEY,),
    tier: str | None = TIER,
    switches: Sequence[str] = (),
    tls_port: int | None = None,
    keep: bool = False,
    say: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; says `ready http://127.0.0.1:P ws://127.0.0.1:P` once it answers. Port 0 picks a free one.

    `keep` holds the books in the state directory, whose world and clock then bind. Without a clock file, time is the
    machine's; a replay starts at `start`, or with a page of candles behind it. `tls_port`: listen there too, behind a
    certificate of its own, and say `tls https://127.0.0.1:P cert PATH` as a second line. Raises ConfigError for options that
    make no sense.
    """
    if which not in KINDS:
        raise ConfigError(f"twin {which!r}: allowed are {', '.join(KINDS)}")
    if which == "gemini":
        _of_kraken(replay=bool(replay or start), switch=bool(switches), tls_port=tls_port is not None, api_key=keys != (DEMO_KEY,))
    paths = Paths(settings.state).make() if keep else None
    world = _world(settings, paths, replay=replay, start=start)
    clock = _clock(paths, world)
    plans = read_plans(plan, world.seed)
    if which == "gemini":
        if tier not in (FREE_TIER, TIER, None):
            raise ConfigError(f"--tier {tier!r}: of gemini only {FREE_TIER}, or none")
        asyncio.run(_serve_gemini(gemini_twin(world, clock, plans.gemini, FREE if tier == FREE_TIER else None), port, say))
        return
    turned, limits = read_switches(switches, tier=tier)

    async def serve() -> None:
        twin = kraken_twin(world, world.market(), clock, paths=paths, plan=plans.kraken, keys=keys, limits=limits, switches=turned)
        with _certificates(paths) as folder:
            await _serve_kraken(twin, port, say, tls_port, folder)

    asyncio.run(serve())


def _of_kraken(**given: bool) -> None:
    """Raises ConfigError for an option that the Gemini twin has no use for."""
    if named := next((name for name, is_given in given.items() if is_given), None):
        raise ConfigError(f"--{named.replace('_', '-')}: is an option of `trader twin kraken`; gemini has no use for it")


def keys_of(names: Sequence[str], secrets: Sequence[str], rights: Sequence[str]) -> tuple[ApiKey, ...]:
    """The keys of a command line: the k-th secret and the k-th rights belong to the k-th key; without any, the demo's key.

    `rights`: comma-separated words of Kraken; a key without them may do everything but move money. Raises ConfigError.
    """
    if len(secrets) != len(names):
        raise ConfigError(f"--api-key is given {len(names)} times and --api-secret {len(secrets)}: the k-th secret belongs to the k-th key")
    if len(rights) > len(names):
        raise ConfigError(f"--key-rights is given {len(rights)} times for {len(names)} --api-key: the k-th rights belong to the k-th key")
    found: list[ApiKey] = []
    for number, (name, secret) in enumerate(zip(names, secrets, strict=True)):
        words = tuple(word.strip() for word in rights[number].split(",") if word.strip()) if number < len(rights) else TRADING
        try:
            found.append(ApiKey(key=name, secret=secret, permissions=words, name=f"twin-{number + 1}"))
        except ConfigError as error:
            raise ConfigError(f"--api-key, --api-secret, --key-rights: {error}") from error
    return tuple(found) or (DEMO_KEY,)


def _world(settings: Settings, paths: Paths | None, *, replay: Path | None, start: str | None) -> World:
    """The saved world where books are kept, else the one the options describe."""
    if paths is not None and paths.world.exists():
        saved = World.load(paths.world)
        if replay is not None and saved.replay != str(replay.resolve()):
            raise ConfigError(f"--replay {replay}: the books in {paths.root} belong to another market; name another --state")
        return saved
    if replay is None and start is not None:  # whose time is the wall's
        raise ConfigError(f"--from {start!r} names the first moment of a replay: add --replay FILE")
    if replay is not None and start is None:
        start = _first_moment(replay)
    world = world_of(settings, replay=replay, start=start)
    if paths is not None:
        world.save(paths.world)
    return world


def _first_moment(replay: Path) -> str:
    """Where a replay begins that is told no moment: with a page of candles behind it, or at the file's first where it is short."""
    market = ReplayMarket(replay)
    begin_us = market.first_us + OHLC_ROWS * market.base.us
    return datetime.fromtimestamp((begin_us if begin_us < market.end_us else market.first_us) // SECOND, UTC).isoformat()


def _clock(paths: Paths | None, world: World) -> Clock:
    if paths is not None and paths.clock.exists():
        return load_clock(paths.clock)
    if world.replay is not None:  # its candles lie in the past: time begins where they do
        wall = wall_clock()
        return PacedClock(world.epoch_us, wall.now_us() / 1e6, 1.0)
    return wall_clock()


@contextlib.contextmanager
def _certificates(paths: Paths | None) -> Iterator[Path]:
    """Where the certificate lies: with the books, or as long as the twin runs."""
    if paths is not None:
        yield paths.twin
        return
    with tempfile.TemporaryDirectory(prefix="trader-twin-") as folder:
        yield Path(folder)


async def _serve_kraken(twin: KrakenTwin, port: int, say: Callable[[str], None], tls_port: int | None, folder: Path) -> None:
    """Ends with the twin's own error where its market fails."""
    stop = _stop_event()
    try:
        with _taken(port):
            port = await twin.start(HOST, port)
        market = asyncio.create_task(twin.run_market(None), name="market")
        tls = ""
        if tls_port is not None:
            with _taken(tls_port):
                tls_port, certificate = await twin.start_tls(HOST, tls_port, folder)
            tls = f"\ntls https://{HOST}:{tls_port} cert {certificate}"
        say(f"ready http://{HOST}:{port} ws://{HOST}:{port}{tls}")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, market}, return_when=asyncio.FIRST_COMPLETED)
        if market.done():
            market.result()
        market.cancel()
        await asyncio.gather(market, return_exceptions=True)
    finally:
        await twin.close()


async def _serve_gemini(twin: GeminiTwin, port: int, say: Callable[[str], None]) -> None:
    stop = _stop_event()
    try:
        with _taken(port):
            await twin.start(HOST, port)
        say(f"ready {twin.url} {twin.url.replace('http', 'ws')}")
        await stop.wait()
    finally:
        await twin.close()


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.contextmanager
def _taken(port: int) -> Iterator[None]:
    """A port in use becomes a ConfigError that names its owner."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"port {port} is taken by {owner_of(port)}; choose another with --port") from error


def main() -> int:
    """`python -m trader.bootstrap.twins kraken|gemini`: as a child of `trader up`, settings from the environment."""
    settings = load()
    which = sys.argv[1] if len(sys.argv) > 1 else ""
    port = settings.ports.kraken_twin if which == "kraken" else settings.ports.gemini_twin
    try:
        run_twin(which, settings, port=port, keep=True, say=lambda text: print(text, flush=True))
    except TraderError as error:
        print(f"twin: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
