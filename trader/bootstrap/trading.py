"""One trading session against peers that run in other processes: what the flow `trade_intraday` and `trader trade` start."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing, contextmanager, suppress

from trader.bootstrap import wire
from trader.bootstrap.grounds import stand
from trader.bootstrap.ingestion import lookbacks
from trader.bootstrap.installation import holder_of
from trader.bootstrap.paths import Paths
from trader.bootstrap.promotion import active, earned
from trader.config import Settings
from trader.data.engine import is_blank
from trader.data.link import DirectHistoryLink, ProcessHistoryLink
from trader.data.reader import LedgerReader
from trader.domain.market import Timeframe
from trader.errors import LeaseLostError, StoppedError, UnwritableError
from trader.execution.controls import taken_back
from trader.execution.session import Session
from trader.execution.wiring import Timing, run_directly
from trader.ports import Clock, KillPoints, SessionSummary, Stage

CONTROLS = 500  # of the newest, among which the last stop or resume is looked for
Histories = Callable[[Paths, Clock, Mapping[Timeframe, int]], DirectHistoryLink | ProcessHistoryLink]


@contextmanager
def sole_trader(paths: Paths) -> Iterator[None]:
    """The operating system's lock on this account: freed by the kernel however the process ends.

    Raises LeaseLostError when another session of this machine holds it, UnwritableError where the directory takes no file.
    """
    try:
        handle = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnwritableError(f"{paths.lock}: {error.strerror}; nothing was started, and stops rest on the exchange") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeaseLostError(f"another session trades this account on this machine ({paths.lock} is locked)") from None
        yield
    finally:
        os.close(handle)


def stopped(paths: Paths) -> str:
    """Why no session may start: a person stopped trading and has not said `resume`; empty where none did."""
    if is_blank(paths.ledger_at):
        return ""
    with suppress(UnwritableError), closing(LedgerReader(paths.ledger_at)) as reader:  # a disk that takes no writes keeps no session away
        for given in (one.control for one in reader.controls(CONTROLS)):
            if taken_back(given.verb, given.argument):
                break
            if given.verb == "stop":
                return f"stopped by {given.who}; `trader resume` lets it start"
    return ""


async def trade(
    settings: Settings,
    *,
    seconds: float,
    stage: Stage = run_directly,
    kill: KillPoints | None = None,
    clock: Clock | None = None,
    histories: Histories = wire.process_history,
) -> SessionSummary:
    """One session of `seconds` of the machine's time, in the settings' environment.

    Raises LeaseLostError when another one runs, StoppedError after `trader stop`, UnsafeError where live trading is refused. `clock`
    and `histories` are for tests that own time.
    """
    paths = Paths(settings.state).make()
    settings = active(settings, paths)
    with sole_trader(paths):
        if why := stopped(paths):
            raise StoppedError(why)
        async with AsyncExitStack() as stack:
            ground = await stand(settings, paths, stack, clock)
            instruments = await ground.exchange.instruments()
            taker, _maker = await ground.exchange.fee_rates()
            ledger = wire.open_ledger(paths, kill, account=settings.account)
            stack.callback(ledger.close)
            history = histories(paths, ground.clock, lookbacks(settings))
            stack.push_async_callback(history.close)
            verdicts = await wire.verdicts(settings, paths, stack)
            session = Session(
                wire.wiring(
                    settings,
                    clock=ground.clock,
                    exchange=ground.exchange,
                    market=ground.market,
                    instruments=instruments,
                    ledger=ledger,
                    history=history,
                    verdicts=verdicts,
                    base=ground.base,
                    quote=ground.quote,
                    taker=float(taker),
                    seed=ground.seed,
                    holder=holder_of(paths),
                    tag=ground.tag,
                    tau=earned(paths, settings.strategy),
                    timing=wire.paced(Timing(speed=ground.speed), settings),
                    stage=stage,
                    kill=kill,
                )
            )
            asyncio.get_running_loop().call_later(seconds, session.stop, "its time is over")
            return await session.run()
