"""Money and coins that came or went by other hands: booked once a person has said that the exchange is right."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from trader.domain.halts import MISMATCH
from trader.domain.money import ZERO, add, sub
from trader.domain.orders import Outcome
from trader.errors import RetryableError
from trader.execution.accounting import Accounting
from trader.execution.reconcile import LocalView, Mismatch, RemoteView, reconcile_balances
from trader.execution.wiring import Wiring

TRIES = 10
PAUSE_S = 1.0


class Moves:
    """Ends a mismatch by booking what the exchange holds more, or less, as moved from outside."""

    def __init__(self, wiring: Wiring, accounting: Accounting) -> None:
        self.w, self.accounting = wiring, accounting

    async def accept(self, asset: str, who: str, reason: str) -> None:
        """Book the difference of an asset once two readings a second apart agree on it, then clear its halt.

        What our positions hold is never written off this way: coins of theirs that are missing keep the halt.
        """
        try:
            amount = await self._steady(asset)
        except RetryableError as error:
            return self._refused(asset, str(error))
        ledger, now = self.w.ledger, self.w.clock.now_us()
        if add(ledger.cash().get(asset, ZERO), amount) < ZERO:
            return self._refused(asset, f"{-amount} {asset} less on the exchange than lie outside our positions")
        if amount != ZERO:
            ledger.external_move(asset, amount, "deposit" if amount > ZERO else "withdrawal", now)
            if asset == self.w.quote:
                self.accounting.moved(amount, now)
        return ledger.clear_halt(f"{MISMATCH} {asset}", who, reason, now)

    async def _steady(self, asset: str) -> Decimal:
        """The exchange's total less the ledger's, read twice alike with no order unresolved. Raises RetryableError where it moves on."""
        before: Decimal | None = None
        for _ in range(TRIES):
            amount = await self._difference(asset)
            unresolved = any(intent.outcome is Outcome.SENT for intent in self.w.ledger.intents(live_only=True))
            if amount == before and not unresolved:
                return amount
            before = amount
            await asyncio.sleep(PAUSE_S)
        raise RetryableError(f"the balance of {asset} did not come to rest")

    async def _difference(self, asset: str) -> Decimal:
        w = self.w
        remote = RemoteView(open=(), closed=(), fills=(), balances=await w.exchange.balances())
        local = LocalView(intents=(), positions=w.ledger.positions(), cash=w.ledger.cash(), tag=w.tag)
        found = (fix for fix in reconcile_balances(local, remote, quote=w.quote) if isinstance(fix, Mismatch) and fix.asset == asset)
        return next((sub(fix.exchange, fix.ledger) for fix in found), ZERO)

    def _refused(self, asset: str, why: str) -> None:
        self.w.ledger.note("mismatch.not_accepted", {"asset": asset, "why": why}, self.w.clock.now_us())
