"""The Kraken twin: matching engine, REST and WebSocket v2 in one aiohttp server, driven by a clock and a market."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import web

from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.drive import run_ticks
from trader.simulation.exchange_account import ProtectionReport
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Refused
from trader.simulation.fault_catalogue import BY_TIME, METHODS
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.fills import FillRules, Tick
from trader.simulation.kraken_server import control
from trader.simulation.kraken_server.futures.limits import FuturesLimitRules
from trader.simulation.kraken_server.futures.twin import FuturesTwin
from trader.simulation.kraken_server.spot import archive_http
from trader.simulation.kraken_server.spot.account import SpotAccount
from trader.simulation.kraken_server.spot.assets import Assets
from trader.simulation.kraken_server.spot.fee_tiers import FeeTiers
from trader.simulation.kraken_server.spot.keyring import ApiKey, Keyring
from trader.simulation.kraken_server.spot.ledger import SpotLedger
from trader.simulation.kraken_server.spot.limits import LimitRules, RateLimits
from trader.simulation.kraken_server.spot.market_view import QUOTE_DECIMALS, MarketView, engine_of
from trader.simulation.kraken_server.spot.order_desk import OrderDesk
from trader.simulation.kraken_server.spot.order_form import parse_body
from trader.simulation.kraken_server.spot.order_lookups import OrderLookups
from trader.simulation.kraken_server.spot.orders import SpotOrders
from trader.simulation.kraken_server.spot.public import Handler, SpotPublic
from trader.simulation.kraken_server.stream.hub import Hub
from trader.simulation.kraken_server.stream.order_methods import OrderMethods
from trader.simulation.kraken_server.stream.private_channels import PrivateChannels
from trader.simulation.kraken_server.stream.subscriptions import PRIVATE, PUBLIC
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.kraken_server.timed_faults import SkewedClock, TimedFaults
from trader.simulation.kraken_server.wire.middleware import Call, Middleware
from trader.simulation.kraken_server.wire.replies import Reply, deliver
from trader.simulation.kraken_server.wire.tls import make_certificate, server_context
from trader.simulation.market import Market, Row

QUIET_S = 1e9  # aiohttp's own keep-alive timer; on a simulated clock every timer is a jump


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about, before its body is read; `query` as it came, still quoted."""

    path: str
    query: str
    content_type: str


class KrakenTwin:
    """One account on one exchange. `state_dir` holds its books (None: memory only); `tag`: the installation whose orders are "ours".

    `keys`, or one key with every trading right by `api_key` and `api_secret`, open the private door.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        state_dir: Path | None,
        plan: FaultPlan,
        api_key: str = "",
        api_secret: str = "",
        keys: Sequence[ApiKey] = (),
        seed: int,
        tag: str,
        starting_cash: Decimal,
        fills: FillRules | None = None,
        limits: LimitRules | None = None,
        switches: Switches | None = None,
        futures_limits: FuturesLimitRules | None = None,
    ) -> None:
        switches = switches or Switches()
        self.market, self.clock, self.plan = market, clock, plan
        self._books = Books(state_dir)
        self.exchange = engine_of(
            market, cash=starting_cash, fills=fills or FillRules(), books=self._books, seed=seed, tag=tag, start_us=clock.now_us()
        )
        self.view = MarketView(market, self.exchange, seed)
        self.middleware = Middleware(plan=plan, clock=clock, seed=seed)
        self.limits = RateLimits(limits or LimitRules())
        ring = tuple(keys) or (ApiKey(key=api_key, secret=api_secret),)
        self.shown = SkewedClock(clock)
        self.keyring = Keyring(ring, self.exchange, clock, self.limits)
        self.exchange.open_limit = self.limits.tier.open_orders if self.limits.tier else None
        self.exchange.post_only_style = switches.post_only_style
        self.exchange.due_listeners.append(self._set_alarm)
        self.desk = OrderDesk(self.exchange, self.shown, self.limits)
        self.hub = self._stream(switches)
        self._fees = FeeTiers(self.exchange, tiers=switches.fee_tiers)
        self._public, self._private = self._endpoints(switches)
        self.futures = FuturesTwin(
            market,
            clock,
            self.view,
            self.middleware,
            state_dir=state_dir,
            seed=seed,
            starting_cash=starting_cash,
            fills=self.exchange.fills,
            secret_of=self.keyring.secret_of,
            limits=futures_limits,
            switches=switches,
        )
        self.places = (*self._public, *self._private, *PUBLIC, *PRIVATE, "status", *METHODS, *BY_TIME, *self.futures.places)
        self.timed = TimedFaults(self.exchange, clock, self.shown, plan, self.hub.flush)
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        for fault in plan.faults:
            if fault.where not in self.places:
                raise ConfigError(f"fault plan: where = {fault.where!r} is not allowed; one of {', '.join(self.places)}")

    # --- parts -----------------------------------------------------------------------------------------------------
    def _stream(self, switches: Switches) -> Hub:
        """WebSocket v2."""
        channels = PrivateChannels(
            self.exchange,
            self.limits,
            self.keyring,
            self.middleware.late_orders,
            batched=switches.batched_executions,
            trade_says_filled=switches.trade_says_filled,
        )
        methods = OrderMethods(self.desk, self.exchange, self.shown, channels)
        return Hub(self.view, self.shown, self.middleware, private=channels, orders=methods, switches=switches)

    def _endpoints(self, switches: Switches) -> tuple[Mapping[str, Handler], Mapping[str, Handler]]:
        """Public and private endpoints by name."""
        assets = Assets(self.market, quote_decimals=QUOTE_DECIMALS)
        public = SpotPublic(self.view, self.clock, shown=self.shown, assets=assets, fees=self._fees).handlers
        return public, {
            **SpotOrders(self.desk, self.exchange, self.view, self.shown).handlers,
            **OrderLookups(self.exchange, closed_page_size=switches.closed_page_size).handlers,
            **SpotAccount(self.exchange, self.view, self.clock, assets=assets, fees=self._fees).handlers,
            **SpotLedger(self.exchange, assets).handlers,
            **self.keyring.handlers,
        }

    # --- life ------------------------------------------------------------------------------------------------------
    async def start(self, host: str, port: int) -> int:
        """Work off the ticks that were due while nobody ran it, then listen; returns the port (useful for port 0)."""
        await self.run_market(self.clock.now_us())
        app = web.Application(client_max_size=1 << 20)
        for path in ("/0/public/{name}", "/0/private/{name}", "/0/{path:.*}"):  # whatever the method: Kraken refuses in its envelope
            app.router.add_route("*", path, self._rest)
        app.router.add_get("/v2", self.hub.handle)
        self.futures.add_routes(app)
        archive_http.add_routes(app, self.market, self.clock)
        control.add_routes(app, self)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=QUIET_S, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self._tasks.append(asyncio.create_task(self.hub.heartbeats(), name="twin heartbeats"))
        self.futures.start()
        for fault in self.plan.faults:
            self.timed.schedule(fault)
        for due_us in self.exchange.dues():
            self._set_alarm(due_us)
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else port

    async def start_tls(self, host: str, port: int, directory: Path) -> tuple[int, Path]:
        """Listen once more, behind a certificate kept in `directory`; returns the port and the certificate. Call it after `start`."""
        if self._runner is None:
            raise ConfigError("the TLS listener needs a twin that has been started")
        certificate, key = make_certificate(directory)
        site = web.TCPSite(self._runner, host, port, ssl_context=server_context(certificate, key))
        await site.start()
        return int(self._runner.addresses[-1][1]), certificate

    async def close(self) -> None:
        """Stop serving, drop clients, close the books."""
        self.middleware.stop()
        await self.middleware.late_orders.close()
        await self.timed.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.futures.close()
        await self.hub.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._books.close()

    # --- market ----------------------------------------------------------------------------------------------------
    async def run_market(self, until_us: int | None = None) -> None:
        """Work off the price ticks in order and tell the streams; returns after `until_us`."""
        await run_ticks(self.market, self.exchange, self.clock, self._moved, until_us)

    async def _moved(self, open_us: int, tick: Tick, row: Row) -> None:
        await self.hub.flush()
        await self.hub.publish(open_us, tick, row)
        await self.futures.moved(tick)

    def _set_alarm(self, due_us: int) -> None:
        """Let the exchange do at `due_us` what is due without a price."""
        self._tasks.append(asyncio.create_task(self._alarm(due_us), name="twin alarm"))

    async def _alarm(self, due_us: int) -> None:
        await self.shown.sleep_until(due_us)
        self.exchange.elapse(self.shown.now_us())
        await self.hub.flush()

    # --- faults and reports ----------------------------------------------------------------------------------------
    def protection_report(self) -> ProtectionReport:
        """How our holdings were covered so far, from the twin's own books."""
        return self.exchange.protection_report(self.clock.now_us())

    def inject(self, fault: Fault) -> None:
        """Put one more fault into force; the time of one that comes by time starts now."""
        self.timed.schedule(fault)
        self.plan.add(fault)

    async def clear_faults(self) -> None:
        """No more faults; what they changed for a time is as before."""
        self.plan.clear()
        await self.timed.clear()

    # --- REST ------------------------------------------------------------------------------------------------------
    async def _rest(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        target = Target(path=request.path, query=request.rel_url.raw_query_string, content_type=request.content_type)
        reply = await self.answer(target, raw, request.headers, address=request.remote or "")
        return await deliver(request, reply, self.middleware.stopped)

    async def answer(self, target: Target, raw: bytes, headers: Mapping[str, str], *, address: str) -> Reply:
        """The answer of the REST API to a request, however it came here; `headers` by their names in any case."""
        base, _, name = target.path.rpartition("/")
        private = base == "/0/private"
        call = Call(
            name=name if private or base == "/0/public" else target.path,
            path=target.path,
            private=private,
            raw=raw,
            headers=headers,
            fields={},
            arrived_us=self.shown.now_us(),
            address=address,
        )
        try:
            call.fields |= parse_body(raw, target.content_type)
            if not private:  # the query of a private call is not signed, hence not read
                call.fields |= parse_qsl(target.query, keep_blank_values=True)
        except Refused:
            call.flags["unreadable"] = True
        if rules := self.view.find(call.fields.get("pair", "")):
            call.fields["symbol"] = rules.symbol
        return await self.middleware.run(call, self._admit, self._effect, self.hub.flush)

    def _admit(self, call: Call) -> None:
        handlers = self._private if call.private else self._public
        if call.flags.get("unreadable"):
            raise Refused("EAPI:Bad request")
        if call.name not in handlers:
            raise Refused("EGeneral:Unknown method")
        if call.private:
            self.keyring.admit(call)
            self._fees.refresh(self.clock.now_us())
        else:
            self.limits.public(call.address, call.name, call.fields.get("symbol", ""), self.clock.now_us())

    def _effect(self, call: Call) -> object:
        handlers = self._private if call.private else self._public
        return handlers[call.name](call)
