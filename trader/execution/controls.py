"""A person's orders to the session: pause, resume, stop, exit, flatten. Each is answered in the ledger."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any

from trader.domain.account import PositionState
from trader.domain.halts import MISMATCH, asset_of
from trader.domain.money import ZERO
from trader.execution.accounting import Accounting
from trader.execution.held import Held
from trader.execution.keeper import Keeper
from trader.execution.moves import Moves
from trader.execution.wiring import Wiring
from trader.ports import Control

OPERATOR = "operator"
AGAIN_S = 10.0  # from one round of attempts to leave a position to the next
AT_ONCE = ("pause", "stop")
UNDER_WAY_S = 90  # an entry without an answer is found, or proved absent, within its deadline and grace
REBASED = ("DAILY_LOSS", "DRAWDOWN", "CONSECUTIVE_STOPS")
Spawn = Callable[[Coroutine[Any, Any, None], str], None]


def taken_back(verb: str, argument: str) -> bool:
    """Whether a control takes the operator's own halt back, and no halt of a limit."""
    return verb == "resume" and argument.partition(":")[0].strip() in ("", OPERATOR)


class Controls:
    """Obeys controls; `stop` asks the session to end. What halts (pause, stop, flatten) took effect when it was stored."""

    def __init__(self, wiring: Wiring, keeper: Keeper, accounting: Accounting, *, spawn: Spawn, stop: Callable[[str], None]) -> None:
        self.moves = Moves(wiring, accounting)
        self.w, self.keeper, self.accounting, self.spawn, self.stop = wiring, keeper, accounting, spawn, stop
        self._again: dict[str, float] = {}  # position id -> loop time before which nothing new is done to leave it
        self.started = True  # False while a start reconciles: what is held is not known, and only a pause or a stop is obeyed

    def poll(self) -> None:
        """Obey and answer everything that is pending. A stop that a later resume took back ends no session."""
        pending, leaving = self.w.ledger.told()
        for index, control in enumerate(pending):
            if not self.started and control.verb not in AT_ONCE:
                continue
            overtaken = control.verb == "stop" and any(taken_back(later.verb, later.argument) for later in pending[index:])
            state, answer = ("EXPIRED", "resumed since") if overtaken else self._obey(control)
            self.w.ledger.answer_control(control.control_id, state, answer, self.w.clock.now_us())
        if self.started:
            self._carry_out(self.w.ledger.leaving() if pending else leaving)

    def _obey(self, control: Control) -> tuple[str, str]:
        match control.verb:
            case "exit" | "flatten":
                return self._leave(control)
            case "resume":
                return self._resume(control)
            case "stop":
                self.stop("stopped by " + control.who)
                return "DONE", "no entries, the session ends, protective stops stay on the exchange"
            case _:
                return "DONE", "no new entries; exits and stops go on"

    def _leave(self, control: Control) -> tuple[str, str]:
        self.keeper.load()  # an entry whose request is on its way has its position in the ledger alone
        chosen = [h for h in self.keeper.held.values() if control.argument in ("", h.position.pair, h.position.position_id)]
        if control.verb == "exit" and not chosen:
            return "REFUSED", f"nothing is held under {control.argument!r}"
        told = f"closing {len(chosen)} positions at market: {', '.join(h.position.pair for h in chosen) or 'none held'}"
        small = [h.position.pair for h in chosen if ZERO < h.position.quantity < self._least(h.position.pair)]
        return (
            "DONE",
            f"{told}; below the venue's minimum, so that only a stop that rests already sells it: {', '.join(small)}" if small else told,
        )

    def _least(self, pair: str) -> Decimal:
        rules = self.keeper.instruments.get(pair)
        return ZERO if rules is None else rules.order_min

    def _carry_out(self, leaving: Mapping[str, str]) -> None:
        """Leave what a person told to leave, until it is gone: after refusals, later fills and deaths as well."""
        loop_s = asyncio.get_running_loop().time()
        for position_id, verb in leaving.items():
            held = self.keeper.held.get(position_id)
            if held is not None and not held.leaving and loop_s >= self._again.get(position_id, 0.0):
                self._again[position_id] = math.inf
                self.spawn(self._out(held, verb.upper()), f"{verb} {held.position.pair}")

    async def _out(self, held: Held, reason: str) -> None:
        """Sell a position; one whose entry is still under way, once it is known what that bought."""
        name = held.position.position_id
        try:
            for _ in range(UNDER_WAY_S):
                known = self.w.ledger.position(name)
                if known is None or known.state is not PositionState.OPENING:
                    break
                await asyncio.sleep(1.0)
            await self.keeper.leave(held, reason)
        finally:
            self._again[name] = asyncio.get_running_loop().time() + AGAIN_S

    def _resume(self, control: Control) -> tuple[str, str]:
        """Clear the operator's halt, or `CAUSE: written reason` of a halt that only a person may clear."""
        cause, _, reason = control.argument.partition(":")
        cause, reason = cause.strip() or OPERATOR, reason.strip()
        on = {halt.cause for halt in self.w.ledger.halts()}
        if cause not in on:
            return "REFUSED", f"no halt {cause!r} is on; on are: {', '.join(sorted(on)) or 'none'}"
        if cause != OPERATOR and not reason:
            return "REFUSED", f"{cause} needs a written reason: trader resume --cause {cause} --reason TEXT"
        if cause.startswith(f"{MISMATCH} "):
            asset = asset_of(cause)
            self.spawn(self.moves.accept(asset, control.who, reason), f"accept {asset}")
            return "DONE", f"the exchange's total of {asset} is being booked; the halt ends with that"
        now = self.w.clock.now_us()
        self.w.ledger.clear_halt(cause, control.who, reason or "resumed", now)
        if cause in REBASED:
            self.accounting.rebase(cause, now)
        left = sorted(on - {cause})
        return "DONE", f"{cause} cleared" + (f"; still on: {', '.join(left)}" if left else "; entries are on")
