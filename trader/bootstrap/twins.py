"""`trader twin`: the Kraken or Gemini twin alone on real sockets, under `trader up` on the clock all processes share."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from trader.bootstrap.paths import API_KEY, API_SECRET, Paths
from trader.bootstrap.world import HOST, Plans, World, gemini_twin, kraken_twin, read_plans, world_of
from trader.config import Settings, load
from trader.errors import ConfigError, TraderError
from trader.ports import Clock
from trader.simulation.clock import PacedClock, load_clock, wall_clock

KINDS = ("kraken", "gemini")
Kind = Literal["kraken", "gemini"]


def run_twin(
    which: str,
    settings: Settings,
    *,
    port: int,
    replay: Path | None = None,
    start: str | None = None,
    plan: Path | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    keep: bool = False,
    say: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; says `ready http://127.0.0.1:P ws://127.0.0.1:P` once it answers. Port 0 picks a free one.

    `keep` holds the books in the state directory, whose world and clock then bind. Without a clock file, time is the
    machine's; a replay starts at its own first moment. Raises ConfigError for options that make no sense.
    """
    if which not in KINDS:
        raise ConfigError(f"twin {which!r}: allowed are {', '.join(KINDS)}")
    paths = Paths(settings.state).make() if keep else None
    world = _world(settings, paths, replay=replay, start=start)
    clock = _clock(paths, world)
    plans = read_plans(plan, world.seed)
    keys = (api_key or API_KEY, api_secret or API_SECRET)
    asyncio.run(_serve(which, world, clock, plans, paths, keys, port, say))


def _world(settings: Settings, paths: Paths | None, *, replay: Path | None, start: str | None) -> World:
    """The saved world where books are kept, else the one the options describe."""
    if paths is not None and paths.world.exists():
        saved = World.load(paths.world)
        if replay is not None and saved.replay != str(replay.resolve()):
            raise ConfigError(f"--replay {replay}: the books in {paths.root} belong to another market; name another --state")
        return saved
    world = world_of(settings, replay=replay, start=start)
    if paths is not None:
        world.save(paths.world)
    return world


def _clock(paths: Paths | None, world: World) -> Clock:
    if paths is not None and paths.clock.exists():
        return load_clock(paths.clock)
    if world.replay is not None:  # its candles lie in the past: time begins where they do
        wall = wall_clock()
        return PacedClock(world.epoch_us, wall.now_us() / 1e6, 1.0)
    return wall_clock()


async def _serve(
    which: str, world: World, clock: Clock, plans: Plans, paths: Paths | None, keys: tuple[str, str], port: int, say: Callable[[str], None]
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        work: asyncio.Task[None] | None = None
        if which == "kraken":
            twin = kraken_twin(world, world.market(), clock, paths=paths, plan=plans.kraken, key=keys[0], secret=keys[1])
            stack.push_async_callback(twin.close)
            port = await _listen(twin.start(HOST, port), port)
            work = asyncio.create_task(twin.run_market(None), name="market")
        else:
            oracle = gemini_twin(world, clock, plans.gemini)
            stack.push_async_callback(oracle.close)
            await _listen(oracle.start(HOST, port), port)
            port = int(oracle.url.rsplit(":", 1)[1])
        say(f"ready http://{HOST}:{port} ws://{HOST}:{port}" if which == "kraken" else f"ready http://{HOST}:{port}")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, *([work] if work else [])}, return_when=asyncio.FIRST_COMPLETED)
        if work is not None:
            await _end(work)


async def _listen(starting: object, port: int) -> int:
    try:
        return int(await starting or port)  # type: ignore[misc]
    except OSError as error:
        from trader.maintenance.sockets import owner_of

        raise ConfigError(f"port {port} is taken by {owner_of(port)}; choose another with --port") from error


async def _end(work: asyncio.Task[None]) -> None:
    """Cancel the market; an error it ended with is the twin's own and is raised."""
    if work.done():
        work.result()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


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
