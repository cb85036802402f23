"""The twin's books: a reopened twin has the very same state, whatever the kill left behind."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tests.unit.simulation.test_exchange import T0, make, move, request
from trader.errors import CorruptError
from trader.simulation import exchange_books
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_books import LOG, SNAPSHOT, Books
from trader.simulation.exchange_orders import Amendment
from trader.simulation.exchange_terms import Close, Offset


def dump(exchange: TwinExchange) -> str:
    return json.dumps(exchange.state.dump())


def trade_a_little(exchange: TwinExchange, *, start: int = 0) -> None:
    for round_ in range(start, start + 5):
        second = round_ * 10
        exchange.use_nonce("key", 100 + round_)
        exchange.place(request(ordertype="limit", price="101", timeinforce="IOC", cl_ord_id=f"tabc{round_:014d}", close_trigger="97"), T0)
        resting = exchange.place(request(ordertype="limit", price="90", userref=round_), T0)
        exchange.amend(resting, T0, Amendment(volume=Decimal("0.7")))
        move(exchange, 96.0, second=second + 1)
        move(exchange, 100.0, second=second + 2, part=4)


def test_a_reopened_twin_has_the_same_bytes_and_goes_on_the_same_way(tmp_path: Path) -> None:
    first = make(Books(tmp_path))
    trade_a_little(first)
    assert len(first.state.trades) == 10
    again = make(Books(tmp_path))
    assert dump(again) == dump(first)
    assert again.open_orders() == first.open_orders()
    trade_a_little(first, start=5)
    again = make(Books(tmp_path))
    again.set_prices(np.array([100.0, 50.0]))
    assert dump(again) == dump(first)
    assert again.protection_report(T0) == first.protection_report(T0)


def test_memory_books_and_file_books_hold_the_same(tmp_path: Path) -> None:
    kept, gone = make(Books(tmp_path)), make()
    trade_a_little(kept)
    trade_a_little(gone)
    assert dump(kept) == dump(gone)


def test_a_torn_last_line_is_an_operation_that_never_happened(tmp_path: Path) -> None:
    first = make(Books(tmp_path))
    trade_a_little(first)
    before = dump(first)
    order = first.place(request(ordertype="limit", price="80"), T0)
    log = tmp_path / LOG
    log.write_bytes(log.read_bytes()[:-20])
    again = make(Books(tmp_path))
    assert dump(again) == before
    assert order.txid not in again.state.orders
    assert again.place(request(ordertype="limit", price="80"), T0).live


def test_a_snapshot_replaces_the_log_and_a_kill_between_the_two_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_books, "SNAPSHOT_LINES", 20)
    first = make(Books(tmp_path))
    trade_a_little(first)
    assert (tmp_path / SNAPSHOT).exists()
    assert dump(make(Books(tmp_path))) == dump(first)
    old_lines = json.dumps({"n": 1, "t": T0, "k": T0, "b": {"EUR": "1"}}) + "\n"  # what the log held before the snapshot
    (tmp_path / LOG).write_text(old_lines + (tmp_path / LOG).read_text())
    assert dump(make(Books(tmp_path))) == dump(first)


@pytest.mark.parametrize("damage", ["not json\n", '{"n": 99, "t": 0, "k": 0}\n', '{"t": 1}\n'])
def test_a_damaged_line_is_refused_with_its_place(tmp_path: Path, damage: str) -> None:
    make(Books(tmp_path))
    log = tmp_path / LOG
    log.write_text(log.read_text() + damage)
    with pytest.raises(CorruptError, match="line 2"):
        make(Books(tmp_path))


def test_files_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "twin"
    trade_a_little(make(Books(directory)))
    assert (directory.stat().st_mode & 0o777, (directory / LOG).stat().st_mode & 0o777) == (0o700, 0o600)


def test_nonces_survive_a_restart(tmp_path: Path) -> None:
    assert make(Books(tmp_path)).use_nonce("key", 500)
    again = make(Books(tmp_path))
    assert not again.use_nonce("key", 500)
    assert again.use_nonce("key", 501)


def test_books_of_the_first_version_still_load(tmp_path: Path) -> None:
    """Then an order knew one kind of closing order, by its trigger alone, and nothing of peaks, schedules or amends."""
    old = {
        "txid": "OAAAAA-AAAAA-AAAAAA", "number": 1, "pair": "AAA/EUR", "side": "buy", "ordertype": "limit", "volume": "1",
        "opened_us": T0, "price": "98", "trigger": None, "timeinforce": "GTC", "expire_us": 0, "post_only": False, "oflags": ["fciq"],
        "cl_ord_id": None, "userref": 0, "refid": None, "close_trigger": "95", "close_txid": None, "close_swallowed": False,
        "status": "open", "reason": None, "closed_us": 0, "executed": "0", "cost": "0", "fee": "0", "trades": [], "held": "98.392",
        "amends": 0, "ours": False,
    }  # fmt: skip
    line = {"n": 1, "t": T0, "k": T0, "o": [old], "bare": {}, "max": 0, "b": {"EUR": "10000"}, "c": {"order": 1}}
    (tmp_path / LOG).write_text(json.dumps(line) + "\n")
    exchange = make(Books(tmp_path))
    (order,) = exchange.open_orders()
    assert order.close == Close(ordertype="stop-loss", trigger=Decimal(95))
    assert (order.status, exchange.held("EUR")) == ("open", Decimal("98.392"))
    move(exchange, 98.0)
    (stop,) = exchange.open_orders()
    assert (stop.refid, stop.trigger) == (order.txid, Decimal(95))


def test_peaks_schedules_amends_and_the_switch_survive_a_restart(tmp_path: Path) -> None:
    first = make(Books(tmp_path))
    first.place(request("buy", "trailing-stop", trigger_by=Offset.parse("+5%")), T0)
    first.place(request(ordertype="limit", price="90", start_us=T0 + 60_000_000), T0)
    resting = first.place(request(ordertype="limit", price="90", close_trigger="80"), T0)
    first.amend(resting, T0, Amendment(price=Decimal(91)))
    move(first, 97.0)
    first.arm(60, T0 + 2_000_000)
    again = make(Books(tmp_path))
    assert dump(again) == dump(first)
    assert [str(order.peak) for order in again.open_orders() if order.trailing] == ["97.0"]
    assert (again.dues(), again.state.amends) == (first.dues(), first.state.amends)
    assert len(again.dues()) == 2
