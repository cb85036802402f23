"""HTTP door of the futures twin: /derivatives/api, /api/charts, /api/history (KRAKEN.md sections 4, 6 and 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from trader.ports import Clock
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import content_uuid
from trader.simulation.kraken_server.futures import form
from trader.simulation.kraken_server.futures.account import FuturesAccountDoor
from trader.simulation.kraken_server.futures.call import FuturesCall, bare, derivatives
from trader.simulation.kraken_server.futures.charts import FuturesCharts
from trader.simulation.kraken_server.futures.history import PAGE, FuturesHistory
from trader.simulation.kraken_server.futures.limits import FuturesLimits, cost_of, tokens_of
from trader.simulation.kraken_server.futures.market import FuturesMarket
from trader.simulation.kraken_server.futures.orders import FuturesOrders
from trader.simulation.kraken_server.futures.public import FuturesPublic
from trader.simulation.kraken_server.futures.signing import authent, same
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.kraken_server.wire.middleware import Dialect, Middleware
from trader.simulation.kraken_server.wire.replies import deliver
from trader.simulation.kraken_server.wire.signing import fingerprint

PLACE = "futures:"  # how fault plans name its endpoints
SecretOf = Callable[[str], str | None]


class FuturesDoor:
    """Routes, signatures, limits. `secret_of` knows the secret of an API key; `settled` sends what the streams have to say."""

    def __init__(
        self,
        market: FuturesMarket,
        middleware: Middleware,
        limits: FuturesLimits,
        *,
        secret_of: SecretOf,
        settled: Callable[[], Awaitable[None]],
        switches: Switches,
    ) -> None:
        exchange, clock, seed = market.exchange, market.clock, market.seed
        self._exchange: FuturesExchange = exchange
        self._clock: Clock = clock
        self._middleware, self.limits, self._secret_of, self._settled = middleware, limits, secret_of, settled
        self.uid = content_uuid(seed, "account")
        orders = FuturesOrders(exchange, clock, self._arm, status_method=switches.orders_status_method)
        public = FuturesPublic(market, FuturesCharts(market))
        self.history = FuturesHistory(exchange, clock, self.uid)
        self._public, self._charts, self._events = public.handlers, public.charts, public.events
        self._private = {**orders.handlers, **FuturesAccountDoor(exchange, clock, self.uid).handlers}
        self._history = self.history.handlers
        names = dict.fromkeys(key.split(" ")[1].replace("/{}", "") for key in (*self._public, *self._private))
        events = [f"market/{name}" for name in self._events]
        self.places = tuple(f"{PLACE}{name}" for name in dict.fromkeys((*names, "charts", *self._history, *events)))
        self._switch: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Everything the clients call; unknown paths answer notFound as Kraken does."""
        for version in ("v3", "v4"):
            app.router.add_route("*", f"/derivatives/api/{version}/{{name:.+}}", self._derivatives)
        app.router.add_get("/api/charts/v1/{path:.*}", self._chart)
        app.router.add_get("/api/charts/v1", self._chart)
        for version in ("v2", "v3"):
            app.router.add_get(f"/api/history/{version}/market/{{symbol}}/{{name}}", self._market_history)
            app.router.add_get(f"/api/history/{version}/{{name}}", self._private_history)

    def start(self) -> None:
        """Take up a switch that was armed before a restart."""
        if self._exchange.state.switch_us:
            self._arm()

    async def close(self) -> None:
        """Stop the switch's timer."""
        if self._switch is not None:
            self._switch.cancel()
            await asyncio.gather(self._switch, return_exceptions=True)

    def _arm(self) -> None:
        """Have the dead-man's switch fire on time."""
        if self._switch is not None:
            self._switch.cancel()
        self._switch = asyncio.create_task(self._wait(), name="futures switch") if self._exchange.state.switch_us else None

    async def _wait(self) -> None:
        await self._clock.sleep_until(self._exchange.state.switch_us)
        if self._exchange.fire(self._clock.now_us()):
            await self._settled()

    # --- requests --------------------------------------------------------------------------------------------------
    async def _derivatives(self, request: web.Request) -> web.StreamResponse:
        name, parts = _template(request.match_info["name"])
        call = await self._call(request, name, f"{request.method} {name}", parts)
        call.private = call.endpoint in self._private
        words = derivatives(self._clock.now_us, call.endpoint)
        return await self._run(request, call, words, {**self._public, **self._private}.get(call.endpoint))

    async def _chart(self, request: web.Request) -> web.StreamResponse:
        parts = tuple(part for part in request.match_info.get("path", "").split("/") if part)
        call = await self._call(request, "charts", "charts", parts)
        return await self._run(request, call, bare(self._clock.now_us), self._charts.get(len(parts)))

    async def _market_history(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        call = await self._call(request, f"market/{name}", name, (request.match_info["symbol"],))
        return await self._run(request, call, bare(self._clock.now_us), self._events.get(name))

    async def _private_history(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        call = await self._call(request, name, f"history {name}", ())
        call.private = name in self._history
        return await self._run(request, call, bare(self._clock.now_us), self._history.get(name))

    async def _call(self, request: web.Request, name: str, endpoint: str, parts: tuple[str, ...]) -> FuturesCall:
        raw, query = await request.read(), request.rel_url.raw_query_string
        items = parse_qsl(query, keep_blank_values=True) + form.body_items(raw)
        fields = dict(items)
        if parts and endpoint != "charts":
            fields.setdefault("symbol", parts[0])
        return FuturesCall(
            name=PLACE + name.replace("/{}", ""),
            endpoint=endpoint,
            method=request.method,
            path=request.path,
            private=False,
            raw=raw,
            query=query.encode(),
            headers=request.headers,
            fields=fields,
            items=items,
            parts=parts,
            arrived_us=self._clock.now_us(),
            address=request.remote or "",
        )

    async def _run(
        self, request: web.Request, call: FuturesCall, words: Dialect, handler: Callable[[FuturesCall], Any] | None
    ) -> web.StreamResponse:
        def admit(_: Any) -> None:
            if handler is None:
                raise Refused("notFound")
            if call.private:
                self._admit(call)

        def effect(_: Any) -> Any:
            assert handler is not None
            return handler(call)

        reply = await self._middleware.run(call, admit, effect, self._settled, words)
        return await deliver(request, reply, self._middleware.stopped)

    def _admit(self, call: FuturesCall) -> None:
        """Key, signature, nonce, rate, in that order; a nonce is optional and counts only under a good signature."""
        key, nonce = call.headers.get("APIKey", ""), call.headers.get("Nonce", "")
        secret = self._secret_of(key)
        if secret is None or not same(call.headers.get("Authent", ""), authent(call.path, call.query + call.raw, nonce, secret)):
            raise Refused("authenticationError")
        call.key = fingerprint(key)
        if nonce:
            wrong = self._exchange.use_nonce(call.key, int(nonce)) if nonce.isdecimal() and len(nonce) <= 20 else "nonceBelowThreshold"
            if wrong is not None:
                raise Refused(wrong)
        now_us, (_, name) = self._clock.now_us(), call.endpoint.split(" ")
        if call.endpoint.startswith("history "):
            self.limits.take_tokens(call.key, tokens_of(name, form.whole(call.fields, "count", PAGE)), now_us)
        else:
            size = len(form.batch(call.fields)) if name == "batchorder" else 0
            self.limits.take_units(call.key, cost_of(name, call.method, call.fields, size), now_us)


def _template(name: str) -> tuple[str, tuple[str, ...]]:
    """`tickers/PF_XBTUSD` -> (`tickers/{}`, the symbol); other names stay as they are."""
    parts = name.strip("/").split("/")
    if parts[0] == "tickers" and len(parts) == 2:
        return "tickers/{}", (parts[1],)
    if parts[0] == "instruments" and len(parts) == 3 and parts[2] == "status":
        return "instruments/{}/status", (parts[1],)
    return "/".join(parts), ()
