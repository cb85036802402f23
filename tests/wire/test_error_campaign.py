"""Every error string and transport fault on every write of the adapter; a build that re-sends or guesses turns it red."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.architecture.trees import ROOT
from tests.campaigns.error_words import STRINGS
from tests.campaigns.words import WRITES, Case, Guessing, Resending, run, string_cases, transport_cases
from trader.kraken.exchange import KrakenExchange
from trader.kraken.outcomes import class_of, known
from trader.kraken.words import EXACT_WORDS

MINIMUM = 600  # cases; a campaign that shrinks says nothing


def test_every_string_and_every_transport_fault_on_every_write() -> None:
    cases = [*string_cases(), *transport_cases()]
    result = run(cases)
    print(f"{result.cases} cases, {result.written} written exactly once, {len(result.failures)} failures")
    assert result.failures == []
    assert result.cases == result.written == len(cases) >= MINIMUM
    assert min(Counter(case.write for case in cases).values()) >= MINIMUM // len(WRITES)
    assert result.answers["ambiguous"] >= 200
    assert set(result.answers) == {*STRINGS, "acked"}


def test_the_campaign_knows_every_write_of_the_adapter() -> None:
    source = (ROOT / "trader" / "kraken" / "exchange.py").read_text()
    found = re.findall(r'_rest\.order\(\s*"(\w+)"', source)
    assert sorted(found) == sorted(WRITES)


def test_each_class_of_the_adapters_table_is_tried() -> None:
    assert set(STRINGS) == set(EXACT_WORDS)
    unknown = [text for kind, texts in STRINGS.items() for text in texts if kind != "ambiguous" and not known(text)]
    assert unknown == []
    assert len({text for texts in STRINGS.values() for text in texts}) >= 80
    assert all(class_of(text).value == kind for kind, texts in STRINGS.items() for text in texts)


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (Resending, "written 2 times"),
        (Guessing, "answered bug, not ambiguous"),
    ],
    ids=["resends", "guesses"],
)
def test_a_planted_breach_turns_the_campaign_red(planted: type[KrakenExchange], said: str) -> None:
    cases: list[Case] = [case for case in (*string_cases(), *transport_cases()) if case.answer == "ambiguous" and case.write == "AddOrder"]
    result = run(cases, planted)
    assert len(cases) >= 60
    assert result.cases == len(cases)
    assert sum(said in failure for failure in result.failures) >= 50
