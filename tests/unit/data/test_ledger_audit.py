"""The independent checker: silent on a sound ledger with rows in every table, and naming any single altered value."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import T0, ack, buy, entry, fill_of, lease_of, open_ledger, reducing, sell

from trader.data.audit import KEYS, TRIGGERS, audit
from trader.domain.messages import Action, Decision, Point, Refusal
from trader.domain.orders import ExchangeStatus, Leg, Outcome, Side
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.errors import CorruptError
from trader.ports import DecisionRow, EquityRow, Halt

SKIP = {  # columns that carry no claim of their own
    ("intent", "account"), ("fill", "account"), ("position", "account"), ("external_move", "account"), ("cash", "account"),
    ("position", "origin"),
}  # fmt: skip


def populated(folder: Path) -> Path:
    """A ledger with at least one row in every table, in every state the checker distinguishes."""
    ledger = open_ledger(folder)
    lease = lease_of(ledger)
    closed = buy(ledger, lease, "BTC/EUR", quantity="0.7")
    sell(ledger, lease, closed, "0.3", reason="TP1")
    sell(ledger, lease, closed, "0.4", attempt=1)
    held = buy(ledger, lease, "ETH/EUR", quantity="3")
    stop = reducing(held, "3", leg=Leg.STOP, reason="STOP_LOSS")
    ledger.adopt(replace(stop, outcome=Outcome.ACKED, txid="T-close", status=ExchangeStatus.PENDING), T0)
    ledger.set_terms("T-close", T0, trigger_price=Decimal("98.5"), reason="RATCHET_L1")
    ledger.set_status("T-close", ExchangeStatus.OPEN, T0 + 3)
    ledger.save_exit_state(held.position_id, {"stop": 98.5, "bars": 2}, T0)
    dust = buy(ledger, lease, "ADA/EUR", quantity="0.001")
    ledger.mark_dust(dust.position_id, T0)
    gone, position = entry("SOL/EUR")
    ledger.begin(gone, lease, T0, position=position)
    ledger.resolve(gone.cl_ord_id, Outcome.ABSENT, T0, proof={"passes_us": [1, 2]})
    ledger.drop_opening(gone.position_id, T0 + 9)
    opening, position = entry("DOT/EUR")
    ledger.begin(opening, lease, T0, position=position)
    ledger.apply_fills([fill_of(opening, "stray", "1", txid="T-foreign")], T0, source="rest")
    early, position = entry("XRP/EUR")
    ledger.begin(early, lease, T0, position=position)
    ledger.apply_fills([fill_of(early, "early", "0.5")], T0, source="stream")
    ack(ledger, early)
    ledger.external_move("EUR", Decimal("12.5"), "deposit", T0 + 4)
    ruling = RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT, p_loss=0.25, age_ms=8.5, verdict_id="v", is_twin=True)
    decision = Decision(
        pair="ETH/EUR", close_us=T0, side=Side.BUY, action=Action.ENTER, score=81.5, points=(Point(name="rsi", value=4.0),),
        close=float("nan"), strategy="s", evidence={"rsi": 31.0},
    )  # fmt: skip
    quiet = Decision(pair="ADA/EUR", close_us=T0, side=Side.BUY, action=Action.HOLD, score=3.0, refusal=Refusal.NO_SIGNAL)
    ledger.record_decisions(
        [
            DecisionRow(decision=decision, final="ENTER", stake=Decimal(300), ruling=ruling, ai_mode="veto"),
            DecisionRow(decision=quiet, final="HOLD"),
        ],
        T0,
    )
    ledger.record_equity(
        EquityRow(time_us=T0, cash=Decimal(1), marked=Decimal(2), equity=Decimal(3), realised=Decimal(0), fees=Decimal(1), drawdown=0.5)
    )
    ledger.set_halt(Halt(cause="drawdown", level="REDUCING", since_us=T0, reason="x"))
    ledger.set_halt(Halt(cause="drawdown", level="HALTED", since_us=T0 + 1, reason="worse"))
    ledger.note("beat", {"number": 1, "lag_s": 0.25}, T0)
    ledger.close()
    from trader.data.ledger_control import submit_control

    control = submit_control(ledger.path, "pause", "", "ada", T0 + 5)
    again = open_ledger(folder)
    again.answer_control(control.control_id, "DONE", "paused", T0 + 6)
    again.close()
    return Path(ledger.path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copy(sound, tmp_path / "ledger.sqlite")
    yield tmp_path / "ledger.sqlite"


def altered(file: Path, statement: str, *values: object) -> None:
    """Change rows the way somebody with a database tool would: triggers out, change, triggers back."""
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("ignore_check_constraints=ON", "synchronous=OFF", "journal_mode=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(statement, values).rowcount == 1, statement
    for _, text in triggers:
        connection.execute(text)
    connection.close()


def test_a_sound_ledger_has_rows_everywhere_and_no_problem(sound: Path) -> None:
    facts = audit(sound)
    assert facts.problems == () and facts.sound
    assert {name for name, count in facts.counts.items() if count == 0} == set()
    assert facts.positions == {"ETH/EUR": Decimal(3), "ADA/EUR": Decimal("0.001"), "XRP/EUR": Decimal("0.5")}
    assert facts.coins["ETH"] == Decimal(3)
    assert facts.fills["stray"].ours is False and facts.fills["early"].ours is True
    assert facts.orders["T-close"].leg == "stop" and facts.orders["T-close"].origin == "adopted"
    assert len(facts.unresolved) == 1


def other(value: object, kind: str) -> object:
    """A value of the same column type that differs."""
    if kind == "TEXT":
        return f"{value}1"
    assert value is None or isinstance(value, (int, float))
    return (value or 0) + (70_000 if kind == "INTEGER" else 0.5)


def test_every_single_altered_value_is_named(sound: Path, tmp_path: Path) -> None:
    reader = sqlite3.connect(sound)
    tried, silent = 0, []
    for table in (*KEYS, "journal"):
        columns = [(name, kind) for _, name, kind, *_ in reader.execute(f"PRAGMA table_info({table})") if (table, name) not in SKIP]
        for name, kind in columns:
            rows = reader.execute(f"SELECT rowid, {name} FROM {table} ORDER BY rowid").fetchall()
            for row, value in rows if table in ("fill", "position", "cash") else rows[:2]:
                file = tmp_path / "altered.sqlite"
                shutil.copy(sound, file)
                altered(file, f"UPDATE {table} SET {name} = ? WHERE rowid = {row}", other(value, kind))
                tried += 1
                if audit(file).sound:
                    silent.append((table, row, name, value))
    assert tried > 250
    assert silent == []


@pytest.mark.parametrize("table", sorted(KEYS))
def test_a_deleted_row_is_named(copy: Path, table: str) -> None:
    altered(copy, f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    assert any(table in p.check or table in p.row or "fills" in p.check for p in audit(copy).problems)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE fill SET price = '1' WHERE trade_id = 'early'", "fill vs journal"),
        ("UPDATE fill SET quantity = '0.6' WHERE trade_id = 'early'", "position vs fills"),
        ("UPDATE position SET quantity = '4' WHERE pair = 'ETH/EUR'", "position vs fills"),
        ("UPDATE cash SET quantity = '10001' WHERE asset = 'EUR'", "cash vs fills"),
        ("UPDATE journal SET payload = replace(payload, '0.7', '0.8') WHERE type = 'fill' AND payload LIKE '%\"0.7\"%'", "journal chain"),
    ],
)
def test_the_named_check_is_the_right_one(copy: Path, statement: str, check: str) -> None:
    altered(copy, statement)
    assert check in {problem.check for problem in audit(copy).problems}


def test_an_invented_fill_and_a_missing_trigger_are_named(copy: Path) -> None:
    altered(
        copy,
        "INSERT INTO fill SELECT account, 'invented', seq + 1000, txid, cl_ord_id, position_id, reason, pair, side, price, quantity, "
        "cost, fee, fee_asset, maker, time_us, source FROM fill WHERE trade_id = 'early'",
    )
    connection = sqlite3.connect(copy)
    connection.execute("DROP TRIGGER journal_no_update")
    connection.commit()
    connection.close()
    checks = {(problem.check, problem.row) for problem in audit(copy).problems}
    assert ("fill vs journal", "fill invented") in checks and ("triggers", "journal_no_update") in checks
    assert len(TRIGGERS) == 6


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="no ledger"):
        audit(tmp_path / "absent.sqlite")
    (tmp_path / "noise.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptError, match="not readable"):
        audit(tmp_path / "noise.sqlite")
