"""The 79 faults of RELIABILITY section 9 as data: how the simulation injects each, or why it cannot.

A row is injected by `faults` (lines of the twins' plans), by an `act` (something done to the session's process, files or
configuration: `tests.chaos.acts`), by `kills` (points at which the session dies) or by `natural` (what the twin does anyway).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trader.simulation.faults import Fault

BUY, EXIT, STOP = {"type": "buy"}, {"type": "sell", "ordertype": "market"}, {"ordertype": "stop-loss"}
SLOTS: Mapping[str, Mapping[str, str]] = {"buy": BUY, "exit": EXIT, "stop": STOP, "cancel": {}}
PENDING = {"pending": "yes"}  # what a fault matches that waits for an order, stop or fill under way
NO_INTEREST = "the twin pays no interest, so no balance stands under `.F` or `.M`; names by class: tests/unit/kraken/test_instruments.py"
# Rows a delivery of which can make a stop or an exit late. Not those of entries alone, since they end at once and the stop rides on the
# entry; nor those of streams (REST confirms), candles, the AI and neighbours. What lasts is told by its act: `World.trouble`.
HINDERING = frozenset({
    "H3", "H21", "H22",  # an order call without an end holds the key's turn for its patience, 10 s: one private call at a time leaves
    "H6", "H7", "H8", "H10",  # refused for its rate, or locked out: our own limiter holds later requests back, exits' too
    "H9", "H17",  # the key is refused: the reads that confirm a cancel or a sale, or the whole session
    "H12", "H27",  # the exit is refused, or its stop said to be cancelled and is not
    "H20", "H24",  # what would confirm a cancel or a sale cannot be read, or says that nothing filled
})  # fmt: skip
LOGS = "logs belong to the processes of `trader up`: tests/unit/maintenance, tests/integration/test_supervisor.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault. `variants`: ways to play it, one is drawn for each slot or run; `slot`: it waits for the n-th call of a kind.

    `kills`: (point, seconds after it, what else must happen) for each death; `ai`: the run needs the AI gate on.
    """

    id: str
    what: str
    variants: tuple[tuple[Fault, ...], ...] = ()
    slot: str = ""
    act: str = ""
    kills: tuple[tuple[str, float], ...] = ()
    deaths: int = 1
    natural: tuple[str, ...] = ()
    ai: bool = False
    elsewhere: str = ""

    @property
    def injectable(self) -> bool:
        return not self.elsewhere


def _f(where: str, action: str, arg: Any = None, **more: Any) -> Fault:
    return Fault(where=where, action=action, arg=arg, **more)


def _each(*faults: Fault) -> tuple[tuple[Fault, ...], ...]:
    return tuple((fault,) for fault in faults)


def _add(action: str, *args: Any, after: bool = False) -> tuple[tuple[Fault, ...], ...]:
    """The same action at AddOrder with each of these arguments; its turn and its kind of order come from the slot."""
    return _each(*(_f("AddOrder", action, arg, after=after) for arg in (args or (None,))))


@dataclass(slots=True)
class _Table:
    rows: list[Row] = field(default_factory=list)

    def row(self, id_: str, what: str, **how: Any) -> None:
        self.rows.append(Row(id=id_, what=what, **how))


def _kills(t: _Table) -> None:
    t.row("K1", "killed before the intent is written", kills=(("before_intent", 0.0),))
    t.row("K2", "killed after the intent, before the send", kills=(("after_intent", 0.0),))
    t.row("K3", "killed during the send", kills=(("after_intent", 0.001),))
    t.row("K4", "accepted, answer unread", kills=(("after_intent", 0.051), ("after_ack", 0.0)))
    t.row("K5", "killed after the ack, before its commit", kills=(("after_ack", 0.0), ("after_stop_ack", 0.0)))
    t.row("K6", "killed after a fill, before its row", kills=(("before_fill_commit", 0.0), ("after_fill_commit", 0.0)))
    t.row(
        "K7", "entry filled, stop not placed", kills=(("after_fill_commit", 0.0), ("before_stop_intent", 0.0)),
        variants=_add("swallow_stops"), slot="buy",
    )  # fmt: skip
    t.row("K8", "killed between stop cancel and exit", kills=(("after_cancel_ack", 0.0), ("before_exit_intent", 0.0)))
    t.row("K9", "exit filled, stop still live", kills=(("after_exit_ack", 0.0), ("after_exit_intent", 0.051)))
    t.row("K10", "killed during reconciliation, five times running", kills=(("after_read_open", 0.0), ("before_protect", 0.0)), deaths=5)
    t.row("K11", "worker killed, another takes over", kills=(("lease_renewal", 0.0),), act="take_over")


def _http(t: _Table) -> None:
    t.row("H1", "request lost before the server", variants=_add("lost_request"), slot="buy")
    t.row("H2", "response lost after the effect", variants=(*_add("lost_response"), *_add("reset", after=True)), slot="buy")
    t.row("H3", "response later than our timeout", variants=_add("delay", 30.0, after=True), slot="buy")
    t.row("H4", "server error before the effect", variants=_add("http", 500, 502, 503, 504, 520, 522, 524), slot="buy")
    t.row("H5", "server error after the effect", variants=_add("http", 500, 502, 503, 504, 520, 522, 524, after=True), slot="buy")
    t.row("H6", "429 or rate limit", variants=(*_add("error", "EAPI:Rate limit exceeded"), *_add("http", 429)), slot="buy")
    t.row("H7", "engine rate limit", variants=_add("error", "EOrder:Rate limit exceeded"), slot="buy")
    t.row("H8", "throttled until a moment", variants=_add("error", "EService:Throttled:{soon}"), slot="buy")
    t.row("H9", "invalid nonce", variants=_each(_f("QueryOrders", "nonce_reject", p=0.05), _f("BalanceEx", "nonce_reject", p=0.05)))
    t.row("H10", "temporary lockout", variants=_each(_f("BalanceEx", "error", "EGeneral:Temporary lockout", match=PENDING, nth=(2,))))
    t.row("H11", "insufficient funds on an entry", variants=_add("error", "EOrder:Insufficient funds"), slot="buy")
    t.row("H12", "insufficient funds on an exit", variants=_add("error", "EOrder:Insufficient funds"), slot="exit")
    sizes = ("EOrder:Order minimum not met", "EOrder:Cost minimum not met", "EOrder:Tick size check failed")
    t.row("H13", "order minimum, cost minimum, tick size", variants=_add("error", *sizes), slot="buy")
    t.row("H14", "minimum raised while in position", act="raise_minimum")
    words = ("EService:Unavailable", "EService:Busy", "EService:Deadline elapsed")
    t.row("H15", "service unavailable, busy, deadline", variants=_add("error", *words), slot="buy")
    t.row("H16", "maintenance, cancel_only, post_only; then one of these, limit_only or reduce_only of all pairs", act="restrict")
    t.row("H17", "permission denied", variants=_each(_f("OpenOrders", "error", "EGeneral:Permission denied", match=PENDING, nth=(20,))))
    answers = (*_add("cut_json"), *_add("html", after=True), *_add("malformed", "json", "envelope", "null", "bytes"))
    t.row("H18", "bad JSON, cut body, HTML page", variants=answers, slot="buy")
    fields = (_f("AddOrder", "drop_field", "result.txid"), _f("AddOrder", "rename", {"from": "result.txid", "to": "id"}))
    t.row("H19", "unknown, missing or null field", variants=_each(*fields), slot="buy")
    t.row(
        "H20",
        "huge body, gzip bomb",
        variants=_each(*(_f("OpenOrders", action, size, match=PENDING, nth=(10,)) for action, size in (("huge", 33), ("gzip_bomb", 40)))),
    )
    t.row("H21", "one byte a second", variants=_add("drip", 1.0), slot="buy")
    t.row("H22", "half-open connection, black hole", variants=(*_add("half_open", after=True), *_add("hang", after=True)), slot="buy")
    unknown = ("EWeather:Rain", "EOrder:Moon phase", "no such word")
    t.row("H23", "unknown error string", variants=(*_add("error", *unknown), *_add("error", *unknown, after=True)), slot="buy")
    t.row("H24", "says canceled, nothing filled, trades exist", variants=_each(_f("QueryOrders", "hide_fills", p=0.1)))
    t.row("H25", "open orders miss a just-filled order", variants=_add("lost_response"), slot="buy", natural=("OpenOrders",))
    unseen = ((_f("AddOrder", "ack_lag", 20.0), _f("AddOrder", "lost_response")),)  # neither an answer nor a sight of it
    t.row("H26", "order not visible for a while", variants=(*_add("ack_lag", 3.0, 20.0), *unseen), slot="buy")
    t.row("H27", "cancel acknowledged, order stays", variants=_each(_f("CancelOrder", "cancel_ignored")), slot="cancel")
    t.row("H28", "fill between stop cancel and exit", variants=_each(_f("CancelOrder", "fill_at_cancel")), slot="cancel")
    t.row("H29", "partial fill, then cancel", variants=_add("partial_fill", "0.4", "0.7"), slot="buy")
    t.row("H30", "foreign trade", act="foreign")


def _stream(t: _Table) -> None:
    t.row("W1", "duplicated message", variants=_each(_f("executions", "ws_duplicate", p=0.3)))
    t.row("W2", "out of order or batched", variants=_each(_f("executions", "ws_reorder", p=0.2), _f("executions", "ws_merge", p=0.3)))
    t.row("W3", "gap", variants=_each(_f("executions", "ws_gap", 2, p=0.1), _f("executions", "ws_lost", p=0.2)))
    t.row(
        "W4", "silent stall, socket open", variants=_each(_f("executions", "ws_stall", 120.0, p=0.1), _f("ohlc", "ws_stall", 60.0, p=0.002))
    )
    t.row("W5", "one symbol frozen", act="freeze_symbol")
    t.row("W6", "reconnect storm", variants=_each(_f("ohlc", "ws_drop", p=0.004), _f("executions", "ws_drop", p=0.2)))
    t.row("W7", "token expired, subscription refused", act="refuse_token")


def _market(t: _Table) -> None:
    t.row("M1", "candle that is no number", variants=_each(_f("ohlc", "nan", p=0.004), _f("ohlc", "negative", p=0.004)))
    t.row("M2", "price times 100 for one tick", variants=_each(_f("ohlc", "spike", 100.0, p=0.002), _f("trade", "spike", 100.0, p=0.002)))
    t.row("M3", "unfinished last candle served", natural=("OHLC",), variants=_each(_f("ohlc", "ws_drop", p=0.001)))
    t.row("M4", "gap, duplicate or revised candle", variants=_each(_f("ohlc", "gap", p=0.005), _f("ohlc", "ws_duplicate", p=0.02)))
    t.row("M5", "old candles served as fresh", variants=_each(_f("ohlc", "ws_reorder", p=0.01)))
    t.row(
        "M6",
        "crossed ticker, or one without a bid",
        variants=_each(_f("Ticker", "cross", p=0.5), _f("Ticker", "drop_field", "result.*.b", p=0.5)),
    )
    t.row("M7", "pair delisted while in position", act="delist")
    t.row("M8", "asset under another name", elsewhere=NO_INTEREST)


def _process(t: _Table) -> None:
    t.row("T1", "exchange's clock -10 s or +1 h from ours; then local time goes forward (DST)", act="skew")
    t.row("T2", "suspended two hours", act="suspend")
    t.row("D1", "disk full on the ledger", act="disk_full")
    t.row("D2", "ledger turned read-only, or its COMMIT fails as after an fsync error", act="read_only")
    t.row("D3", "history locked elsewhere", act="history_locked")
    t.row("D4", "ledger locked past its patience", act="ledger_locked")
    t.row("D5", "corrupt page", act="corrupt")
    t.row("D6", "old backup restored", act="old_backup")
    t.row("N1", "Slack down", act="slack_down")
    t.row(
        "N2",
        "Gemini down or slow",
        variants=_each(*(_f("decisions", name, p=0.7) for name in ("500", "429", "slow", "hang", "reset"))),
        ai=True,
    )
    hostile = ("string", "out_of_range", "nan", "wrong_type", "oversize", "extra_id", "html200", "answers_list", "duplicate_key")
    t.row("N3", "hostile AI output", variants=_each(*(_f("decisions", name, p=0.4) for name in hostile)), ai=True)
    t.row("N4", "Prefect down or slow", act="prefect_down")
    t.row("N5", "finished run started again", act="run_again")
    t.row("N6", "two traders at once", act="second_trader")
    t.row("N7", "kill switch during an entry", act="kill_switch")
    t.row("C1", "typo, unknown key, wrong unit", act="bad_config")
    t.row("C2", "live config that nobody armed, or armed for another account", act="unarmed")
    t.row("C3", "key lacks a right", act="lame_key")
    t.row("C4", "key may withdraw", act="withdrawing_key")
    t.row("C5", "configuration changed while in position", act="new_config")
    t.row("R1", "72 h soak, 144 pairs", elsewhere="a matter of days and memory, not of a seed: `make soak`")
    t.row("R2", "dead-man's switch fires", act="dead_man")
    t.row("R3", "log flood", elsewhere=LOGS)


def _rows() -> tuple[Row, ...]:
    table = _Table()
    for part in (_kills, _http, _stream, _market, _process):
        part(table)
    return tuple(table.rows)


ROWS: Mapping[str, Row] = {row.id: row for row in _rows()}


def chosen(ids: Iterable[str]) -> tuple[Row, ...]:
    """The rows of these ids, or all for `all`. Raises ValueError naming one that does not exist, or where there is none."""
    names = list(ids)
    if not names:
        raise ValueError(f"no fault is named; allowed: all, or of {', '.join(ROWS)}")
    if names == ["all"]:
        return tuple(ROWS.values())
    if unknown := [name for name in names if name not in ROWS]:
        raise ValueError(f"fault {unknown[0]!r} is not in the catalogue; allowed: all, or of {', '.join(ROWS)}")
    return tuple(ROWS[name] for name in names)
