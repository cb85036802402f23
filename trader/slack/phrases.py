"""A typed message of the outbox as a headline and lines of plain text (SPEC section 14). Never raises: what is missing is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from trader.reporting import words

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What to say: one headline, then lines of detail. Plain text, not escaped."""

    headline: str
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, one line each."""
        return "\n".join((self.headline, *self.lines))


def phrase(kind: str, payload: Payload) -> Words:
    """The words of a message; a kind nobody wrote words for shows its fields."""
    made = _KINDS[kind](payload) if kind in _KINDS else _fields(kind, payload)
    return Words(made.headline, tuple(line for line in made.lines if line))


def outcome(payload: Payload) -> str:
    """How a trade ended, for the message that opened it: `closed: +1.20 (+0.70 %)`."""
    return f"closed: {_money(payload, 'net', sign=True)} ({_share(payload, 'roi')})"


def digest(kinds: Mapping[str, int]) -> Words:
    """Several messages as one."""
    total = sum(kinds.values())
    return Words(f"{total} messages", tuple(f"{count} × {kind}" for kind, count in sorted(kinds.items())))


# --- values ------------------------------------------------------------------------------------------------------------
def _number(payload: Payload, name: str) -> Decimal | None:
    try:
        value = Decimal(str(payload[name]))
    except (KeyError, InvalidOperation):
        return None
    return value if value.is_finite() else None


def _money(payload: Payload, name: str, *, sign: bool = False) -> str:
    value = _number(payload, name)
    return "?" if value is None else words.money(value, sign=sign)


def _price(payload: Payload, name: str) -> str:
    value = _number(payload, name)
    return "?" if value is None else words.price(value)


def _quantity(payload: Payload) -> str:
    value = _number(payload, "quantity")
    return "?" if value is None else f"{value.normalize():f}"


def _share(payload: Payload, name: str, *, sign: bool = True) -> str:
    value = _number(payload, name)
    return "?" if value is None else words.percent(float(value), sign=sign)


def _text(payload: Payload, name: str) -> str:
    value = payload.get(name)
    return "?" if value in (None, "") else str(value)


def _span(payload: Payload, name: str) -> str:
    value = _number(payload, name)
    return "?" if value is None else words.span(float(value) / 1e6)


# --- one function per kind ---------------------------------------------------------------------------------------------
def _entry(p: Payload) -> Words:
    fraction = _number(p, "stop_fraction")
    return Words(
        f"BUY {_text(p, 'pair')} {_quantity(p)} @ {_price(p, 'price')}",
        (
            f"stake {_money(p, 'stake')}, stop {_price(p, 'stop')}" + (f" ({words.percent(-float(fraction))})" if fraction else ""),
            f"targets {_price(p, 'tp1')} / {_price(p, 'tp2')}",
            _score(p),
            _ruling(p),
        ),
    )


def _score(p: Payload) -> str:
    if _number(p, "score") is None:
        return ""
    points = p.get("points")
    made = [f"{words.point_words(str(name))} {float(value):+.0f}" for name, value in points] if isinstance(points, list) else []
    return f"score {float(p['score']):.0f}" + (f": {', '.join(made)}" if made else "")


def _ruling(p: Payload) -> str:
    mode = p.get("ai_mode")
    if not mode or mode == "off":
        return "AI off" if mode else ""
    who = "scripted stand-in (not AI)" if p.get("is_twin") else "AI"
    ruling = p.get("ruling")
    if not ruling:
        return f"{who}: not asked"
    told = f"{who}: {words.RULINGS.get(str(ruling), str(ruling))}"
    loss, age = _number(p, "p_loss"), _number(p, "age_ms")
    told += f", chance of a loss {words.percent(float(loss), 0)}" if loss is not None else ""
    return told + (f", {float(age) / 1000:.0f} s old" if age is not None else "")


def _added(p: Payload) -> Words:
    return Words(f"{_text(p, 'pair')}: {_quantity(p)} more @ {_price(p, 'price')}", (f"stake {_money(p, 'stake')}",))


def _partial(p: Payload) -> Words:
    left = _number(p, "left")
    rest = f", {left.normalize():f} left" if left is not None else ""
    return Words(f"SELL {_text(p, 'pair')} {_quantity(p)} @ {_price(p, 'price')}, {words.exit_words(_text(p, 'reason'))}{rest}")


def _closed(p: Payload) -> Words:
    return Words(
        f"SELL {_text(p, 'pair')} {_quantity(p)} @ {_price(p, 'price')}, {words.exit_words(_text(p, 'reason'))}",
        (f"net {_money(p, 'net', sign=True)} ({_share(p, 'roi')}), held {_span(p, 'held_us')}, fees {_money(p, 'fees')}",),
    )


def _stop(p: Payload) -> Words:
    return Words(f"{_text(p, 'pair')} stop {_price(p, 'old')} → {_price(p, 'new')}")


def _started(p: Payload) -> Words:
    return Words("Session started", (f"{_text(p, 'environment')}, {_text(p, 'strategy')}, AI mode {_text(p, 'ai')}",))


def _stopped(p: Payload) -> Words:
    return Words(f"Session ended: {_text(p, 'ended')}", ("Protective stops stay on the exchange.",))


def _halt(p: Payload) -> Words:
    what, then = words.halt_words(_text(p, "cause"))
    return Words(f"HALT: {what}", (_text(p, "reason"), "Entries off, exits on.", then))


def _cleared(p: Payload) -> Words:
    return Words(f"Halt cleared: {words.halt_words(_text(p, 'cause'))[0]}", (f"by {_text(p, 'who')}: {_text(p, 'reason')}",))


def _blocked(p: Payload) -> Words:
    return Words(
        f"{_text(p, 'pair')} blocked: {_text(p, 'expectation')}",
        (str(p.get("detail") or ""), words.gate_words(_text(p, "pair"), _text(p, "expectation"))),
    )


def _repaired(p: Payload) -> Words:
    return Words(f"{_text(p, 'pair')} is tradable again: its data passed the gate, or a person ended the block")


def _unresolved(p: Payload) -> Words:
    return Words(
        f"{_text(p, 'pair')}: the outcome of an order is unknown, looking it up", (f"order {_text(p, 'cl_ord_id')}: {_text(p, 'why')}",)
    )


def _given(p: Payload) -> Words:
    return Words(f"{_text(p, 'who')} gave the order: {_text(p, 'verb')} {p.get('argument') or ''}".rstrip(), (str(p.get("reason") or ""),))


def _answered(p: Payload) -> Words:
    return Words(f"{_text(p, 'verb')}: {_text(p, 'state').lower()}", (str(p.get("answer") or ""),))


def _difference(p: Payload) -> Words:
    return Words("The exchange and the ledger differed", (f"{_text(p, 'differences')} difference(s) put right", ))  # fmt: skip


def _night(p: Payload) -> Words:
    lines = p.get("lines")
    return Words(_text(p, "headline"), tuple(str(line) for line in lines) if isinstance(lines, list) else ())


def _replay(p: Payload) -> Words:
    return Words(
        f"The replay of {_text(p, 'day')} differs from what was traded in {_text(p, 'count')} fields",
        (f"{_text(p, 'same')} of {_text(p, 'traded')} trade legs are the same", f"first input that diverged: {p.get('first') or 'none'}"),
    )


def _judged(p: Payload) -> Words:
    """KEEP or SWITCH in its one sentence; a SWITCH says where it is answered."""
    lines = []
    if p.get("no_edge") is True:
        lines.append("NO_EDGE: no strategy gains after costs by more than luck")
    if p.get("decision") == "SWITCH":
        where = "in Prefect's form, or with " if p.get("approval_in_prefect") is True else "with "
        lines.append(f"Nothing changes before a person approves, {where}`trader optimize --approve {_text(p, 'run')}`")
    return Words(_text(p, "sentence"), tuple(lines))


def _by_whom(p: Payload) -> str:
    return f" ({p['label']})" if p.get("label") else ""


def _demoted(p: Payload) -> Words:
    return Words(
        f"The AI{_by_whom(p)} lost its veto: it is in shadow from the next session on",
        (_text(p, "reason"), _text(p, "group"), "Only a person gives it back: `trader ai report`, then `trader ai promote --reason WHY`"),
    )


def _promoted(p: Payload) -> Words:
    return Words(f"The AI{_by_whom(p)} may veto again from the next session on", (f"by {_text(p, 'who')}: {_text(p, 'reason')}",))


def _invalid(p: Payload) -> Words:
    return Words(f"{_share(p, 'share', sign=False)} of the AI's{_by_whom(p)} {_text(p, 'answers')} answers in 24 h were unusable")


def _suggested(p: Payload) -> Words:
    how = f"`trader night approve {_text(p, 'id')} --reason WHY`, or reject"
    headline = f"Suggestion {_text(p, 'id')}{_by_whom(p)}: {_text(p, 'words')}"
    return Words(headline, (str(p.get("trial") or ""), f"Nothing changes before a person answers: {how}"))


def _answer(p: Payload) -> Words:
    headline = f"Suggestion {_text(p, 'id')} {_text(p, 'state').lower()}: {_text(p, 'words')}"
    return Words(headline, (f"by {_text(p, 'who')}: {_text(p, 'reason')}",))


def _link(headline: str) -> Callable[[Payload], Words]:
    """A change of the link to the AI; in veto mode it decides whether there are entries."""
    stops = "No verdict, no entry; exits and stops are not concerned."
    return lambda p: Words(headline, (str(p.get("detail") or ""), stops if p.get("mode") == "veto" and p.get("detail") else ""))


def _settled(p: Payload) -> Words:
    return Words(f"Switch from {_text(p, 'current')} to {_text(p, 'candidate')}: {_text(p, 'outcome')}")


def _why(headline: str) -> Callable[[Payload], Words]:
    return lambda p: Words(headline.format(pair=_text(p, "pair")), (str(p.get("why") or p.get("error") or ""),))


def _fields(kind: str, p: Payload) -> Words:
    shown = [
        f"{name.replace('_', ' ')}: {value}" for name, value in sorted(p.items()) if isinstance(value, str | int | float) and value != ""
    ]
    return Words(kind.replace(".", ": ").replace("_", " "), tuple(shown[:20]))


_KINDS: dict[str, Callable[[Payload], Words]] = {
    "entry.filled": _entry, "entry.added": _added, "exit.partial": _partial, "exit.filled": _closed, "stop.moved": _stop,
    "system.started": _started, "system.stopped": _stopped, "halt.set": _halt, "halt.cleared": _cleared, "data.blocked": _blocked,
    "data.repaired": _repaired, "order.unresolved": _unresolved, "control.given": _given, "control.answered": _answered,
    "reconcile.difference": _difference, "reconcile.failed": _why("Comparing with the exchange failed"),
    "stop.refused": _why("{pair}: the exchange refused a stop"), "stop.missing": _why("{pair} had no live stop: sold"),
    "exit.refused": _why("{pair}: an exit was refused"), "task.failed": _why("A task of the session failed"),
    "amend.refused": _why("{pair}: a change of an order was refused"), "cancel.refused": _why("{pair}: a cancellation was refused"),
    "order.recovered": _why("{pair}: an entry that the ledger had forgotten is held again"),
    "pair.suspended": _why("{pair}: the exchange refuses our orders; no more entries in this session"),
    "entry.refused": _why("{pair}: an entry was refused"), "report.night": _night, "replay.diff": _replay,
    "ai.demoted": _demoted, "ai.promoted": _promoted, "ai.invalid": _invalid, "report.ai": _night,
    "suggestion.made": _suggested, "suggestion.answered": _answer,
    "ai.breaker": _link("The AI's breaker is open"), "ai.budget": _link("The AI's budget runs out"),
    "ai.worker": _link("The AI worker is silent"), "ai.recovered": _link("The AI answers again"),
    "optimizer.judged": _judged, "optimizer.settled": _settled,
}  # fmt: skip
