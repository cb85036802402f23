"""What Kraken's documentation leaves open, or a client wants otherwise, each with a name: the twin's switches and their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from trader.errors import ConfigError
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.kraken_server.spot.paging import PAGE

STYLES = ("refuse", "cancel")
STATUS_METHODS = ("both", "GET", "POST")
_TRUTHS = {"on": True, "true": True, "off": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How the twin behaves where there is more than one way.

    `frames_per_minute`: candle frames a minute, 1 or 4; `heartbeat_s`: the longest silence on WebSocket v2, which a heartbeat ends;
    `batched_executions`: a fill and the end it brings come in one executions frame; `trade_says_filled`: the fill itself says so
    already (Kraken's documentation shows neither, its clients have met both);
    `messages_per_s`: more from one connection get "Exceeded msg rate" (None: not counted; Kraken names no number);
    `closed_page_size`: orders a page of ClosedOrders; `fee_tiers`: fees fall with the account's volume instead of staying at the
    base tier; `post_only_style`: what becomes of a post-only order that would trade, refuse or cancel;
    `orders_status_method`: how futures serve orders/status, documented as POST, called by clients as GET; the other one gets HTTP 405.
    """

    frames_per_minute: int = 1
    heartbeat_s: float = 1.0
    batched_executions: bool = False
    trade_says_filled: bool = False
    messages_per_s: int | None = None
    closed_page_size: int = PAGE
    fee_tiers: bool = False
    post_only_style: str = "refuse"
    orders_status_method: str = "both"

    def __post_init__(self) -> None:
        if self.frames_per_minute not in (1, 4):
            raise ConfigError(f"frames_per_minute {self.frames_per_minute!r} must be 1 or 4")
        if not self.heartbeat_s > 0:
            raise ConfigError(f"heartbeat_s {self.heartbeat_s!r} must be above 0")
        for name, least in (("messages_per_s", self.messages_per_s), ("closed_page_size", self.closed_page_size)):
            if least is not None and least < 1:
                raise ConfigError(f"{name} {least!r} must be at least 1")
        if self.post_only_style not in STYLES:
            raise ConfigError(f"post_only_style {self.post_only_style!r} must be {' or '.join(STYLES)}")
        if self.orders_status_method not in STATUS_METHODS:
            raise ConfigError(f"orders_status_method {self.orders_status_method!r} must be one of {', '.join(STATUS_METHODS)}")


_OF_LIMITS = tuple(item.name for item in fields(LimitRules) if item.name != "tier")
NAMES = (*(item.name for item in fields(Switches)), *_OF_LIMITS)
_KINDS: dict[str, Any] = get_type_hints(Switches) | get_type_hints(LimitRules)


def read_switches(texts: Sequence[str], *, tier: str | None) -> tuple[Switches, LimitRules]:
    """`NAME=VALUE`, the last one of a name counts: the switches, and the rate limits of `tier` with theirs. Raises ConfigError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in NAMES or not equals:
            raise ConfigError(f"--switch {text!r}: write NAME=VALUE; NAME is one of {', '.join(NAMES)}")
        found[name] = _value(text, _KINDS[name], value)
    try:
        limits = LimitRules(tier=tier, **{name: value for name, value in found.items() if name in _OF_LIMITS})
        return Switches(**{name: value for name, value in found.items() if name not in _OF_LIMITS}), limits
    except ConfigError as error:
        raise ConfigError(f"--switch: {error}" if found else str(error)) from error


def _value(text: str, kind: Any, value: str) -> Any:
    if kind is bool:
        if value not in _TRUTHS:
            raise ConfigError(f"--switch {text!r}: the value is one of {', '.join(_TRUTHS)}")
        return _TRUTHS[value]
    if kind is str:
        return value
    try:
        return float(value) if kind is float else int(value)
    except ValueError:
        raise ConfigError(f"--switch {text!r}: the value is a {'' if kind is float else 'whole '}number") from None
