"""The twin's own routes: what it counted, and levers for tests. Not part of Kraken's API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from trader.errors import ConfigError
from trader.simulation.faults import parse_fault
from trader.simulation.kraken_server.wire.compact import dumps

if TYPE_CHECKING:
    from trader.simulation.kraken_server.app import KrakenTwin


Lever = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def add_routes(app: web.Application, twin: KrakenTwin) -> None:
    """GET /_twin: the figures. POST /_twin/inject, release, clear, disconnect: the levers; answers and bodies are JSON.

    Only for clients on this machine: others get 403. A body that is not allowed gets 400 and what is.
    """

    async def show(request: web.Request) -> web.Response:
        local_only(request)
        return _json(figures(twin))

    async def inject(row: dict[str, Any]) -> dict[str, Any]:
        twin.inject(parse_fault(row, places=twin.places))
        return {"faults": len(twin.plan.faults)}

    async def release(_: dict[str, Any]) -> dict[str, Any]:
        return {"released": twin.middleware.release()}

    async def clear(_: dict[str, Any]) -> dict[str, Any]:
        count = len(twin.plan.faults)
        await twin.clear_faults()
        return {"cleared": count}

    async def disconnect(row: dict[str, Any]) -> dict[str, Any]:
        if set(row) - {"private"} or not isinstance(row.get("private", False), bool):
            raise ConfigError("disconnect: only { private = true | false } is allowed")
        return {"disconnected": twin.hub.disconnect(private_only=row.get("private", False))}

    levers: Mapping[str, Lever] = {"inject": inject, "release": release, "clear": clear, "disconnect": disconnect}
    app.router.add_get("/_twin", show)
    for name, lever in levers.items():
        app.router.add_post(f"/_twin/{name}", _handler(lever))


def _handler(lever: Lever) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        local_only(request)
        raw = await request.read()
        try:
            row = json.loads(raw) if raw else {}
            if not isinstance(row, dict):
                raise ConfigError(f"the body must be a JSON object, not {row!r}")
            return _json(await lever(row))
        except (ValueError, ConfigError) as error:
            return _json({"error": str(error)}, status=400)

    return handle


def local_only(request: web.Request) -> None:
    """Raises 403 for a client on another machine."""
    if request.remote not in ("127.0.0.1", "::1"):
        raise web.HTTPForbidden(text="the twin's levers are for its own machine")


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(text=dumps(value), status=status, content_type="application/json")


def figures(twin: KrakenTwin) -> dict[str, Any]:
    """Counters and the protection report as JSON values."""
    report, state = twin.protection_report(), twin.exchange.state
    return {
        "now_us": twin.clock.now_us(),
        "tick_us": state.tick_us,
        "requests": dict(sorted(twin.middleware.counters.items())),
        "limits": twin.limits.figures(twin.clock.now_us()),
        "held_replies": twin.middleware.held,
        "faults_fired": dict(sorted(twin.plan.fired.items())),
        "faults_missed": dict(sorted(twin.plan.missed.items())),
        "writes": dict(sorted(twin.middleware.writes.counts.items())),
        "orders": len(state.orders),
        "open_orders": len(twin.exchange.open_orders()),
        "trades": len(state.trades),
        "balances": {asset: str(total) for asset, total in sorted(state.balances.items())},
        "connections": len(twin.hub.connections),
        "frames": twin.hub.sent,
        "futures": twin.futures.figures(),
        "protection": {
            "max_unprotected_us": report.max_unprotected_us,
            "unprotected": dict(report.unprotected),
            "positions": {pair: str(quantity) for pair, quantity in report.positions.items()},
            "foreign_orders": list(report.foreign_orders),
        },
    }
