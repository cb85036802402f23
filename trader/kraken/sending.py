"""What both order sides do around the one call of an order: deadlines, what is refused before a byte leaves, what an end proves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from trader.domain.market import SECOND, Instrument
from trader.domain.orders import Ambiguous, Rejected
from trader.errors import FatalError, RejectedError, RetryableError, TraderError
from trader.kraken.instruments import amend_refusal
from trader.kraken.outcomes import Class
from trader.kraken.translate import rfc3339
from trader.kraken.transport import NotSent, Refused, Unanswered

HURRY_US = SECOND  # a deadline nearer than this cannot be met
CANCEL_PATIENCE_S = 2.0  # longest wait of our own limiter before a cancel is given up


def left_s(deadline_us: int, now_us: int) -> float:
    """How long a call may wait before its deadline can no longer be met."""
    return max(0.0, (deadline_us - HURRY_US - now_us) / SECOND)


def must_be_timely(deadline_us: int, now_us: int) -> None:
    """Raises NotSent for a deadline that has as good as passed."""
    if deadline_us - now_us < HURRY_US:
        raise NotSent(f"the deadline {rfc3339(deadline_us)} has passed or is too near at {rfc3339(now_us)}")


def not_on_rules(message: str) -> Rejected:
    """An order our own check refused; nothing was sent."""
    return Rejected(kind=Class.SIZE, message=f"not sent: {message}")


def unknown_rules(pair: str) -> Rejected:
    """An order of a pair whose steps and minimums nobody told us; nothing was sent."""
    return Rejected(kind=Class.PAIR, message=f"not sent: the rules of {pair} are not known")


def amend_refused(rules: Instrument | None, quantity: Decimal | None, trigger_price: Decimal | None) -> Rejected | None:
    """Why an amend is not sent: it changes nothing, or breaks the rules where they are known."""
    if quantity is None and trigger_price is None:
        return Rejected(kind=Class.BUG, message="not sent: an amend changes the quantity, the trigger or both")
    message = None if rules is None else amend_refusal(rules, quantity, trigger_price)
    return None if message is None else not_on_rules(message)


async def named(reading: Awaitable[str]) -> str | Rejected:
    """The venue's name of an order's pair, or why the order cannot be sent."""
    try:
        return await reading
    except RejectedError as error:
        return Rejected(kind=Class.PAIR, message=f"not sent: {error}")
    except TraderError as error:
        return Rejected(kind=Class.LATER, message=f"not sent: the venue's names could not be read: {error}")


def limited(delay_s: float, patience_s: float) -> Rejected | None:
    """The answer where our own limit asks for more patience than there is."""
    if delay_s <= patience_s:
        return None
    return Rejected(kind=Class.LATER, message=f"not sent: our own limit asks for {delay_s:.1f} s", retry_after_s=delay_s)


async def sent_once(call: Awaitable[Any], judge: Callable[[Refused], Rejected | Ambiguous]) -> Any | Rejected | Ambiguous:
    """The result of an order call, or what its end proves; `judge` reads the venue's words. Never raises but for cancellation."""
    try:
        return await call
    except (NotSent, RetryableError) as error:
        return Rejected(kind=Class.LATER, message=f"not sent: {error}")
    except FatalError as error:
        return Rejected(kind=Class.AUTH, message=f"not sent: {error}")
    except Unanswered as error:
        return Ambiguous(message=str(error))
    except Refused as refused:
        return judge(refused)
