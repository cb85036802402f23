"""`trader backtest` as a screen of at most 100 columns, from the very object that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from trader.reporting.words import decision_words, money, number, percent

WIDTH = 100
ROWS = 8  # pairs shown; --json has all
Result = Mapping[str, Any]


def backtest_screen(result: Result) -> str:
    """What ran on what, the account, trades, costs, comparisons, tables per reason and pair, digests, and what to be wary of."""
    lines = [
        *_head(result), *_account(result), *_comparisons(result), *_reasons(result), *_pairs(result), *_refusals(result),
        *_verified(result), "", f"data      sha256 {result['data_sha256']}", f"trades    sha256 {result['parity_sha256']}",
    ]  # fmt: skip
    for warning in result["warnings"]:
        lines += _wrapped("note", warning)
    return "\n".join(line.rstrip() for line in lines)


def _head(r: Result) -> list[str]:
    a_side = f"fee {percent(r['fee'])} a side, slippage {percent(r['slippage'])} a side"
    costs = f"{a_side}: a round trip costs {percent(r['round_trip'])}; AI {r['ai']}{_tape(r)}"
    return [
        f"{r['strategy']}  {r['from'][:16].replace('T', ' ')} to {r['to'][:16].replace('T', ' ')} UTC",
        f"candles   {r['data']}"[:WIDTH],
        f"          {r['pairs']} pairs, {r['timeframe']}, {r['candles']:,} candles, warm-up {r['warmup']}",
        *_wrapped("costs", costs),
    ]


def _tape(r: Result) -> str:
    """Which cassette, how it ruled, and whose voice it is."""
    if (tape := r["cassette"]) is None:
        return ""
    rulings = ", ".join(f"{count} {name.lower()}" for name, count in tape["rulings"].items()) or "no signal asked"
    return f" {tape['sha256'][:12]}{f' ({label})' if (label := tape['label']) else ''}: {rulings}"


def _account(r: Result) -> list[str]:
    quote, back = r["quote"], r["drawdown_back"]
    rate = "-" if r["win_rate"] is None else f"{percent(r['win_rate'], 1)} ({_between(r['win_rate_95'], 1)})"
    return [
        "",
        f"result    {percent(r['return'], sign=True)}: {money(r['cash'])} to {money(r['equity_end'])} {quote} ({r['account']})",
        f"drawdown  {percent(r['max_drawdown'])} from {r['drawdown_from'][:10]} to {r['drawdown_bottom'][:10]}, "
        f"{'not recovered' if back is None else f'back {back[:10]}'}; longest {r['drawdown_longest_days']:g} days",
        f"risk      Sharpe {_number(r['sharpe'])}, Sortino {_number(r['sortino'])}; invested {percent(r['exposure'], 1)}, "
        f"in the market {percent(r['time_in_market'], 1)} of the time",
        f"trades    {r['trades']:,} of {r['signals']:,} signals, won {rate}; {len(r['open'])} open at the end",
        f"          profit factor {_number(r['profit_factor'])}, expectancy {_number(r['expectancy'])} {quote} a trade, "
        f"mean {_number(r['r']['mean'])} R",
        f"costs     {money(r['fees'])} fees + {money(r['slippage_paid'])} slippage {quote}; "
        f"before them {money(r['before_costs'], sign=True)}, after {money(r['net'], sign=True)}",
        f"          turnover {r['turnover_times']:.1f} times the capital; costs took {_share(r['cost_share'])} of the gains",
        *_margin(r),
    ]


def _margin(r: Result) -> list[str]:
    if r["market"] == "spot":
        return []
    return [
        f"futures   {r['side']}s at leverage {r['leverage']}; funding {money(r['funding'], sign=True)} {r['quote']} beside the trades' net"
    ]


def _comparisons(r: Result) -> list[str]:
    hold, chance = r["benchmarks"]["buy_and_hold"], r["benchmarks"]["random_entry"]
    lines = ["", f"holding   the same pairs in equal parts: {percent(hold['return'], sign=True)}, drawdown {percent(hold['max_drawdown'])}"]
    if chance is not None:
        lines += _wrapped(
            "chance",
            f"the same exits from {chance['entries']:,} random entries, {chance['draws']} times: "
            f"{percent(chance['random_mean'], sign=True)} a trade ({_between(chance['random_95'], 2)}); "
            f"the strategy {percent(chance['strategy_mean'], sign=True)}; "
            f"{percent(chance['as_good_or_better'], 1)} of the draws did as well or better",
        )
    return lines


def _reasons(r: Result) -> list[str]:
    rows = [
        [one["words"], f"{one['count']:,}", percent(one["win_rate"], 1), money(one["net"], sign=True), money(one["fees"])]
        for one in r["by_reason"]
    ]
    return _table(("left because", "legs", "won", f"net {r['quote']}", "fees"), rows)


def _pairs(r: Result) -> list[str]:
    rows = [
        [
            one["name"],
            f"{one['count']:,}",
            percent(one["win_rate"], 1),
            money(one["net"], sign=True),
            money(one["fees"]),
            _held(one["hold"]),
        ]
        for one in r["by_pair"][:ROWS]
    ]
    lines = _table(("pair", "trades", "won", f"net {r['quote']}", "fees", "holding it"), rows)
    rest = len(r["by_pair"]) - ROWS
    return [*lines, f"{rest} more pairs with --json"] if rest > 0 else lines


def _refusals(r: Result) -> list[str]:
    lines = []
    if r["refusals"]:
        told = sorted(r["refusals"].items(), key=lambda item: (-item[1], item[0]))
        lines += ["", *_wrapped("refused", ", ".join(f"{decision_words(code)} {count}" for code, count in told))]
    for pair, why in list(r["excluded"].items())[:ROWS]:
        lines += _wrapped("left out", f"{pair}: {why}")
    if len(r["excluded"]) > ROWS:
        lines.append(f"          {len(r['excluded']) - ROWS} more with --json")
    return lines


def _verified(r: Result) -> list[str]:
    """The comparison with the session's replay, where it was asked for."""
    if (found := r["verify"]) is None:
        return []
    left, right = found["compared"]
    lines = ["", *_wrapped("verified", f"kernel {left} legs, session replay {right} legs: {found['same']} the same, "
                                       f"{found['different_fields']} differing fields. {found['words']}")]  # fmt: skip
    for one in found["differences"][:ROWS]:
        lines += _wrapped("", one)
    if len(found["differences"]) > ROWS:
        lines.append(f"          {len(found['differences']) - ROWS} more with --json")
    return lines


# --- how things are written --------------------------------------------------------------------------------------------
def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    if not rows:
        return []
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.rjust(width) if i else value.ljust(width) for i, (value, width) in enumerate(zip(values, widths, strict=True))
        )

    return ["", line(heads), *(line(row) for row in rows)]


def _wrapped(label: str, text: str) -> list[str]:
    """Lines of at most WIDTH; a number stays with its per cent sign."""
    lines = wrap(text.replace(" %", "\u00a0%"), WIDTH, initial_indent=label.ljust(10), subsequent_indent=" " * 10)
    return [line.replace("\u00a0", " ") for line in lines]


def _number(value: float | None) -> str:
    return "-" if value is None else number(value)


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value, 1)


def _held(value: float | None) -> str:
    return "-" if value is None else percent(value, 1, sign=True)


def _between(values: Sequence[float | None], places: int) -> str:
    low, high = values
    return "-" if low is None or high is None else f"95 %: {percent(low, places)} to {percent(high, places)}"
