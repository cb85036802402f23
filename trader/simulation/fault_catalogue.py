"""Every fault the Kraken twin can play: its argument, where it may happen, and whether it comes before or after the effect.

A place is an endpoint (`AddOrder`, `futures:sendorder`), a channel (`ohlc`, `executions`, `futures_ws:fills`), a method of the
WebSocket (`subscribe`, `add_order`), or one of `account`, `system` and `pair`, where faults come by time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trader.simulation import fault_args as args
from trader.simulation.fault_args import ArgCheck

ENDPOINT, CHANNEL, METHOD = "endpoint", "channel", "method"
BY_TIME = ("account", "system", "pair")
METHODS = (
    "subscribe", "unsubscribe", "ping", "add_order", "amend_order", "edit_order", "cancel_order", "cancel_all",
    "cancel_all_orders_after", "batch_add", "batch_cancel",
)  # fmt: skip
FUTURES, FUTURES_WS = "futures:", "futures_ws:"  # prefixes of the futures twin's endpoints and feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One kind of fault. `at`: kinds of places or names; `before` / `after`: on which sides of the effect it may happen.

    With both, the plan's `effect` chooses, and `before` is the default.
    """

    arg: ArgCheck = args.no_arg
    at: tuple[str, ...] = (ENDPOINT,)
    before: bool = True
    after: bool = False
    about: str


def place_kind(where: str) -> str:
    """endpoint, channel, method, or the place itself where faults come by time."""
    if where in BY_TIME:
        return where
    name = where.removeprefix(FUTURES_WS)
    if name in METHODS or name == "challenge":
        return METHOD
    return ENDPOINT if where.startswith(FUTURES) or where[:1].isupper() else CHANNEL


def _both(about: str, arg: ArgCheck = args.no_arg, *at: str) -> Action:
    return Action(arg=arg, at=at or (ENDPOINT,), after=True, about=about)


def _after(about: str, arg: ArgCheck = args.no_arg, *at: str) -> Action:
    return Action(arg=arg, at=at or (ENDPOINT,), before=False, after=True, about=about)


def _before(about: str, arg: ArgCheck = args.no_arg, *at: str) -> Action:
    return Action(arg=arg, at=at or (ENDPOINT,), about=about)


def _frame(about: str, arg: ArgCheck = args.no_arg) -> Action:
    return Action(arg=arg, at=(CHANNEL,), about=about)


def _timed(about: str, arg: ArgCheck, at: str) -> Action:
    return Action(arg=arg, at=(at,), about=about)


TRANSPORT: Mapping[str, Action] = {
    "lost_request": _before("the connection closes, nothing happened", args.no_arg, ENDPOINT, METHOD),
    "lost_response": _after("it happened, the connection closes without an answer", args.no_arg, ENDPOINT, METHOD),
    "reset": _both("the connection is reset (RST), where lost_request and lost_response end it (FIN)"),
    "half_open": _both("never answered; what comes later on this connection is not read"),
    "hang": _both("never answered", args.no_arg, ENDPOINT, METHOD),
    "delay": _both("answered so many seconds later", args.seconds, ENDPOINT, METHOD),
    "hold_reply": _after("it happened; the answer waits for POST /_twin/release"),
    "drip": _after("the answer comes byte by byte, one every so many seconds", args.seconds),
}
ANSWERS: Mapping[str, Action] = {
    "http": _both("this status with a proxy's HTML page", args.status),
    "html": _both("status 200 with an HTML page"),
    "error": _both("this error string", args.text, ENDPOINT, METHOD),
    "nonce_reject": _before("EAPI:Invalid nonce, though the nonce was fine"),
    "txid_beside_error": _after("this error string beside the result", args.text),
    "warning": _after("this warning beside the result", args.warning),
    "cut_json": _after("the first half of the answer"),
    "malformed": _after("an answer that is no envelope: " + ", ".join(args.MALFORMED), args.one_of(*args.MALFORMED)),
    "huge": _after("the answer behind so many megabytes of padding", args.megabytes),
    "gzip_bomb": _after("as huge, but compressed on the wire", args.megabytes),
    "rename": Action(
        arg=args.renaming, at=(ENDPOINT, CHANNEL, METHOD), before=False, after=True, about="a field of the answer or frame has another name"
    ),
    "drop_field": Action(
        arg=args.path, at=(ENDPOINT, CHANNEL, METHOD), before=False, after=True, about="a field of the answer or frame is missing"
    ),
    "non_monotonic": _after("two candles change places", args.no_arg, "OHLC"),
    "hide_fills": _after("orders that ended are shown as canceled, with nothing filled", args.no_arg, "QueryOrders", "ClosedOrders"),
    "cross": _after("bid and ask change places", args.no_arg, "Ticker"),
    "nan": _after("a candle holds no number", args.no_arg, "OHLC", "ohlc"),
    "negative": _after("a candle has a negative low", args.no_arg, "OHLC", "ohlc"),
    "gap": _after("a candle, or a frame, is missing", args.no_arg, "OHLC", "ohlc"),
}
ORDERS: Mapping[str, Action] = {
    "swallow_stops": _after("accepts stops and forgets them", args.no_arg, "AddOrder"),
    "ack_lag": _after(
        "the accepted order is seen so many seconds later in OpenOrders, ClosedOrders, TradesHistory and executions",
        args.seconds,
        "AddOrder",
    ),
    "partial_fill": _after("an order that meets the market fills this share of its volume only", args.share, "AddOrder"),
    "cancel_ignored": _after("the cancel is acknowledged, the order stays", args.no_arg, "CancelOrder"),
    "fill_at_cancel": _after("the order fills at the market the moment before its cancel", args.no_arg, "CancelOrder"),
    "expire_token": _after("the token has run out when it is handed over", args.no_arg, "GetWebSocketsToken"),
    "msg_rate": _before("Exceeded msg rate", args.no_arg, METHOD),
}
FRAMES: Mapping[str, Action] = {
    "ws_drop": Action(at=(CHANNEL, METHOD), about="the socket is cut instead"),
    "ws_stall": _frame("the socket stays open and silent, for so many seconds or for ever", args.optional_seconds),
    "ws_duplicate": _frame("the frame comes twice"),
    "ws_reorder": _frame("the frame comes after the next one of its socket"),
    "ws_merge": _frame("its items come together with those of the next frame of its channel and kind"),
    "ws_lost": _frame("the frame never comes; its sequence number counts"),
    "ws_gap": _frame("sequence numbers jump by so many, nothing is missing", args.count),
    "ws_wrong_crc": _frame("the checksum is wrong"),
    "spike": Action(arg=args.factor, at=("ohlc", "trade"), about="prices of the frame are so many times what they were"),
    "ws_garbage": _frame("instead of the frame: " + ", ".join(args.GARBAGE), args.one_of(*args.GARBAGE)),
}
TIMED: Mapping[str, Action] = {
    "foreign_fill": _timed("somebody else trades on the account", args.foreign, "account"),
    "clock_skew": _timed("the exchange's clock is so many seconds ahead (or behind)", args.offset, "system"),
    **{
        mode: _timed(f"the exchange is in {mode} mode for a while", args.window(), "system")
        for mode in ("maintenance", "cancel_only", "post_only")
    },
    "pair_status": _timed(
        "a pair has another status: " + ", ".join(args.PAIR_STATES),
        args.window(pair=args.text, status=args.one_of(*args.PAIR_STATES)),
        "pair",
    ),
    "delist": _timed("a pair is taken off the exchange, its orders end", args.window(pair=args.text), "pair"),
    "raise_minimum": _timed("a pair takes no smaller orders than this", args.window(pair=args.text, ordermin=args.quantity), "pair"),
}
KRAKEN_ACTIONS: Mapping[str, Action] = {**TRANSPORT, **ANSWERS, **ORDERS, **FRAMES, **TIMED}


def misplaced(where: str, action: str, actions: Mapping[str, Action]) -> str | None:
    """Why an action cannot happen at a place: what is allowed instead; None where it can."""
    kind, at = place_kind(where), actions[action].at
    if where in at or kind in at:
        return None
    if not set(at) & {ENDPOINT, CHANNEL, METHOD}:
        return f"{action} happens at {' or '.join(at)}"
    here = [name for name, other in actions.items() if where in other.at or kind in other.at]
    return f"at {where} one of {', '.join(here)}"
