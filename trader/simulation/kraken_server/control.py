"""The twin's own routes: what it counted, and levers for tests. Not part of Kraken's API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from trader.errors import ConfigError
from trader.simulation.faults import parse_fault
from trader.simulation.kraken_server.frames import dumps

if TYPE_CHECKING:
    from trader.simulation.kraken_server.app import KrakenTwin


def add_routes(app: web.Application, twin: KrakenTwin) -> None:
    """GET /_twin; POST /_twin/release; POST /_twin/inject with one fault as JSON, in the words of the fault plan."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=dumps(figures(twin)), content_type="application/json")

    async def release(_: web.Request) -> web.Response:
        return web.Response(text=dumps({"released": twin.middleware.release()}), content_type="application/json")

    async def inject(request: web.Request) -> web.Response:
        try:
            row = json.loads(await request.read())
            if not isinstance(row, dict):
                raise ConfigError(f"inject: a fault is a JSON object, not {row!r}")
            twin.inject(parse_fault(row, places=twin.places))
        except (ValueError, ConfigError) as error:
            return web.Response(text=dumps({"error": str(error)}), status=400, content_type="application/json")
        return web.Response(text=dumps({"faults": len(twin.plan.faults)}), content_type="application/json")

    app.router.add_get("/_twin", show)
    app.router.add_post("/_twin/release", release)
    app.router.add_post("/_twin/inject", inject)


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
        "orders": len(state.orders),
        "open_orders": len(twin.exchange.open_orders()),
        "trades": len(state.trades),
        "balances": {asset: str(total) for asset, total in sorted(state.balances.items())},
        "connections": len(twin.hub.connections),
        "frames": twin.hub.sent,
        "protection": {
            "max_unprotected_us": report.max_unprotected_us,
            "unprotected": dict(report.unprotected),
            "positions": {pair: str(quantity) for pair, quantity in report.positions.items()},
            "foreign_orders": list(report.foreign_orders),
        },
    }
