"""The keeper of open positions: protects each from its first fill, follows its exits, never sells more than is held.

All changes of one position run under its own lock, in the order: reduce or cancel the resting stop, confirm, then sell
only what that freed. Knows nothing of AI, history, Slack or Prefect: none of them can delay it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.domain.account import PositionState
from trader.domain.market import Candle, Instrument
from trader.domain.money import ZERO, add, sub
from trader.domain.orders import Acked, Answer, Fill, Intent, Leg, OrderType, Rejected, RemoteOrder
from trader.errors import BeginRefused
from trader.execution import target_legs
from trader.execution.adoption import Adoption
from trader.execution.desk import Order, OrderDesk
from trader.execution.held import Held
from trader.execution.positions import Exit, ExitKind, Guard
from trader.execution.reconcile import RECOVERED
from trader.execution.shortfall import AGAIN_S, FUNDS, Shortfall
from trader.execution.venue_rules import Minimums, Openness, too_small
from trader.ports import Clock, Exchange, Ledger

STOP_WITHIN_S = 5.0
STOP_TRIES = 5
STOPS_REFUSED = 2  # by the venue; a request that got lost or had to wait is no refusal of the stop
STOP_PAUSE_S = 0.5
LONGEST_AGAIN_S = 10.0  # between attempts at a stop that the venue does not take
NO_REFUSAL = ("absent", "later", "nonce")
PASSED = "Invalid price"  # Kraken's word for a trigger that the market has passed
LEAVE_PAUSES_S = (1.0, 2.0, 4.0)


class Keeper:
    """Open positions by id. `spawn` runs a coroutine beside the loop and reports its failure to the session."""

    def __init__(
        self, *, desk: OrderDesk, exchange: Exchange, ledger: Ledger, clock: Clock, instruments: Mapping[str, Instrument],
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:  # fmt: skip
        self.desk, self.exchange, self.ledger, self.clock = desk, exchange, ledger, clock
        self.instruments, self.spawn = instruments, spawn
        self.adoption, self.shortfall = Adoption(desk), Shortfall(ledger, clock)
        self.minimums, self.open = Minimums(lambda: desk.exchange, instruments, clock), Openness(lambda: desk.exchange, instruments)
        self.held: dict[str, Held] = {}

    # --- state ---------------------------------------------------------------------------------------------------------
    def load(self) -> None:
        """Take over what the ledger holds; done at start and after reconciliation."""
        current = {position.position_id: position for position in self.ledger.positions()}
        for position_id in [p for p in self.held if p not in current]:
            del self.held[position_id]
        for position_id, position in current.items():
            held = self.held.setdefault(position_id, Held(position=position))
            held.position = position
            if held.guard is not None:
                held.guard.hold(position.quantity)
            elif position.state is PositionState.OPEN and position.pair in self.instruments:
                held.guard = Guard.restore(position, self.instruments[position.pair], self.ledger.exit_states().get(position_id))
                if held.guard is not None:
                    held.guard.sold(target_legs.taken(self.ledger, position_id))

    def by_pair(self, pair: str) -> list[Held]:
        return [held for held in self.held.values() if held.position.pair == pair]

    def pairs(self) -> list[str]:
        """Pairs whose ticks matter: those with something held."""
        return sorted({h.position.pair for h in self.held.values() if h.position.state is PositionState.OPEN})

    def stops_of(self, position_id: str) -> list[Intent]:
        """The live resting stops of a position, as the ledger knows them: one, or one for each fill of its entry."""
        return [i for i in self.ledger.intents(live_only=True, position_id=position_id) if i.leg is Leg.STOP and i.txid]

    def stop_of(self, position_id: str) -> Intent | None:
        """The live resting stop of a position that stays when several are joined."""
        return next(reversed(self.stops_of(position_id)), None)

    # --- fills ---------------------------------------------------------------------------------------------------------
    def booked(self, changes: Sequence[tuple[Fill, Intent | None]]) -> None:
        """Called with fills that were just committed: refresh positions and protect or wind down each."""
        touched = sorted({intent.position_id for _, intent in changes if intent is not None})
        if not touched:
            return
        self.load()
        for position_id in touched:
            held = self.held.get(position_id)
            if held is None:
                self.spawn(self.wind_down(position_id), f"wind-down {position_id}")
            elif any(i is not None and i.position_id == position_id and i.leg is Leg.ENTRY for _, i in changes):
                before, held.guard = held.guard, None
                self.begin_guard(held, before)
                self.spawn(self.protect(held), f"protect {held.position.pair}")

    def begin_guard(self, held: Held, before: Guard | None = None) -> None:
        """Start the exit state of a position from its average fill, where it has none; `before`: it had one, and the entry filled on."""
        if held.guard is None and held.position.state is PositionState.OPEN and held.position.pair in self.instruments:
            held.guard = Guard.begin(held.position, self.instruments[held.position.pair])
            if before is not None:
                held.guard.go_on(before)
            self._save(held)
            if any(i.leg is Leg.ENTRY and i.reason == RECOVERED for i in self.ledger.intents(position_id=held.position.position_id)):
                self.found_at(*self.stops_of(held.position.position_id))

    def found_at(self, *stops: Intent) -> None:
        """Stops stand at levels that our exit state may know nothing of, as after an older backup: what is nearer stays there."""
        for stop in stops:
            held = self.held.get(stop.position_id)
            if held is not None and held.guard is not None and stop.trigger_price is not None:
                held.guard.tighten(stop.trigger_price)
                self._save(held)

    def _save(self, held: Held) -> None:
        if held.guard is not None:
            self.ledger.save_exit_state(held.position.position_id, held.guard.to_json(), self.clock.now_us())

    def _refresh(self, held: Held) -> bool:
        """Re-read the position; False once it is closed."""
        position = self.ledger.position(held.position.position_id)
        if position is None or position.state is PositionState.CLOSED:
            self.held.pop(held.position.position_id, None)
            return False
        held.position = position
        if held.guard is not None:
            held.guard.hold(position.quantity)
        return position.quantity > ZERO

    # --- protection ----------------------------------------------------------------------------------------------------
    async def protect(self, held: Held) -> None:
        """A live stop of the held quantity at the plan's level, adopted, amended or newly placed; tried again soon where none stands."""
        if self.shortfall.waits(held):
            return
        async with held.lock:
            await self._protect(held)
            bare = self._refresh(held) and self._is_bare(held)
        held.bare = held.bare + 1 if bare else 0
        if bare and not held.retrying:
            held.retrying = True
            self.spawn(self._protect_again(held), f"protect {held.position.pair} again")
        elif not bare:
            self.shortfall.covered(held)

    def _is_bare(self, held: Held) -> bool:
        """Whether it ought to have a stop and has none."""
        return held.guard is not None and held.position.state is PositionState.OPEN and self.stop_of(held.position.position_id) is None

    async def _protect_again(self, held: Held) -> None:
        """After a pause: the venue may take stops again, and the next beat is far."""
        await asyncio.sleep(AGAIN_S if held.again_us else min(STOP_WITHIN_S * held.bare, LONGEST_AGAIN_S))
        held.retrying = False
        if held.bare and self.held.get(held.position.position_id) is held:
            await self.protect(held)

    async def _protect(self, held: Held, *, shrunk: bool = False) -> None:
        """`shrunk`: its one stop held all of it until we made it smaller, so there is no other to look for."""
        if not self._refresh(held) or held.guard is None or held.position.state is PositionState.DUST:
            return
        stopped = add(*(stop.remaining for stop in self.stops_of(held.position.position_id)))
        if not shrunk and stopped < held.position.quantity and not self.adoption.complete(held.position.position_id):
            await self.adoption.look_for(held.position.position_id)
        stop = await self._join(held)
        if not self._refresh(held):
            return
        going = (i for i in self.ledger.intents(live_only=True, position_id=held.position.position_id))
        leaving = add(ZERO, *(i.remaining for i in going if i.leg in (Leg.TARGET, Leg.EXIT)))
        quantity, trigger = sub(held.position.quantity, leaving), held.guard.stop_price
        if quantity <= ZERO:
            return
        if stop is None:
            if await too_small(self.desk.exchange, self.instruments[held.position.pair], quantity, trigger) and self._refresh(held):
                if not held.guard.was_tradable:  # else the minimum was raised, and comes down again
                    self.ledger.mark_dust(held.position.position_id, self.clock.now_us())
                    self.load()
                return
            await self._place_stop(held)
        elif stop.remaining != quantity or stop.trigger_price != trigger:
            answer = await self.desk.amend(
                stop,
                quantity=quantity + stop.filled if stop.remaining != quantity else None,
                trigger_price=trigger if stop.trigger_price != trigger else None,
                reason=held.guard.stop_reason,
            )
            if not isinstance(answer, Acked) and self._refresh(held):
                if self.stop_of(held.position.position_id) is None:
                    await self._place_stop(held)  # it was gone and did not fill: somebody cancelled it
                elif PASSED in answer.message:
                    await self._leave(held, held.guard.stop_reason)  # the price is through the level already: what the stop was for

    async def _join(self, held: Held) -> Intent | None:
        """The one stop of a position. An entry that filled in parts has one from each: all but one are cancelled, each giving
        its coins to the one that stays before the next goes, so only one part at a time is bare, for one request."""
        for stop in self.stops_of(held.position.position_id)[:-1]:
            if not await self.open.venue(stop.pair) or (final := await self.desk.cancel(stop)) is None:
                break  # still live: it protects its part as it is
            freed, kept = sub(final.quantity, final.filled), self.stop_of(held.position.position_id)
            if kept is not None and freed > ZERO and self._refresh(held):
                await self.desk.amend(kept, quantity=add(kept.quantity, freed))
        return self.stop_of(held.position.position_id)

    async def _place_stop(self, held: Held) -> None:
        """A new stop at the plan's level. Refused as passed, or twice for any reason: out at market. Lost on the way: again."""
        refused = 0
        for _ in range(STOP_TRIES):
            if not self._refresh(held) or held.guard is None:
                return
            answer = await self._send_stop(held, held.guard)
            if not isinstance(answer, Rejected):
                break
            if not held.again_us:
                self.ledger.note("stop.refused", {"pair": held.position.pair, "why": answer.message}, self.clock.now_us())
            await self.adoption.look_for(held.position.position_id)
            if self.stop_of(held.position.position_id) is not None:
                await self._protect(held)  # what holds the coins is the conditional close, seen late: give it its level
                return
            refused += answer.kind not in NO_REFUSAL
            if PASSED in answer.message or refused >= STOPS_REFUSED:
                await self._sell(held, held.position.quantity, "EMERGENCY")
                if answer.kind == FUNDS and self._refresh(held):
                    self.shortfall.refused(held, answer.message)
                return
            await asyncio.sleep(min(answer.retry_after_s or STOP_PAUSE_S, STOP_WITHIN_S))
        if not self._refresh(held):
            await self.wind_down(held.position.position_id)  # what made it flat found no id of this stop to cancel

    async def _send_stop(self, held: Held, guard: Guard) -> Answer | None:
        """One attempt; None where the ledger did not begin it, since enough is on sale already."""
        position = held.position
        intent = self.desk.intent(
            Order(
                key=position.entry_key, leg=Leg.STOP, position_id=position.position_id, pair=position.pair,
                side=position.side.opposite, order_type=OrderType.STOP_LOSS, quantity=position.quantity,
                trigger_price=guard.stop_price, reason=guard.stop_reason,
            )
        )  # fmt: skip
        try:
            return await self.desk.send_and_resolve(intent)
        except BeginRefused as refused:
            self.ledger.note("stop.not_begun", {"pair": position.pair, "why": str(refused)}, self.clock.now_us())
            return None

    # --- exits ---------------------------------------------------------------------------------------------------------
    def on_tick(self, pair: str, price: Decimal) -> None:
        """A public trade: targets are taken, a touched stop is expected to fill on the exchange."""
        for held in self.by_pair(pair):
            if held.guard is None or held.position.state is not PositionState.OPEN or held.lock.locked():
                continue
            if exits := held.guard.touched(price):
                self._save(held)
                self.spawn(self.act(held, exits), f"exit {pair}")

    def on_close(self, candle: Candle) -> None:
        """A closed 15m candle: ratchet, time rules, and touches that the ticks did not show."""
        self._follow(candle.pair, lambda guard: guard.closed(candle))

    def on_missed(self, pair: str, candles: Sequence[Candle]) -> None:
        """Closed 15m candles, ascending, that nobody gave when they closed."""
        self._follow(pair, lambda guard: guard.missed(candles))

    def _follow(self, pair: str, step: Callable[[Guard], list[Exit]]) -> None:
        for held in self.by_pair(pair):
            if held.guard is None or held.position.state is not PositionState.OPEN:
                continue
            before = held.guard.stop_price
            exits = step(held.guard)
            self._save(held)
            if exits:
                self.spawn(self.act(held, exits), f"exit {pair}")
            elif held.guard.stop_price != before:
                self.spawn(self.protect(held), f"trail {pair}")

    async def act(self, held: Held, exits: Sequence[Exit]) -> None:
        """Carry out what the exit step asked for, one after the other; a way out that was refused is tried again beside."""
        left = ""
        async with held.lock:
            for wanted in exits:
                if not self._refresh(held) or held.guard is None:
                    return
                if wanted.kind is ExitKind.TARGET:
                    await self._target(held, wanted)
                    continue
                left = wanted.reason
                await (self._expect_stop(held) if wanted.kind is ExitKind.STOP else self._leave(held, left))
            again = bool(left) and self._refresh(held) and not held.leaving
        if again:
            self.spawn(self.leave(held, left), f"leave {held.position.pair}")

    async def leave(self, held: Held, reason: str) -> None:
        """Close the whole position at market, once the exchange takes orders; asked again a few times where it did not let it go."""
        held.leaving = True
        try:
            while not await self.open.venue(held.position.pair):  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(LONGEST_AGAIN_S)
            for pause_s in (0.0, *LEAVE_PAUSES_S):
                await asyncio.sleep(pause_s)
                async with held.lock:
                    if not self._refresh(held):
                        return
                    await self._leave(held, reason)
        finally:
            held.leaving = False

    def heard(self, order: RemoteOrder) -> None:
        """The stream says that an order ended: a stop that we did not cancel leaves its position bare, so look at once."""
        intent = None if order.status.live else self.ledger.intent_by_txid(order.txid)
        held = self.held.get(intent.position_id) if intent is not None and intent.leg is Leg.STOP and intent.live else None
        if intent is not None and held is not None:
            self.spawn(self._stop_ended(held, intent), f"stop ended {order.pair}")

    async def _stop_ended(self, held: Held, stop: Intent) -> None:
        async with held.lock:
            known = self.ledger.intent_by_txid(stop.txid or "")
            if known is None or not known.live or stop.txid is None:
                return  # whoever held the lock ended it, or saw its end
            if await self.desk.settle(stop.txid, stop.created_us) is not None:
                await self._protect(held)

    async def _expect_stop(self, held: Held) -> None:
        """The exchange's own stop should have filled; if it has not within 5 s, sell at market."""
        stop = self.stop_of(held.position.position_id)
        if stop is not None and stop.txid is not None:
            await self.desk.settle(stop.txid, stop.created_us, patience_s=STOP_WITHIN_S)
        if self._refresh(held):
            await self._leave(held, held.guard.stop_reason if held.guard else "STOP_LOSS")

    async def _target(self, held: Held, wanted: Exit) -> None:
        """Free the leg from the stop, then sell it at the target's level or better; restore the stop on a shortfall."""
        instrument = self.instruments[held.position.pair]
        stop = await self._join(held)
        if not self._refresh(held) or held.guard is None or held.guard.has_taken(wanted) or not await self.open.pair(held.position.pair):
            return
        sold = target_legs.sold(self.ledger, held.position.position_id, wanted.reason)
        quantity = min(sub(wanted.quantity, sold), held.position.quantity)
        if quantity <= ZERO:
            return
        rest = held.position.quantity - quantity
        if not instrument.tradable(rest, wanted.price):
            quantity, rest = held.position.quantity, ZERO
        if stop is not None:
            if rest > ZERO:
                if not isinstance(await self.desk.amend(stop, quantity=rest + stop.filled), Acked):
                    return
            else:
                if not await self.open.venue(held.position.pair):
                    return  # its stop stays; the next touch tries again
                await self.desk.cancel(stop)
                if not self._refresh(held):
                    return
                quantity = held.position.quantity
        before = held.position.quantity
        await self._sell(held, quantity, wanted.reason, limit=wanted.price)
        if self._refresh(held) and held.guard is not None:
            if held.position.quantity == before - quantity:
                held.guard.took(wanted)  # a shortfall leaves the leg open: the next touch tries again
                self._save(held)
            await self._protect(held, shrunk=stop is not None and stop.remaining >= before >= held.position.quantity)

    async def _leave(self, held: Held, reason: str) -> None:
        """Hand-over: cancel the stop, confirm what it filled, sell the rest at market, protect again on any shortfall."""
        stops = self.stops_of(held.position.position_id)
        if stops and (await self.minimums.bar(held.position.pair, held.position.quantity) or not await self.open.venue(held.position.pair)):
            return  # its stop stays, also where the minimum was raised; what is due is due again at the next close
        for stop in stops:
            await self.desk.cancel(stop)
            if not self._refresh(held):
                return
        await self._sell(held, held.position.quantity, reason)
        if self._refresh(held):
            await self._protect(held)

    async def _sell(self, held: Held, quantity: Decimal, reason: str, *, limit: Decimal | None = None) -> None:
        position = held.position
        order = Order(
            key=position.entry_key, leg=Leg.TARGET if limit is not None else Leg.EXIT, position_id=position.position_id,
            pair=position.pair, side=position.side.opposite, order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            quantity=quantity, limit_price=limit, immediate=limit is not None, reason=reason,
        )  # fmt: skip
        try:
            intent = self.desk.intent(order)
            answer = await self.desk.send_and_resolve(intent)
        except BeginRefused as refused:
            self.ledger.note("exit.refused", {"pair": position.pair, "why": str(refused)}, self.clock.now_us())
            return
        if isinstance(answer, Acked):
            await self.desk.settle(answer.txid, intent.created_us)

    async def wind_down(self, position_id: str) -> None:
        """A position went flat: cancel what still rests for it, before anything else on the pair."""
        for intent in self.ledger.intents(live_only=True, position_id=position_id):
            if intent.leg.reducing and intent.txid and intent.remaining == ZERO:  # the one that filled; only its last word is missing
                await self.desk.settle(intent.txid, intent.created_us)
            elif intent.leg.reducing and intent.txid:
                self.desk.kill.reach("before_cancel_orphan")
                await self.desk.cancel(intent)
