"""The codes of decisions, exits and halts in the words a person reads; the page and Slack say the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from trader.domain.messages import Refusal

DECISIONS = {
    "ENTER": "bought",
    "DEFER": "waiting for the AI",
    "HOLD": "left alone",
    Refusal.NOT_READY: "not enough candles yet",
    Refusal.NO_SIGNAL: "no signal",
    Refusal.H4_BEARISH: "the 4 h trend points down",
    Refusal.SCORE_LOW: "score too low",
    Refusal.FALLING_KNIFE: "the price is falling too fast",
    Refusal.QUIET_MARKET: "the market moves too little",
    Refusal.TARGET_BELOW_COST: "the target would not pay the costs",
    Refusal.UNIVERSE: "not among the largest markets",
    Refusal.HALTED: "entries are halted",
    Refusal.NO_REGIME: "the state of the market is unknown",
    Refusal.BTC_CRASH: "BTC is crashing",
    Refusal.PAIR_HELD: "this coin is held already",
    Refusal.COOLDOWN: "too soon after the last exit",
    Refusal.LOCKED: "locked until a person has looked",
    Refusal.SURVEILLANCE: "flagged by market surveillance",
    Refusal.DEEP_CHECK: "failed the deep check",
    Refusal.CORRELATED: "moves with what is held",
    Refusal.MAX_POSITIONS: "enough positions are open",
    Refusal.MAX_NEW_PER_BAR: "enough entries in this candle",
    Refusal.EXPOSURE: "too much is invested already",
    Refusal.CASH: "not enough cash",
    Refusal.LIQUIDITY: "too little is traded",
    Refusal.MIN_NOTIONAL: "below the exchange's minimum",
    Refusal.LIQUIDATION_NEAR: "liquidation is less than two stops away",
    Refusal.SPREAD: "the spread is too wide",
    Refusal.DEPTH: "the order book is too thin",
    Refusal.VENUE: "the exchange does not take orders in it",
    Refusal.AI_VETO: "vetoed by the AI's verdict",
    Refusal.AI_NONE: "no usable AI verdict in time",
    Refusal.ENTRY_BAND: "the price left the entry band",
    Refusal.DATA_GATE: "its data failed the quality gate",
}
"""Code of a decision -> why, as the end of "{pair}: ..."."""

POINTS = {
    "base": "a signal",
    "rsi_depth": "RSI deeply oversold",
    "below_lower_band": "below the lower Bollinger band",
    "uptrend": "4 h uptrend",
    "fibonacci_zone": "at a Fibonacci level",
    "macd_strong": "MACD rising",
    "macd_crossover": "MACD just crossed up",
    "volume_spike": "volume spike",
    "bearish_divergence": "bearish divergence",
    "bullish_divergence": "bullish divergence",
    "h4_bearish": "4 h downtrend",
}

EXITS = {
    "STOP_LOSS": "stop-loss",
    "TP1": "first target",
    "TP2": "second target",
    "STAGNATION": "went nowhere",
    "MAX_HOLD": "held long enough",
    "DUST_ESCAPE": "rest too small to keep",
    "SIGNAL": "exit signal",
    "EXIT": "closed by a person",
    "FLATTEN": "closed by a person (flatten)",
    "STOP_MISSING": "its stop was missing",
}

RULINGS = {"ALLOW": "allowed", "SHRINK": "half size", "VETO": "vetoed", "DEFER": "not answered yet"}


def decision_words(code: str) -> str:
    """Why a pair was or was not bought; an unknown code as it is, in lower case."""
    return DECISIONS.get(code, _plain(code))


def point_words(name: str) -> str:
    """A reason for a score."""
    return POINTS.get(name, _plain(name))


def exit_words(reason: str) -> str:
    """Why a position was left; `RATCHET_L3` is the third step of the trailing stop."""
    if reason.startswith("RATCHET_L") and reason[9:].isdigit():
        return f"trailing stop, step {reason[9:]}"
    return EXITS.get(reason, _plain(reason))


def gate_words(pair: str, expectation: str) -> str:
    """What ends the data gate's block of a pair, by the expectation that failed."""
    column = expectation.rpartition("(")[2].rstrip(")")
    if column in ("missing", "gaps", "age_bars"):
        return "It comes back by itself once the hourly ingest has filled its newest candles."
    clear = f"`trader data clear {pair} --reason ...` ends it in your name"
    if column in ("spike", "wick", "zone_h"):
        return f"The hourly ingest fetches it again. If the candle really happened, {clear} and accepts that candle."
    return f"The hourly ingest fetches it again and it comes back when that passes; {clear}, the refused candles stay out."


def halt_words(cause: str) -> tuple[str, str]:
    """What stopped entries, and what a person can do about it."""
    if cause == "operator":
        return "A person stopped new entries", "`trader resume` clears it. Exits and stops go on meanwhile."
    if cause == "DAILY_LOSS":
        return "The daily loss limit was reached", _JUDGE
    if cause == "DRAWDOWN":
        return "The drawdown limit was reached", _JUDGE
    if cause == "CONSECUTIVE_STOPS":
        return "Too many stop-losses in a row", _JUDGE
    if cause in _VENUE:
        return _VENUE[cause]
    kind, _, asset = cause.partition(" ")
    if kind == "foreign":
        return (
            f"Coins, an order or a fill in {asset} that are not this system's",
            f"Only {asset} is locked. Look at the account on the exchange.",
        )
    if kind == "mismatch":
        return f"The ledger and the exchange disagree about {asset}", f"Only {asset} is locked. Compare both balances before you trade it."
    if kind == "unknown":
        return (
            f"The exchange does not let go of {asset} that the ledger holds: what is held is unknown",
            f"Look at {asset} on the exchange. Put back what is missing; its stop is tried within two minutes then, and that ends it.",
        )
    return f"Halt: {cause}", "Entries stay off until a person has looked; exits and stops go on."


_VENUE = {
    "AUTH": ("The exchange refuses the API key", "Check the key and its rights, then `trader resume --cause AUTH --reason TEXT`."),
    "NONCE": ("The exchange refuses our nonces: another program uses this key", "Give each program a key of its own, then resume."),
    "LIMITS": ("The exchange refuses more orders on this account", "Look at the open orders on the exchange, then resume with a reason."),
    "SKEW": ("This machine's clock is more than 5 s off", "Set the clock; it ends by itself when the next session finds it right."),
}
_JUDGE = "New entries stay off until a person has judged it; exits and stops go on. Look at the closed trades first."


def _plain(code: str) -> str:
    return code.replace("_", " ").lower()


# --- numbers -----------------------------------------------------------------------------------------------------------
_WIDE = Context(prec=1000)  # a number nobody expected is shown, not refused


def money(value: Decimal | str, places: int = 2, *, sign: bool = False) -> str:
    """`-1234.5` -> `−1,234.50`; `sign`: a gain gets its plus."""
    amount = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, _WIDE)
    text = f"{abs(amount):,f}"
    return ("−" if amount < 0 else "+" if sign and amount > 0 else "") + text


def price(value: Decimal | str) -> str:
    """Six significant digits at most, never fewer than two decimals above 1: `2838.190493` -> `2,838.19`."""
    amount = Decimal(value)
    if amount == 0:
        return "0"
    places = max(2, 5 - amount.adjusted()) if abs(amount) < 1000 else 2
    text = f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, _WIDE):,f}"
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def number(value: float) -> str:
    """`-15.9` -> `−15.90`: a ratio, or an amount that is an average."""
    return f"{value:,.2f}".replace("-", "−")


def percent(fraction: float, places: int = 2, *, sign: bool = False) -> str:
    """`-0.0123` -> `−1.23 %`; two more places where it would read as zero though it is not."""
    if fraction and places == 2 and abs(fraction) < 0.00005:
        places = 4
    shown = round(fraction * 100, places)
    return f"{'−' if shown < 0 else '+' if sign and shown > 0 else ''}{abs(shown):.{places}f} %"


def span(seconds: float) -> str:
    """`3725` -> `1 h 2 min`."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min"
    if left < 86400:
        return f"{left // 3600} h {left % 3600 // 60} min"
    return f"{left // 86400} d {left % 86400 // 3600} h"


def clock_time(time_us: int, *, date: bool = True) -> str:
    """`5 Jan 14:03` in UTC, or `14:03` alone."""
    when = datetime.fromtimestamp(time_us / 1_000_000, UTC)
    return f"{when.day} {when:%b %H:%M}" if date else f"{when:%H:%M}"
