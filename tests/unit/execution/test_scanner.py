"""The universe: ranking, hysteresis, exclusions with reasons."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from trader.domain.market import DAY, Instrument, Ticker
from trader.execution.scanner import (
    PairFacts,
    ScanRules,
    Universe,
    coarse,
    depth_within,
    exclusion,
    fine_ranks,
    held_bases,
    members_of,
    plain_base,
    scan,
    unchanged,
)  # fmt: skip

NOW = 100 * DAY
RULES = ScanRules(size=10, max_spread=0.003)


def instrument(pair: str) -> Instrument:
    base, quote = pair.split("/")
    return Instrument(pair=pair, base=base, quote=quote, tick=D("0.01"), lot=D("0.001"), order_min=D(1), cost_min=D(1))


def ticker(pair: str, volume: float, last: str = "10", bid: str = "9.99", ask: str = "10.01") -> Ticker:
    return Ticker(pair=pair, bid=D(bid), ask=D(ask), last=D(last), quote_volume=volume)


def facts(pair: str, volume: float = 1.0, **changes: object) -> PairFacts:
    return replace(PairFacts(pair=pair, base=pair.partition("/")[0], quote_volume=volume, last_candle_us=NOW), **changes)


def test_coarse_list_is_by_turnover_without_fiat_stablecoins_other_quotes_and_dead_tickers() -> None:
    volumes = {"A/EUR": 5.0, "B/EUR": 9.0, "C/EUR": 5.0, "USDT/EUR": 99.0, "GBP/EUR": 98.0, "ZUSD/EUR": 97.0, "D/USD": 96.0, "E/EUR": 0.0}
    tickers = {pair: ticker(pair, volume) for pair, volume in volumes.items()} | {
        "F/EUR": ticker("F/EUR", 50.0, last="0"),
        "G/EUR": ticker("G/EUR", 50.0),
    }
    listed = {pair: instrument(pair) for pair in [*volumes, "F/EUR"]}
    assert coarse(tickers, listed, "EUR") == ["B/EUR", "A/EUR", "C/EUR"]
    assert coarse(tickers, listed, "EUR", 2) == ["B/EUR", "A/EUR"]
    assert coarse({}, listed, "EUR") == []


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("XBT", "BTC"),
        ("XXBT", "BTC"),
        ("XDG", "DOGE"),
        ("XETH", "ETH"),
        ("ZEUR", "EUR"),
        ("XTZ", "XTZ"),
        ("XABC", "XABC"),
        ("ZORA", "ZORA"),
        ("SOL", "SOL"),
    ],
)
def test_coins_have_one_name(base: str, name: str) -> None:
    assert plain_base(base) == name


def test_ranks_are_by_turnover_then_name_and_nan_is_last() -> None:
    assert fine_ranks([facts("B/EUR", 5), facts("A/EUR", 5), facts("C/EUR", 9), facts("D/EUR", float("nan"))]) == {
        "C/EUR": 1,
        "A/EUR": 2,
        "B/EUR": 3,
        "D/EUR": 4,
    }


def test_membership_has_hysteresis() -> None:
    ranks = {f"P{n:02}/EUR": n for n in range(1, 31)}
    assert members_of(ranks, 10, []) == tuple(f"P{n:02}/EUR" for n in range(1, 11))
    assert members_of(ranks, 10, ["P12/EUR", "P13/EUR"])[-1] == "P12/EUR"  # up to ceil(1.2 x 10)
    assert len(members_of(ranks, 144, ranks)) == 30


@pytest.mark.parametrize(
    ("change", "rules", "reason"),
    [
        ({}, RULES, None),
        ({}, replace(RULES, held_bases={"BTC": "XBT/EUR"}), "held"),
        ({"pair": "BTC/USD"}, replace(RULES, held_bases={"BTC": "XBT/EUR"}), "alias held: XBT/EUR"),
        ({}, replace(RULES, deny=("XBT/EUR",)), "denied"),
        ({}, replace(RULES, cooldown_until_us={"XBT/EUR": NOW + 1}), "cooldown"),
        ({}, replace(RULES, cooldown_until_us={"XBT/EUR": NOW}), None),
        ({}, replace(RULES, blacklist_until_us={"XBT/EUR": NOW + 1}), "blacklisted"),
        ({"spread": 0.0031}, RULES, "spread 0.0031 above 0.0030"),
        ({"spread": 0.003}, RULES, None),
        ({"spread": float("nan")}, RULES, "spread nan above 0.0030"),
        ({"status": "cancel_only"}, RULES, "venue status cancel_only"),
        ({"last_candle_us": NOW - DAY - 1}, RULES, "no candles for a day"),
        ({"last_candle_us": None}, RULES, "no candles for a day"),
        ({"gate": "finite"}, RULES, "data gate: finite"),
    ],
)
def test_exclusions_name_their_reason(change: dict[str, object], rules: ScanRules, reason: str | None) -> None:
    found = exclusion(replace(facts("XBT/EUR"), **change), rules, NOW)
    assert (found.reason if found else None) == reason


def test_no_candles_blacklists_for_a_week() -> None:
    found = exclusion(facts("A/EUR", last_candle_us=None), RULES, NOW)
    assert found is not None and found.until_us == NOW + 7 * DAY


def test_scan_of_150_pairs_keeps_144_and_lists_the_excluded() -> None:
    many = [facts(f"P{n:03}/EUR", 1000.0 - n, status="online" if n else "delisted") for n in range(150)]
    made = scan(many, replace(RULES, size=144), [], NOW)
    assert len(made.members) == 144 and made.members[0] == "P000/EUR"
    assert [e.pair for e in made.excluded] == ["P000/EUR"]


def test_a_failing_ticker_call_keeps_the_list_and_blocks_entries_after_a_day() -> None:
    made = scan([facts("A/EUR")], RULES, [], NOW)
    assert unchanged(made, NOW, NOW + DAY).members == made.members
    assert unchanged(made, NOW, NOW + DAY).stale and not unchanged(made, NOW, NOW + DAY).entries_off
    assert unchanged(made, NOW, NOW + DAY + 1).entries_off


def test_depth_is_what_lies_within_half_a_percent() -> None:
    assert depth_within([(D("100.4"), D(2)), (D("100.5"), D(1)), (D("100.6"), D(50))], D(100)) == D("301.3")


def test_held_bases_use_one_name_per_coin() -> None:
    assert held_bases({"XBT/EUR": instrument("XBT/EUR")}, ["XBT/EUR", "gone/EUR"]) == {"BTC": "XBT/EUR"}


def test_a_member_stays_until_its_rank_passes_the_edge_and_a_new_pair_asks_for_a_ranking() -> None:
    universe = Universe(5)
    assert universe.lacks(["P1/EUR"]) and "P1/EUR" not in universe
    volumes = {f"P{n}/EUR": 100.0 - n for n in range(1, 9)}
    universe.rank(volumes)
    assert universe.members == ("P1/EUR", "P2/EUR", "P3/EUR", "P4/EUR", "P5/EUR") and not universe.lacks(volumes)
    universe.rank(volumes | {"P6/EUR": 95.5})  # P5 is sixth now: within 1.2 x 5
    assert universe.members[-2:] == ("P6/EUR", "P5/EUR")
    universe.rank(volumes | {"P6/EUR": 95.5, "P7/EUR": 95.4})
    assert "P5/EUR" not in universe and universe.lacks(["new/EUR"])
