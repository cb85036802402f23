"""The private channels: executions and balances, their snapshots, and what waits to be told (KRAKEN.md sections 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import BalanceChange, Event, Refused
from trader.simulation.kraken_server.spot.keyring import DENIED, Keyring, allowed
from trader.simulation.kraken_server.spot.limits import RateLimits
from trader.simulation.kraken_server.spot.render import iso
from trader.simulation.kraken_server.stream.connection import Connection
from trader.simulation.kraken_server.stream.execution_items import execution, live_status, order_fields, totals
from trader.simulation.kraken_server.stream.public_channels import ALREADY, NOT_FOUND
from trader.simulation.kraken_server.timed_faults import LateOrders
from trader.simulation.kraken_server.wire.compact import dumps

CHANNELS = ("executions", "balances")
INVALID_SESSION = "ESession:Invalid session"
NEEDS = {"executions": "OpenOrders", "balances": "Balance"}  # channel -> endpoint whose permission it takes
FILLS_SHOWN = 50  # newest fills of the executions snapshot
OPENING_AND_CLOSING = frozenset(("new", "trade", "filled", "canceled", "expired"))  # what order_status false leaves
WARNINGS = ["cancel_reason is deprecated, use reason"]

Sent = tuple[Connection, str, str, str]  # to whom, channel, symbol or asset, frame


class PrivateChannels:
    """Listens to the account. `late`: orders that are not shown yet (a fault).

    `batched`: a fill and the end it brings share a frame; `trade_says_filled`: the fill that fills an order says so itself.
    """

    def __init__(
        self,
        exchange: TwinExchange,
        limits: RateLimits,
        keyring: Keyring,
        late: LateOrders,
        *,
        batched: bool,
        trade_says_filled: bool,
    ) -> None:
        self._exchange, self._limits, self._keyring, self._late = exchange, limits, keyring, late
        self._batched, self._says_filled = batched, trade_says_filled
        self._queue: list[tuple[str, dict[str, Any], str]] = []
        exchange.listeners.append(self._on_event)
        exchange.balance_listeners.append(self._on_balance)

    def admit(self, connection: Connection, token: object, endpoint: str) -> None:
        """Raise Refused for a token that is not valid, or whose key may not do what this REST endpoint does.

        A token that holds a private subscription on this connection does not grow old.
        """
        held = bool(connection.sequences) and isinstance(token, str) and token in connection.tokens
        key = self._keyring.session(token, held=held)
        if key is None:
            raise Refused(INVALID_SESSION)
        if not allowed(key, endpoint):
            raise Refused(DENIED)

    def subscribe(self, connection: Connection, channel: str, params: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """(result of the answer, snapshot frame), which has sequence number 1. Raises Refused."""
        self.admit(connection, params.get("token"), NEEDS[channel])
        if channel in connection.sequences:
            raise Refused(ALREADY)
        connection.tokens[params["token"]] = None
        connection.sequences[channel] = 1
        result, data = self._executions(connection, params) if channel == "executions" else self._balances()
        snapshot = dumps({"channel": channel, "type": "snapshot", "data": data, "sequence": 1})
        return {"channel": channel} | result, snapshot

    def unsubscribe(self, connection: Connection, channel: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """End a private subscription. Raises Refused."""
        self.admit(connection, params.get("token"), NEEDS[channel])
        if connection.sequences.pop(channel, None) is None:
            raise Refused(NOT_FOUND)
        return {"channel": channel}

    # --- what happened ---------------------------------------------------------------------------------------------
    @property
    def waiting(self) -> bool:
        """Whether anything happened that `drain` has not told yet, or could not."""
        return bool(self._queue)

    def drain(self, connections: Sequence[Connection], now_us: int) -> Iterator[Sent]:
        """Frames that tell what happened since the last call, in order, numbered for each connection."""
        queue, self._queue = self._late.split(self._queue)
        for channel, rows, subject in self._grouped(queue):
            for connection in connections:
                if channel not in connection.sequences:
                    continue
                data = [self._shown(connection, row, subject, now_us) for row in rows if _wanted(connection, channel, row)]
                if data:
                    connection.sequences[channel] += 1
                    frame = {"channel": channel, "type": "update", "data": data, "sequence": connection.sequences[channel]}
                    yield connection, channel, subject, dumps(frame)

    def _grouped(self, queue: Sequence[tuple[str, dict[str, Any], str]]) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
        """One item a frame, or (batched) the last fill of an order together with its end."""
        waiting: list[dict[str, Any]] = []
        for index, (channel, row, subject) in enumerate(queue):
            waiting.append(row)
            following = queue[index + 1][1] if index + 1 < len(queue) else {}
            ends = row.get("exec_type") == "trade" and following.get("exec_type") == "filled"
            if not (self._batched and ends and row["order_id"] == following["order_id"]):
                yield channel, waiting, subject
                waiting = []

    def _shown(self, connection: Connection, row: dict[str, Any], subject: str, now_us: int) -> dict[str, Any]:
        if not connection.ratecounter or "exec_type" not in row:
            return row
        return row | {"ratecount": self._limits.engine_value(subject, now_us)}

    def _on_event(self, event: Event) -> None:
        row = execution(event, self._exchange.rule(event.order.pair), trade_says_filled=self._says_filled)
        self._queue.append(("executions", row, event.order.pair))

    def _on_balance(self, change: BalanceChange) -> None:
        row = wallet(change.asset, float(change.balance)) | {
            "ledger_id": change.ledger_id,
            "ref_id": change.ref_id,
            "timestamp": iso(change.time_us),
            "type": change.kind,
            "amount": float(change.amount),
            "fee": float(change.fee),
            "wallet_type": "spot",
            "wallet_id": "main",
        }
        self._queue.append(("balances", row, change.asset))

    # --- snapshots -------------------------------------------------------------------------------------------------
    def _executions(self, connection: Connection, params: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        orders, trades = params.get("snap_orders", True) is not False, params.get("snap_trades", False) is True
        connection.transitions = params.get("order_status", True) is not False
        connection.ratecounter = params.get("ratecounter", False) is True
        data = (self._open_orders() if orders else []) + (self._recent_fills() if trades else [])
        result: dict[str, Any] = {"snapshot": True, "snap_orders": orders, "snap_trades": trades, "warnings": WARNINGS}
        if self._limits.tier is not None:
            result["maxratecount"] = self._limits.tier.engine_max
        return result, data

    def _balances(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return {"snapshot": True}, [wallet(asset, float(total)) for asset, total in sorted(self._exchange.state.balances.items())]

    def _open_orders(self) -> list[dict[str, Any]]:
        rows = []
        for order in self._exchange.open_orders():
            if self._late.hides(order.txid, order.refid):
                continue
            rules = self._exchange.rule(order.pair)
            ids = {"order_id": order.txid, "order_userref": order.userref, "exec_type": "new", "order_status": live_status(order)}
            rows.append(ids | order_fields(order, rules) | totals(order, rules) | {"timestamp": iso(order.opened_us)})
        return rows

    def _recent_fills(self) -> list[dict[str, Any]]:
        state, rows = self._exchange.state, []
        for trade in sorted(state.trades.values(), key=lambda item: item.number)[-FILLS_SHOWN:]:
            event = Event(kind="trade", order=state.orders[trade.txid], time_us=trade.time_us, trade=trade)
            rows.append(execution(event, self._exchange.rule(trade.pair)))
        return rows


def wallet(asset: str, balance: float) -> dict[str, Any]:
    """A balance as the balances channel shows it."""
    row = {"asset": asset, "asset_class": "currency", "balance": balance}
    return row | {"wallets": [{"type": "spot", "id": "main", "balance": balance}]}


def _wanted(connection: Connection, channel: str, row: Mapping[str, Any]) -> bool:
    return channel != "executions" or connection.transitions or row["exec_type"] in OPENING_AND_CLOSING
