"""Gathers what `maintenance.preflight` judges: the arm file, the key, the clock, the money; asks, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TypeVar

from trader.bootstrap import wire
from trader.bootstrap.ingestion import universe_of
from trader.bootstrap.paths import Paths
from trader.config import Settings
from trader.data.engine import exists
from trader.data.reader import LedgerReader
from trader.domain.market import SECOND, Instrument
from trader.domain.money import ZERO, from_float, mul
from trader.errors import ConfigError, TraderError, UnsafeError
from trader.execution.exit_plan import MARGIN, least_value
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.keyfile import fingerprint
from trader.maintenance import preflight
from trader.maintenance.checks import Check
from trader.ports import Clock
from trader.simulation.clock import wall_clock
from trader.strategy.modes import parameters

T = TypeVar("T")


def keys_of(settings: Settings) -> tuple[str, str] | None:
    """The API key of the settings; None without one. Raises ConfigError for half of it."""
    halves = [secret.get_secret_value() if secret else "" for secret in (settings.kraken_api_key, settings.kraken_api_secret)]
    if any(halves) and not all(halves):
        raise ConfigError("settings kraken_api_key and kraken_api_secret: one is set without the other")
    return (halves[0], halves[1]) if all(halves) else None


async def examine_live(settings: Settings, clock: Clock | None = None) -> list[Check]:
    """Every check before live, over a connection of its own; with a session running on the key, the key is not to be had."""
    paths = Paths(settings.state.resolve())
    keys, clock = keys_of(settings), clock or wall_clock()
    if keys is None:
        return without_key(settings, paths)
    async with AsyncExitStack() as stack:
        try:
            exchange, market = wire.adapters(
                wire.Endpoints.chosen(settings), clock, stack=stack, keys=keys, key_dir=paths.keys, tier=settings.kraken.tier
            )
        except TraderError as error:
            return [*_at_home(settings, paths), _failed("E-KEY-001", "the key cannot be used", error)]
        return await checks_of(settings, paths, clock, exchange, market)


def without_key(settings: Settings, paths: Paths) -> list[Check]:
    """What can be judged where there is no key to ask with."""
    return [*_at_home(settings, paths), _no_key()]


def require(checks: list[Check]) -> None:
    """Raises UnsafeError naming every check that speaks against trading."""
    if refused := preflight.refusals(checks):
        raise UnsafeError(f"live trading is refused: {refused}; see `trader doctor --live`")


async def checks_of(settings: Settings, paths: Paths, clock: Clock, exchange: KrakenExchange, market: KrakenMarketData) -> list[Check]:
    """What stands in the directory, then what the exchange says."""
    return [*_at_home(settings, paths), *await _abroad(settings, clock, exchange, market)]


def _at_home(settings: Settings, paths: Paths) -> list[Check]:
    booked = ""
    found: list[Check] = []
    if exists(paths.ledger_at):
        try:
            reader = LedgerReader(paths.ledger_at)
            booked = reader.account
            reader.close()
        except TraderError as error:
            found.append(_failed("E-LED-001", "the ledger cannot be read", error))
    arm = preflight.Arm.read(paths.arm, os.getuid())
    found += preflight.opted_in(settings.environment, settings.account, arm, booked)
    if settings.kraken.url:
        found.append(
            Check(level="warn", code="E-LIVE-002", what=f"orders go to {settings.kraken.url}, which is not Kraken",
                  why="kraken.url is for tests against a twin", fix="empty kraken.url and kraken.ws_url")
        )  # fmt: skip
    if settings.ai.mode != "off" and not os.environ.get("TRADER_GEMINI_API_KEY"):
        found.append(
            Check(level="FAIL", code="E-AI-001", what=f"ai.mode is {settings.ai.mode}, and there is no key for the provider",
                  why="without verdicts there are no entries in veto", fix="set TRADER_GEMINI_API_KEY, or ai.mode = off")
        )  # fmt: skip
    return found


async def _abroad(settings: Settings, clock: Clock, exchange: KrakenExchange, market: KrakenMarketData) -> list[Check]:
    found: list[Check] = []
    before = clock.now_us()
    told = await _asked(exchange.server_time(), found, "E-VENUE-001", "the exchange does not answer")
    if told is None:
        return found
    found.append(preflight.clock((told - (before + clock.now_us()) / 2) / SECOND))
    if (status := await _asked(exchange.system_status(), found, "E-VENUE-001", "the exchange does not say how it is")) is not None:
        found.append(preflight.venue(status))
    rights = await _asked(exchange.account.key_rights(), found, "E-KEY-001", "the key is refused")
    if rights is None:
        return found
    key = preflight.KeyFacts(
        name=rights.name, missing=rights.missing, withdrawing=rights.withdrawing, expires_us=rights.expires_us, addresses=rights.addresses
    )
    found += preflight.key(key, settings.kraken.accept_withdraw_key, clock.now_us())
    if (means := await _asked(_means(settings, exchange, market), found, "E-MONEY-001", "the account cannot be read")) is not None:
        found += preflight.means(means)
    return found


async def _asked(question: Awaitable[T], found: list[Check], code: str, what: str) -> T | None:
    """The answer; None after noting why there is none."""
    try:
        return await question
    except TraderError as error:
        found.append(_failed(code, what, error))
        return None


async def _means(settings: Settings, exchange: KrakenExchange, market: KrakenMarketData) -> preflight.Means:
    """Balance, smallest orders and fee tier. `stake`: what the strategy may put into one position at the very most."""
    chosen = parameters(settings.profile, settings.mode, settings.variation)
    instruments, tickers = await exchange.instruments(), await market.tickers()
    tier = await exchange.account.fee_tier(f"BTC/{settings.quote}")
    balance = (await exchange.balances()).get(settings.quote)
    free = ZERO if balance is None else balance.total - balance.held
    most = min(free, from_float(chosen.max_trade)) if chosen.seed else mul(free, from_float(chosen.max_stake))
    pairs = await universe_of(market, instruments, quote=settings.quote, universe=settings.universe)
    fitting = [pair for pair in pairs if pair in tickers and _least(tickers[pair].last, instruments[pair]) <= most]
    return preflight.Means(
        quote=settings.quote, free=free, stake=most, fitting=len(fitting), pairs=len(pairs), taker=tier.taker, maker=tier.maker,
        volume=tier.volume,
    )  # fmt: skip


def _least(price: Decimal, instrument: Instrument) -> Decimal:
    return mul(MARGIN, least_value(price, instrument))


def _no_key() -> Check:
    return Check(
        level="FAIL", code="E-KEY-001", what="there is no API key", why="orders are signed with it",
        fix="set TRADER_KRAKEN_API_KEY and TRADER_KRAKEN_API_SECRET in the environment of this command",
    )  # fmt: skip


def _failed(code: str, what: str, error: TraderError) -> Check:
    return Check(level="FAIL", code=code, what=f"{what}: {error}", why="live trading needs it", fix="see the message")


def key_name(keys: tuple[str, str]) -> str:
    """What the lock of a key's trader is called; shows nothing of the key."""
    return f"kraken key {fingerprint(keys[0])}"
