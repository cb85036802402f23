"""The table of faults: every row of the catalogue, from a report, with what the journal says after a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.behaviour import _goes_on, _said
from tests.chaos.campaign import Result, report
from tests.chaos.catalogue import ROWS
from tests.chaos.evidence import JournalLine
from tests.chaos.table import table
from trader.domain.market import MINUTE

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/faults.md"


def line(type_: str, **payload: object) -> JournalLine:
    return JournalLine(seq=0, time_us=0, type=type_, payload=payload)


def test_what_is_said_is_each_outcome_once_and_no_usual_line() -> None:
    resolved = {"leg": "entry", "answer": ""}
    lines = [
        line("beat"), line("resolved", cl_ord_id="t1", outcome="ACKED", **resolved), line("order.unresolved", cl_ord_id="t2"),
        line("resolved", cl_ord_id="t2", outcome="ACKED", **resolved), line("resolved", cl_ord_id="t3", outcome="ABSENT", **resolved),
        line("halt.set", cause="LEDGER"), line("halt.set", cause="LEDGER"), line("reconcile", differences=0),
    ]  # fmt: skip
    assert _said(lines) == ["an order without an answer is looked up", "entry found and taken over", "entry proved absent", "halt LEDGER"]
    assert _said(lines[:2]) == []
    assert _goes_on(lines[:2]) == "no line of its own in the journal; 1 beats, 0 orders and 0 fills in the next 20 minutes"


def test_a_table_has_every_row_with_its_count_seed_and_what_was_seen() -> None:
    counts = {"looks": 9, "fills": 1, "orders": 2, "intents": 3, "exits": 4, "exits_excused": 1}
    result = Result(seed=4, problems={}, plan=(), delivered={"H2": 5}, behaviour={"H2": "a | b"}, compared=counts)
    page = table(report([result], ROWS.values(), fault_us=MINUTE))
    rows = [text for text in page.splitlines() if text.startswith("| ")][1:]
    assert [text.split()[1] for text in rows] == list(ROWS)
    assert "| H2 | response lost after the effect | 5 | 4 | a \\| b |" in rows
    assert sum("not injected here: " in text for text in rows) == sum(not row.injectable for row in ROWS.values())
    with pytest.raises(KeyError):
        table(report([result], [ROWS["H2"]], fault_us=MINUTE))


def test_the_page_that_is_kept_has_every_fault_delivered_and_something_seen() -> None:
    rows = [text.split(" | ") for text in PAGE.read_text().splitlines() if text.startswith("| ")][1:]
    assert [row[0].removeprefix("| ") for row in rows] == list(ROWS)
    assert all(row[2] == "-" or int(row[2]) >= 1 for row in rows)
    assert all(len(row[-1]) > len(" |") for row in rows)
