"""Puts one session together: adapters behind ports, the rules of the chosen strategy, and its timing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from trader.bootstrap.paths import API_KEY, API_SECRET, Paths, tag_of
from trader.bootstrap.tuning import parameters_of
from trader.config import Settings
from trader.data.history import HistoryStore
from trader.data.ledger import SqlLedger
from trader.data.link import DirectHistoryLink, ProcessHistoryLink
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.costs import Costs
from trader.domain.futures import MarginRules, MarketKind
from trader.domain.market import Instrument, Timeframe
from trader.domain.orders import Side
from trader.domain.verdicts import Question, Verdict
from trader.errors import ConfigError
from trader.execution.confirmation import Desk
from trader.execution.halts import HaltLimits
from trader.execution.verdict_book import ConfirmationParameters, VerdictBook
from trader.execution.wiring import NoKill, Timing, Wiring, run_directly
from trader.gemini.advisors import Choice, advisor
from trader.gemini.budget import Limits as AiLimits
from trader.gemini.client import make_client as make_gemini
from trader.gemini.link import DirectLink
from trader.gemini.socket_link import SocketLink
from trader.kraken.client import make_client
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.keyfile import KeyFile
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS
from trader.ports import Clock, Exchange, HistoryLink, KillPoints, Ledger, MarketData, Stage, VerdictLink
from trader.strategy.modes import parameters

ACCOUNT = "kraken"
DEMO_TIER = "pro"  # of the twin's account, bootstrap/stand_ins.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the peers are; None means the real service."""

    kraken: str | None
    kraken_ws: str | None
    gemini: str | None

    @classmethod
    def loopback(cls, settings: Settings) -> Endpoints:
        return cls(
            kraken=f"http://127.0.0.1:{settings.ports.kraken_twin}", kraken_ws=f"ws://127.0.0.1:{settings.ports.kraken_twin}",
            gemini=f"http://127.0.0.1:{settings.ports.gemini_twin}",
        )  # fmt: skip

    @classmethod
    def chosen(cls, settings: Settings) -> Endpoints:
        """Kraken itself unless the settings name another server (tests name a twin); Google for the AI."""
        return cls(kraken=settings.kraken.url or None, kraken_ws=settings.kraken.ws_url or None, gemini=None)


def confirmation(settings: Settings) -> ConfirmationParameters:
    """Desk and book parameters from the settings."""
    return ConfirmationParameters(ttl_s=settings.ai.ttl_s, band_sigmas=settings.ai.band_sigmas)


def paced(timing: Timing, settings: Settings) -> Timing:
    """A timing with the intervals of the settings, whatever clock a session lives by."""
    return replace(
        timing, beat_base_s=settings.beat.base_s, prescan_s=settings.ai.prescan_s, prescan_window_s=settings.ai.prescan_window_s
    )  # fmt: skip


def exit_plan_of(settings: Settings) -> str:
    """How positions are left: as set, else as the profile says."""
    chosen = parameters(settings.profile, settings.mode, settings.variation)
    return chosen.exit_plan if settings.exits.plan == "profile" else settings.exits.plan


def limits_of(settings: Settings) -> HaltLimits:
    """What halts entries: as set, else as the profile and the mode say."""
    chosen, halts = parameters(settings.profile, settings.mode, settings.variation), settings.halts
    return HaltLimits(
        daily_loss=halts.daily_loss_fraction or chosen.daily_loss, drawdown=halts.drawdown_fraction or chosen.drawdown,
        stops=halts.stops or chosen.halt_stops,
    )  # fmt: skip


def rules_digest(settings: Settings) -> str:
    """Equal for settings under which a session decides alike: what it trades, how it enters, leaves and halts."""
    deciding = {"profile", "mode", "variation", "universe", "ai", "entry", "halts", "exits", "costs", "futures", "pairs"}
    text = json.dumps(settings.model_dump(mode="json", include=deciding), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def choice_of(settings: Settings) -> Choice:
    """Whom the AI's questions go to."""
    ai = settings.ai
    return Choice(
        provider=ai.provider, model=ai.model, deadline_s=ai.deadline_s, text_model=ai.text_model, text_deadline_s=ai.text_deadline_s,
        fallback=ai.fallback,
    )  # fmt: skip


def ai_limits(settings: Settings) -> AiLimits:
    """The daily budget."""
    ai = settings.ai
    return AiLimits(
        calls=ai.calls_per_day, questions=ai.questions_per_day, tokens=ai.input_tokens_per_day, usd=ai.usd_per_day,
        usd_per_million=ai.usd_per_million_input_tokens or None, calls_a_minute=ai.calls_per_minute,
        tokens_a_minute=ai.input_tokens_per_minute,
    )  # fmt: skip


def direct_verdicts(settings: Settings, endpoints: Endpoints, clock: Clock, paths: Paths, stack: AsyncExitStack) -> VerdictLink:
    """The advisor in the session's own process, as the stepped clock wants it."""
    store = SqliteVerdictStore(paths.ai)
    stack.callback(store.close)
    asked = advisor(
        make_gemini("demo", endpoints.gemini), clock, choice_of(settings), store=store, limits=ai_limits(settings),
        seed=settings.market.seed, ttl_s=settings.ai.ttl_s,
    )  # fmt: skip
    link = DirectLink(asked)
    stack.push_async_callback(link.close)
    return link


async def worker_verdicts(paths: Paths, stack: AsyncExitStack) -> VerdictLink:
    """The link to the AI worker process."""
    link = SocketLink(paths.socket)
    await link.start()
    stack.push_async_callback(link.close)
    return link


def adapters(
    endpoints: Endpoints,
    clock: Clock,
    *,
    stack: AsyncExitStack,
    seed: int = 0,
    keys: tuple[str, str] | None = (API_KEY, API_SECRET),
    key_dir: Path | None = None,
    tier: str = DEMO_TIER,
) -> tuple[KrakenExchange, KrakenMarketData]:
    """Kraken's order side and market data over one client; a loopback exchange has no limit on public calls.

    `keys` None: public data only. `key_dir`: where the key is locked for this process and its nonce floor kept; None leaves
    both out (a twin that lives no longer than the caller). Raises FatalError where another process uses the key.
    """
    key_file = stack.enter_context(KeyFile(key_dir, keys[0])) if keys is not None and key_dir is not None else None
    api_key, api_secret = keys or (None, None)
    client = make_client(
        url=endpoints.kraken, ws_url=endpoints.kraken_ws, api_key=api_key, api_secret=api_secret, clock=clock,
        save_nonce=key_file.save if key_file else None, nonce_floor=key_file.floor if key_file else 0,
    )  # fmt: skip
    limiter = Limiter(clock, tier=TIERS[tier], public_per_s=None if endpoints.kraken else 1.0)
    rng = np.random.default_rng(seed)
    exchange = KrakenExchange(client, clock, rng=rng, limiter=limiter)
    stack.push_async_callback(exchange.close)
    return exchange, KrakenMarketData(client, clock, rng=rng, limiter=limiter)


class NoVerdicts:
    """A verdict link with nobody at its other end: with the AI off, nothing is ever asked."""

    def want(self, questions: Sequence[Question]) -> None:
        raise ConfigError(f"{len(questions)} questions were asked with the AI off")

    def take(self) -> Sequence[Verdict]:
        return ()

    def state(self) -> str:
        return "NO_WORKER"

    async def close(self) -> None:
        """Nothing to close."""


async def verdicts(settings: Settings, paths: Paths, stack: AsyncExitStack) -> VerdictLink:
    """The link to the AI worker process, or to nobody where the AI is off."""
    return NoVerdicts() if settings.ai.mode == "off" else await worker_verdicts(paths, stack)


def public_market(endpoints: Endpoints, clock: Clock, *, stack: AsyncExitStack, seed: int = 0) -> KrakenMarketData:
    """Kraken's public data over a client that has no key: there is no order side, and nothing it could sign."""
    client = make_client(url=endpoints.kraken, ws_url=endpoints.kraken_ws, api_key=None, api_secret=None, clock=clock)
    stack.push_async_callback(client.close)
    limiter = Limiter(clock, public_per_s=None if endpoints.kraken else 1.0)
    return KrakenMarketData(client, clock, rng=np.random.default_rng(seed), limiter=limiter)


def wiring(
    settings: Settings,
    *,
    clock: Clock,
    exchange: Exchange,
    market: MarketData,
    instruments: Mapping[str, Instrument],
    ledger: Ledger,
    history: HistoryLink,
    verdicts: VerdictLink,
    base: Timeframe,
    quote: str,
    timing: Timing,
    taker: float,
    seed: int,
    holder: str,
    stage: Stage = run_directly,
    kill: KillPoints | None = None,
    short_warmup: bool = False,
    kind: MarketKind = MarketKind.SPOT,
    book: VerdictBook | None = None,
    tag: str = "",
    tau: float | None = None,
) -> Wiring:
    """A session's parts; without a `tag` the orders carry the demo world's. `holder`: who takes the ledger's lease, no two
    installations by one name (`installation.holder_of`). Raises ConfigError for an unknown strategy."""
    chosen = parameters_of(settings)
    book = book or VerdictBook(confirmation(settings))
    return Wiring(
        environment=settings.environment,
        account=settings.account,
        holder=holder,
        tag=tag or tag_of(seed),
        quote=quote,
        strategy=chosen.strategy,
        parameters=chosen,
        exit_plan=exit_plan_of(settings),
        costs=Costs(taker=taker, maker=settings.costs.maker_fraction, slippage=settings.costs.slippage_fraction),
        limits=limits_of(settings),
        universe=settings.universe,
        base=base,
        ai_mode=settings.ai.mode,
        clock=clock,
        exchange=exchange,
        market=market,
        instruments=dict(instruments),
        ledger=ledger,
        history=history,
        verdicts=verdicts,
        desk=Desk(book, confirmation(settings)),
        book=book,
        stage=stage,
        kill=kill or NoKill(),
        timing=timing,
        deny=settings.pairs.deny,
        near_zone=settings.ai.near_zone,
        tau=tau,
        short_warmup=short_warmup,
        kind=kind,
        sides=sides_of(settings, kind),
        margin=margin_of(settings),
        rules=rules_digest(settings),
    )


def sides_of(settings: Settings, kind: MarketKind) -> tuple[Side, ...]:
    """What may be entered: longs, and on futures shorts where they are allowed."""
    return (Side.BUY, Side.SELL) if kind is MarketKind.FUTURES and settings.futures.allow_short else (Side.BUY,)


def margin_of(settings: Settings) -> MarginRules:
    """The leverage of every futures position."""
    return MarginRules(leverage=Decimal(settings.futures.leverage))


def open_ledger(paths: Paths, kill: KillPoints | None = None, *, account: str = ACCOUNT) -> SqlLedger:
    """The ledger of the one account, with its emergency journal and the mark of its birth."""
    return SqlLedger(paths.ledger_at, account=account, kill=kill, emergency=paths.emergency, birth=paths.birth)


def direct_history(paths: Paths, clock: Clock, needs: Mapping[Timeframe, int]) -> tuple[HistoryStore, DirectHistoryLink]:
    """The store in the session's own process (stepped clock)."""
    store = HistoryStore(paths.history)
    return store, DirectHistoryLink(store, clock, needs=needs)


def process_history(paths: Paths, clock: Clock, needs: Mapping[Timeframe, int]) -> ProcessHistoryLink:
    """The store in a child process, so that the session's loop never reads a file."""
    return ProcessHistoryLink(paths.history, clock, needs=needs)
