"""`python -m trader.bootstrap.sending --state DIR`: fills the outbox from the ledger and drains it into Slack, in a process of its own.

Without a token the messages stay in the outbox and the status page shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack

import aiohttp

from trader.bootstrap.notices import clock_of
from trader.bootstrap.paths import Paths
from trader.config import Settings, load
from trader.data.engine import identity
from trader.data.outbox import Outbox
from trader.data.projector import Projector
from trader.errors import ConfigError, TraderError
from trader.simulation.clock import PacedClock
from trader.slack.client import DEADLINE_S, SlackClient
from trader.slack.sender import Sender

EVERY_S = 1.0
log = logging.getLogger("trader.sender")


class Follower:
    """Keeps the outbox up with the ledger, also where the ledger is not there yet, busy or broken for a while."""

    def __init__(self, paths: Paths, environment: str) -> None:
        self._paths, self._environment = paths, environment
        self._projector: Projector | None = None
        self._file: tuple[int, int] | None = None
        self._said = ""

    def step(self) -> int:
        """Messages that came in. Trouble is logged once, until it changes."""
        try:
            place = self._paths.ledger_at
            found = identity(place)
            if self._projector is None or found != self._file:
                self.close()
                self._projector = Projector(place, self._paths.ops, environment=self._environment)
                self._file = found
            count = self._projector.run()
        except FileNotFoundError:
            return self._trouble("no ledger yet")
        except TraderError as error:
            self.close()
            return self._trouble(str(error))
        self._said = ""
        return count

    def _trouble(self, text: str) -> int:
        if text != self._said:
            log.warning("outbox: %s", text)
        self._said = text
        return 0

    def close(self) -> None:
        """Close both files."""
        if self._projector is not None:
            self._projector.close()
        self._projector = None


async def send(settings: Settings, stopping: asyncio.Event) -> None:
    """Until `stopping`: follow the ledger, and post where a token is set."""
    paths = Paths(settings.state).make()
    async with AsyncExitStack() as stack:
        follower = Follower(paths, settings.environment)
        stack.callback(follower.close)
        box = Outbox(paths.ops, environment=settings.environment)
        stack.callback(box.close)
        sender = await _sender(settings, box, stack)
        log.info("sender: %s", f"posting to {settings.slack.channel}" if sender else "no Slack token; messages stay in the outbox")
        while not stopping.is_set():
            follower.step()
            if sender is not None:
                try:
                    await sender.drain(clock_of(settings, paths).now_us())
                except TraderError as error:
                    log.warning("outbox: %s", error)
            try:
                await asyncio.wait_for(stopping.wait(), EVERY_S)
            except TimeoutError:
                continue


async def _sender(settings: Settings, box: Outbox, stack: AsyncExitStack) -> Sender | None:
    if settings.slack_token is None or not settings.slack_token.get_secret_value():
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)))
    client = SlackClient(settings.slack_token.get_secret_value(), session, base_url=settings.slack.base_url)
    clock = clock_of(settings, Paths(settings.state))
    speed = clock.speed if isinstance(clock, PacedClock) else 1.0
    return Sender(box, client, channel=settings.slack.channel, speed=speed)


async def _main(settings: Settings) -> None:
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    await send(settings, stopping)


def main(arguments: list[str] | None = None) -> int:
    """Run until told to end; 2 for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m trader.bootstrap.sending", description="the sender of messages")
    parser.add_argument("--state", help="state directory (default: state)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = load({"state_dir": given.state})
    except ConfigError as error:
        sys.stderr.write(f"trader.sending: {error}\n")
        return 2
    asyncio.run(_main(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
