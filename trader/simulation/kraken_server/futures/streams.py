"""What the futures feeds have to say: snapshots for those who join, updates for those who listen, and the sequence of each book."""

from __future__ import annotations

from dataclasses import dataclass

from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.orders import Fill
from trader.simulation.kraken_server.futures import feeds
from trader.simulation.kraken_server.futures.feeds import Frame
from trader.simulation.kraken_server.futures.history import FuturesHistory
from trader.simulation.kraken_server.futures.market import FuturesMarket, Level

SNAPSHOT_TRADES = 100
SNAPSHOT_FILLS = 100
SNAPSHOT_LOGS = 500
BALANCE_PARTS = ("holding", "futures", "flex_futures")
SEQUENCE_US = 10_000  # a book's sequence begins at the tick's time in these, so that it goes on rising after a restart


@dataclass(slots=True)
class _Shown:
    """A book as all listeners know it."""

    sides: dict[str, list[Level]]
    seq: int


class FuturesStreams:
    """Frames without connections. A book's deltas are the same for everybody, so its sequence has no gap for anybody."""

    def __init__(self, market: FuturesMarket, history: FuturesHistory, uid: str) -> None:
        self._market, self._exchange, self._clock = market, market.exchange, market.clock
        self._history, self._uid = history, uid
        self._books: dict[str, _Shown] = {}
        self._traded: dict[str, int] = {}  # number of the last trade that was told
        self._balances: dict[str, Frame] = {}  # parts of the balances as all listeners know them
        self._seq: dict[str, int] = {}  # of a feed's updates: a snapshot bears the last one, so nobody sees a gap
        self._logged = 0

    # --- public ----------------------------------------------------------------------------------------------------
    def opening(self, feed: str, contract: Contract, *, alone: bool) -> list[Frame]:
        """What somebody who subscribes gets at once. `alone`: nobody else listens, so what was shown last may be old."""
        if feed == "trade":
            trades = self._market.trades(contract, SNAPSHOT_TRADES)
            if alone and trades:
                self._traded[contract.symbol] = trades[-1].number
            return [feeds.trade_snapshot(contract, trades)]
        if feed == "book":
            shown = self._shown(contract)
            if alone:
                shown.sides, shown.seq = self._market.book(contract), shown.seq + 1
            return [feeds.book_snapshot(contract, shown.sides, shown.seq, self._exchange.state.tick_us)]
        return self.update(feed, contract)

    def update(self, feed: str, contract: Contract) -> list[Frame]:
        """What a market tick brings."""
        now_us = self._clock.now_us()
        if feed == "ticker":
            return [feeds.ticker(self._market, contract, now_us)]
        if feed == "ticker_lite":
            return [feeds.ticker_lite(self._market, contract, now_us)]
        if feed == "trade":
            newest = self._market.newest_trade(contract)
            if newest is None or newest.number <= self._traded.get(contract.symbol, -1):
                return []  # not every tick brings a trade
            self._traded[contract.symbol] = newest.number
            return [feeds.trade(contract, newest)]
        shown, frames = self._shown(contract), []
        after = self._market.book(contract)
        for change in feeds.book_changes(shown.sides, after):
            shown.seq += 1
            frames.append(feeds.book_delta(contract, change, shown.seq, self._exchange.state.tick_us))
        shown.sides = after
        return frames

    def _shown(self, contract: Contract) -> _Shown:
        if contract.symbol not in self._books:
            self._books[contract.symbol] = _Shown(self._market.book(contract), self._exchange.state.tick_us // SEQUENCE_US)
        return self._books[contract.symbol]

    # --- private ---------------------------------------------------------------------------------------------------
    def account_opening(self, feed: str, *, alone: bool) -> list[Frame]:
        """Snapshot of a private feed. Only one who listens `alone` changes what counts as told: others wait for what it shows."""
        state = self._exchange.state
        if feed in ("open_orders", "open_orders_verbose"):
            rows = [feeds.open_order(order) for order in self._exchange.open_orders()]
            return [{"feed": f"{feed}_snapshot", "account": self._uid, "orders": rows}]
        if feed == "fills":
            fills = list(state.fills.values())[-SNAPSHOT_FILLS:]
            return [{"feed": "fills_snapshot", "account": self._uid, "fills": [feeds.fill_row(fill) for fill in fills]}]
        if feed == "account_log":
            if alone:
                self._logged = len(state.logs)
            rows = [row for line in state.logs[-SNAPSHOT_LOGS:] for row in self._history.log_rows(line)]
            return [{"feed": "account_log_snapshot", "logs": rows}]
        if feed == "notifications_auth":
            return [{"feed": feed, "notifications": []}]
        if feed == "balances":
            whole = feeds.balances("balances_snapshot", self._exchange, self._uid, self._seq.get(feed, 0), self._clock.now_us())
            if alone:
                self._balances = {name: whole[name] for name in BALANCE_PARTS}
            return [whole]
        return [feeds.open_positions(self._exchange, self._uid, self._seq.get(feed, 0), self._clock.now_us())]

    def account_update(self, feed: str) -> list[Frame]:
        """`balances` and `open_positions` after something moved; of the balances only the parts that did."""
        seq = self._seq.get(feed, 0) + 1
        if feed == "open_positions":
            self._seq[feed] = seq
            return [feeds.open_positions(self._exchange, self._uid, seq, self._clock.now_us())]
        whole = feeds.balances("balances", self._exchange, self._uid, seq, self._clock.now_us())
        still = [name for name in BALANCE_PARTS if whole[name] == self._balances.get(name)]
        self._balances = {name: whole[name] for name in BALANCE_PARTS}
        if len(still) == len(BALANCE_PARTS):
            return []
        self._seq[feed] = seq
        return [{name: value for name, value in whole.items() if name not in still}]

    def fill(self, fill: Fill) -> Frame:
        """One fill as it happens; `username` is where Kraken names the account in an update."""
        return {"feed": "fills", "username": self._uid, "fills": [feeds.fill_row(fill)]}

    def log_entries(self) -> list[Frame]:
        """Lines of the account log since the last call."""
        lines, self._logged = self._exchange.state.logs[self._logged :], len(self._exchange.state.logs)
        return [{"feed": "account_log", "new_entry": row} for line in lines for row in self._history.log_rows(line)]
