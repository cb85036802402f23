"""The status report's words, tables and charts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trader.domain.market import DAY, MINUTE
from trader.domain.messages import TradeLeg
from trader.domain.orders import Side
from trader.ports import EquityRow, Halt
from trader.reporting import charts
from trader.reporting.periodic import Holding, MarketView, StatusData, content_hash, markdown, position_rows, summary, trade_rows
from trader.strategy.modes import STRATEGIES, parameters
from trader.strategy.strategies import of_table, warnings_of

D = Decimal
NOW = 20_454 * DAY + 600 * MINUTE  # 2026-01-01T10:00Z


def equity_rows(n: int) -> list[EquityRow]:
    return [
        EquityRow(
            time_us=NOW - (n - i) * MINUTE, cash=D(0), marked=D(0), equity=D(10_000 + (i % 7) * 10), realised=D(0), fees=D(0), drawdown=0.0
        )
        for i in range(n)
    ]


def data() -> StatusData:
    return StatusData(
        environment="demo", strategy="viable/sniper/DEFAULT", ai_mode="veto", quote="EUR", as_of_us=NOW, daily_limit=0.0382,
        drawdown_limit=0.13, market=MarketView(reference="BTC/EUR", change=0.0123, breadth=0.5, pairs=4, mood=61.8), equity=equity_rows(9),
        cash={"EUR": D("8000.5")}, pairs_ready=4, last_beat_us=NOW, beat_lags_s=(0.1, 0.42), decisions={"ENTER": 1, "NO_SIGNAL": 90},
        holdings=[Holding(position_id="p1", pair="ETH/EUR", side="buy", quantity=D("1.5"), entry_price=D(1000), mark=D(1020), stop=D(990),
                          stop_state="resting", opened_us=NOW - 95 * MINUTE)],
        legs=[TradeLeg(position_id="p0", pair="BTC/EUR", side=Side.BUY, entry_us=NOW - DAY, exit_us=NOW - 60 * MINUTE, entry_price=D(100),
                       exit_price=D(110), quantity=D(1), fee=D("0.8"), net=D("9.2"), reason="TP1")],
        halts=[Halt(cause="operator", level="REDUCING", since_us=NOW, reason="lunch")],
    )  # fmt: skip


def test_report_states_money_positions_results_risk_and_health() -> None:
    text = markdown(data(), "PICTURE")
    assert text.startswith("# DEMO status 2026-01-01 10:00 UTC\n")
    for words in (
        "**10,010.00 EUR**", "cash 8,000.50", "1 open positions", "PICTURE",
        "| ETH/EUR | buy | 1.5 | 1000 | 1020 | +2.00 % | 990 | resting | 1 h 35 min |",
        "| today | 1 | +9.20 | 100.00 % |", "**REDUCING operator**", "viable/sniper/DEFAULT, AI veto", "ENTER 1, NO_SIGNAL 90",
        "BTC/EUR +1.23 % in 24 h; 50.00 % of 4 pairs rose. Mood 62 of 100", "worst lag of the last 2 beats 0.42 s",
    ):  # fmt: skip
        assert words in text, words


def test_the_chart_of_trades_speaks_as_the_page_does() -> None:
    rows = [{"net": net, "pair": "A/EUR", "closed": "10:00", "reason": "STOP_LOSS"} for net in ("-1234.5", "2.5")]
    spec = charts.trades(rows, "EUR")
    assert spec["description"] == "2 closed trades, 1 with a gain, from −1,234.50 to +2.50 EUR."
    (values,) = spec["datasets"].values()
    assert [row["reason"] for row in values] == ["stop-loss", "stop-loss"]


def test_report_before_the_first_session_says_what_to_do() -> None:
    text = markdown(replace(data(), equity=(), holdings=(), legs=()))
    assert "No session has run yet. `trader up --env demo` starts one." in text


def test_a_report_that_says_nothing_new_has_the_same_hash() -> None:
    first = data()
    assert content_hash(first) == content_hash(replace(first, as_of_us=NOW + 1, last_beat_us=NOW + MINUTE))
    assert content_hash(first) != content_hash(replace(first, halts=()))


def test_an_open_positions_legs_are_not_yet_a_closed_trade() -> None:
    part = replace(data(), legs=[*data().legs, replace(data().legs[0], position_id="p1")])
    assert [row["net"] for row in trade_rows(part)] == ["+9.20"]
    assert summary(part)["trades"] == 1
    assert len(position_rows(part)) == 1


def test_equity_chart_is_one_spec_with_its_data_and_a_png() -> None:
    spec = charts.equity(equity_rows(5_000), "EUR", points=300)
    (rows,) = list(spec["datasets"].values()) if "datasets" in spec else [spec["data"]["values"]]
    assert 150 < len(rows) <= 300
    assert rows[-1]["time"] == (NOW - MINUTE) // 1000
    assert all(row["drawdown"] <= 0 for row in rows)
    assert "greatest drawdown 0.60 %" in spec["description"]
    assert charts.png(spec, scale=1.0)[:8] == b"\x89PNG\r\n\x1a\n"
    assert charts.png(charts.equity([], "EUR"), scale=1.0)[:4] == b"\x89PNG"


def test_a_warning_of_the_strategy_stands_beside_it() -> None:
    seed = warnings_of(of_table(parameters("seed", "sniper", "DEFAULT")))
    assert [text.split(":")[0].split(" starts")[0] for text in seed] == ["Profile seed"]
    assert "**Warning:** Profile seed starts every score" in markdown(replace(data(), warnings=seed))
    assert "Warning" not in markdown(data())


def test_the_seeds_small_targets_are_named_at_our_costs_and_viable_has_no_warning() -> None:
    """SPEC section 2: at c = 0.009 all columns of mitraillette and the sniper's first fail the edge rule."""
    small = [
        f"{mode}/{variation}" for mode, variation in STRATEGIES if len(warnings_of(of_table(parameters("seed", mode, variation)))) == 2
    ]
    assert small == ["mitraillette/CONSERVATIVE", "mitraillette/DEFAULT", "mitraillette/AGGRESSIVE", "sniper/CONSERVATIVE"]
    assert not any(warnings_of(of_table(parameters("viable", mode, variation))) for mode, variation in STRATEGIES)
