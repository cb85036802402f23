"""The independent checker's ledger side: reads the file by itself, recomputes everything, names every row that is off.

Own SQL, own arithmetic, no code of the ledger. A problem is a row that differs from the journal, a sum that differs from
the fills, or a broken chain; `LedgerFacts` is what the exchange side is then compared with.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation, localcontext
from pathlib import Path

from trader.data.audit_replay import JournalRow, Replay, Rows, decision_digest, replay
from trader.data.tables import HEAD
from trader.errors import CorruptError

EXACT = Context(prec=80)
NONE = Decimal(0)
TRIGGERS = frozenset({
    "journal_no_update", "journal_no_delete", "external_move_no_update", "external_move_no_delete", "fill_no_update", "fill_no_delete",
})  # fmt: skip
KEYS = {
    "intent": "cl_ord_id", "fill": "trade_id", "position": "position_id", "external_move": "move_id", "equity": "time_us",
    "halt": "cause", "control": "control_id", "beat": "seq", "decision_bar": "seq", "decision": "decision_id", "cash": "asset",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is off: which check, which row, and what was seen against what it must be."""

    check: str
    row: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFact:
    """A fill as the ledger tells it. `ours` False: EXTERNAL, no order of ours."""

    txid: str
    pair: str
    side: str
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """An order that the exchange is known to hold or have held. `created_us`: when its intent was committed."""

    cl_ord_id: str
    leg: str
    pair: str
    side: str
    quantity: Decimal
    filled: Decimal
    status: str | None
    origin: str
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger claims, and what is wrong with it. `positions`: coins held per pair, open and dust; `coins`: per base
    asset; `unresolved`: intents whose outcome is unknown; `counts`: rows looked at, so that silence means something."""

    fills: Mapping[str, FillFact]
    orders: Mapping[str, OrderFact]
    unresolved: tuple[str, ...]
    positions: Mapping[str, Decimal]
    coins: Mapping[str, Decimal]
    cash: Mapping[str, Decimal]
    counts: Mapping[str, int]
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is off."""
        return not self.problems


@dataclass(slots=True, kw_only=True)
class _Audit:
    """Tables as read, and the problems found so far."""

    tables: dict[str, Rows]
    problems: list[Problem] = field(default_factory=list)

    def report(self, check: str, row: str, detail: str) -> None:
        self.problems.append(Problem(check=check, row=row, detail=detail))

    def money(self, table: str, key: str, column: str) -> Decimal:
        """A money column as a number; text that is none is a problem and counts as zero."""
        text = self.tables[table][key][column]
        try:
            return Decimal(text)
        except (InvalidOperation, TypeError):
            self.report("number", f"{table} {key}", f"{column} is {text!r}, which is no number")
            return NONE


def audit(path: str | Path) -> LedgerFacts:
    """Read and check a ledger file. CorruptError where it can't be read at all."""
    file = Path(path).absolute()
    if not file.exists():
        raise CorruptError(f"{file}: there is no ledger to check")
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            return _check(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise CorruptError(f"{file}: not readable as a ledger: {error}") from error


def _check(connection: sqlite3.Connection) -> LedgerFacts:
    found = _Audit(tables={table: _rows(connection, table, key) for table, key in KEYS.items()})
    integrity = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if integrity != "ok":
        found.report("file", "ledger", str(integrity))
    versions = [str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")]
    if versions != [HEAD]:
        found.report("schema", "ledger", f"it is {', '.join(versions) or 'not told'}, this program checks {HEAD}")
    triggers = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for name in sorted(TRIGGERS - triggers):
        found.report("triggers", name, "missing: rows could be altered")
    told = _journal(connection, found)
    _compare(found, told)
    _check_sums(found)
    facts_counts = {table: len(rows) for table, rows in found.tables.items()}
    facts_counts["journal"] = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
    return _facts(found, facts_counts)


def _rows(connection: sqlite3.Connection, table: str, key: str) -> Rows:
    return {str(row[key]): dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {key}")}


# --- the chain ----------------------------------------------------------------------------------------------------------
def _journal(connection: sqlite3.Connection, found: _Audit) -> Replay:
    """Verify numbers and chained hashes, then replay."""
    previous, expected, rows = "", 1, []
    for r in connection.execute("SELECT seq, time_us, kind, type, key, payload, hash FROM journal ORDER BY seq"):
        name = f"journal {r['seq']}"
        if r["seq"] != expected:
            found.report("journal numbers", name, f"expected row {expected}")
        text = f"{r['seq']}|{r['time_us']}|{r['kind']}|{r['type']}|{r['key'] or ''}|{r['payload']}"
        if hashlib.blake2b(f"{previous}\n{text}".encode(), digest_size=16).hexdigest() != r["hash"]:
            found.report("journal chain", name, f"{r['type']} row and its hash do not fit the row before")
        previous, expected = r["hash"], r["seq"] + 1
        try:
            rows.append(JournalRow(seq=r["seq"], time_us=r["time_us"], type=r["type"], body=json.loads(r["payload"])))
        except ValueError:
            found.report("journal payload", name, "not JSON")
    try:
        return replay(rows)
    except (KeyError, TypeError, ValueError) as error:
        found.report("journal replay", "journal", f"a payload lacks what its type must carry: {error!r}")
        return Replay()


# --- rows against the journal -------------------------------------------------------------------------------------------
def _compare(found: _Audit, told: Replay) -> None:
    for table, rows in (
        ("intent", told.intent), ("fill", told.fill), ("external_move", told.external_move), ("equity", told.equity),
        ("halt", told.halt), ("control", told.control), ("beat", told.beat), ("decision_bar", told.decision_bar),
    ):  # fmt: skip
        _same(found, table, found.tables[table], rows)
    _compare_positions(found, told)
    digests = {key: decision_digest(row) for key, row in found.tables["decision"].items()}
    for key in sorted({*digests, *told.digests}):
        if digests.get(key) != told.digests.get(key):
            found.report("decision vs journal", f"decision {key}", "missing or altered" if key in told.digests else "not in the journal")


def _same(found: _Audit, table: str, stored: Rows, told: Rows) -> None:
    for key in sorted({*stored, *told}):
        if key not in told:
            found.report(f"{table} vs journal", f"{table} {key}", "the journal does not know this row")
        elif key not in stored:
            found.report(f"{table} vs journal", f"{table} {key}", "the journal has it, the table does not")
        else:
            for column, value in told[key].items():
                if stored[key][column] != value:
                    found.report(
                        f"{table} vs journal", f"{table} {key}", f"{column} is {stored[key][column]!r}, the journal says {value!r}"
                    )


def _compare_positions(found: _Audit, told: Replay) -> None:
    """What does not follow from fills: terms and plan; state and sums are checked in `_check_sums`."""
    fixed = ("seq", "pair", "side", "strategy", "entry_key", "plan_json")
    terms = {key: {name: row[name] for name in fixed} for key, row in told.opened.items()}
    for key, row in terms.items():
        row["exit_state_json"] = told.exit_state.get(key)
    _same(found, "position", found.tables["position"], terms)
    for key, row in found.tables["position"].items():
        if (row["state"] == "DUST") != (key in told.dust and row["quantity"] != "0"):
            found.report("position vs journal", f"position {key}", f"state is {row['state']}, marked as dust: {key in told.dust}")
        if row["entry_quantity"] == "0" and key in told.opened and row["opened_us"] != told.opened[key]["opened_us"]:
            found.report("position vs journal", f"position {key}", f"opened_us is {row['opened_us']}, not as begun")
        if row["state"] == "CLOSED" and row["entry_quantity"] == "0" and told.dropped.get(key) != row["closed_us"]:
            found.report("position vs journal", f"position {key}", f"closed_us is {row['closed_us']}, dropped at {told.dropped.get(key)}")


# --- sums ---------------------------------------------------------------------------------------------------------------
def _check_sums(found: _Audit) -> None:
    """Recompute positions, filled quantities and cash from the rows of fills and moves."""
    positions: dict[str, dict[str, Decimal]] = {key: {} for key in found.tables["position"]}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    filled: dict[str, Decimal] = {}
    cash: dict[str, Decimal] = {}
    for key in found.tables["external_move"]:
        _add(cash, found.tables["external_move"][key]["asset"], found.money("external_move", key, "amount"))
    for key in sorted(found.tables["fill"], key=lambda name: int(found.tables["fill"][name]["seq"])):
        row = found.tables["fill"][key]
        if row["cl_ord_id"] is None:
            continue
        order, position = found.tables["intent"].get(row["cl_ord_id"]), found.tables["position"].get(row["position_id"])
        if order is None or position is None or order["txid"] != row["txid"] or order["position_id"] != row["position_id"]:
            found.report(
                "fill without order", f"fill {key}", f"order {row['cl_ord_id']}, position {row['position_id']}, txid {row['txid']}"
            )
            continue
        quantity, cost, fee = (found.money("fill", key, name) for name in ("quantity", "cost", "fee"))
        kind = "entry" if row["side"] == position["side"] else "exit"
        for name, value in (("quantity", quantity), ("cost", cost), ("fee", fee)):
            _add(positions[row["position_id"]], f"{kind}_{name}", value)
        if kind == "entry":
            first.setdefault(row["position_id"], row["time_us"])
        last[row["position_id"]] = row["time_us"]
        _add(filled, row["cl_ord_id"], quantity)
        sign = Decimal(-1) if row["side"] == "buy" else Decimal(1)
        _add(cash, _money_of(row["pair"]), EXACT.subtract(EXACT.multiply(sign, cost), fee))
    for key, sums in positions.items():
        row = found.tables["position"][key]
        if ":" in row["pair"]:  # a futures position: its entry cost never left the cash
            sign = Decimal(1) if row["side"] == "buy" else Decimal(-1)
            _add(cash, _money_of(row["pair"]), EXACT.multiply(sign, _basis(sums)))
        _check_position(found, key, sums)
        _check_times(found, key, first.get(key), last.get(key))
    _check_filled(found, filled)
    for asset in sorted({*cash, *found.tables["cash"]}):
        stored = found.money("cash", asset, "quantity") if asset in found.tables["cash"] else None
        if stored != cash.get(asset):
            found.report("cash vs fills", f"cash {asset}", f"is {stored}, opening, moves and fills give {cash.get(asset)}")


def _money_of(pair: str) -> str:
    """`BTC/EUR` -> EUR, `BTC/USD:USD` -> USD."""
    return pair.partition("/")[2].partition(":")[0]


def _basis(sums: Mapping[str, Decimal]) -> Decimal:
    """Entry cost of what a position still holds, to ten places."""
    entered, left = sums.get("entry_quantity", NONE), EXACT.subtract(sums.get("entry_quantity", NONE), sums.get("exit_quantity", NONE))
    if not entered:
        return NONE
    with localcontext(Context(prec=60)):
        return (sums["entry_cost"] * left / entered).quantize(Decimal("1e-10"))


def _add(sums: dict[str, Decimal], name: str, value: Decimal) -> None:
    sums[name] = EXACT.add(sums.get(name, NONE), value)


def _check_position(found: _Audit, key: str, sums: Mapping[str, Decimal]) -> None:
    row = found.tables["position"][key]
    for name in ("entry_quantity", "entry_cost", "entry_fee", "exit_quantity", "exit_cost", "exit_fee"):
        stored, right = found.money("position", key, name), sums.get(name, NONE)
        if stored != right:
            found.report("position vs fills", f"position {key}", f"{name} is {stored}, its fills give {right}")
    held = EXACT.subtract(sums.get("entry_quantity", NONE), sums.get("exit_quantity", NONE))
    if found.money("position", key, "quantity") != held:
        found.report("position vs fills", f"position {key}", f"quantity is {row['quantity']}, its fills give {held}")
    if held < NONE:
        found.report("position vs fills", f"position {key}", f"sold {-held} more than was bought")
    entered = sums.get("entry_quantity", NONE) > NONE
    allowed = ("OPENING", "CLOSED") if not entered else ("CLOSED",) if held == NONE else ("OPEN", "DUST")
    if row["state"] not in allowed:
        found.report("position vs fills", f"position {key}", f"state is {row['state']}, its fills allow {' or '.join(allowed)}")


def _check_times(found: _Audit, key: str, first_us: int | None, last_us: int | None) -> None:
    """A position opens at its first entry fill and closes at its last fill; open ones have no closing time."""
    row = found.tables["position"][key]
    if first_us is not None and row["opened_us"] != first_us:
        found.report("position vs fills", f"position {key}", f"opened_us is {row['opened_us']}, its first entry fill was at {first_us}")
    if first_us is not None:
        closes = last_us if row["state"] == "CLOSED" else None
        if row["closed_us"] != closes:
            found.report("position vs fills", f"position {key}", f"closed_us is {row['closed_us']}, must be {closes} while {row['state']}")
    elif row["state"] == "OPENING" and row["closed_us"] is not None:
        found.report("position vs fills", f"position {key}", f"closed_us is {row['closed_us']} while OPENING")


def _check_filled(found: _Audit, filled: Mapping[str, Decimal]) -> None:
    for key, row in found.tables["intent"].items():
        stored, right = found.money("intent", key, "filled"), filled.get(key, NONE)
        if stored != right:
            found.report("order vs fills", f"intent {key}", f"filled is {stored}, its fills give {right}")
        if right > found.money("intent", key, "quantity"):
            found.report("order vs fills", f"intent {key}", f"filled {right} of {row['quantity']}")


# --- facts --------------------------------------------------------------------------------------------------------------
def _facts(found: _Audit, counts: Mapping[str, int]) -> LedgerFacts:
    positions: dict[str, Decimal] = {}
    coins: dict[str, Decimal] = {}
    for key, row in found.tables["position"].items():
        held = found.money("position", key, "quantity")
        if held != NONE:
            _add(positions, row["pair"], held)
            _add(coins, row["pair"].partition("/")[0], held)
    fills = {
        key: FillFact(
            txid=row["txid"], pair=row["pair"], side=row["side"], price=found.money("fill", key, "price"),
            quantity=found.money("fill", key, "quantity"), cost=found.money("fill", key, "cost"), fee=found.money("fill", key, "fee"),
            ours=row["cl_ord_id"] is not None,
        )
        for key, row in found.tables["fill"].items()
    }  # fmt: skip
    orders = {
        row["txid"]: OrderFact(
            cl_ord_id=key, leg=row["leg"], pair=row["pair"], side=row["side"], quantity=found.money("intent", key, "quantity"),
            filled=found.money("intent", key, "filled"), status=row["status"], origin=row["origin"], created_us=row["created_us"],
        )
        for key, row in found.tables["intent"].items() if row["txid"] is not None
    }  # fmt: skip
    unresolved = tuple(key for key, row in found.tables["intent"].items() if row["outcome"] == "SENT")
    cash = {asset: found.money("cash", asset, "quantity") for asset in found.tables["cash"]}
    return LedgerFacts(
        fills=fills, orders=orders, unresolved=unresolved, positions=positions, coins=coins, cash=cash, counts=counts,
        problems=_unique(found.problems),
    )  # fmt: skip


def _unique(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """In the order found, each once."""
    return tuple(dict.fromkeys(problems))
