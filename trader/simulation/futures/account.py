"""The account behind the futures engine: prices as it sees them, margin as they make it, and what a trade does to positions and money."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal

import numpy as np

from trader.domain.futures import accrued
from trader.domain.money import ZERO, from_float, mul, quantum, round_to
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_orders import Refused
from trader.simulation.fills import FillRules, Prices
from trader.simulation.futures.contracts import CASH, VALUE_STEP, Contract
from trader.simulation.futures.ledger import FuturesLedger
from trader.simulation.futures.margin import Holding, Pool, Standing, order_margin, pools, standing
from trader.simulation.futures.orders import Fill, FuturesOrder, Position, content_uuid
from trader.simulation.futures.prices import HOUR, FundingRate, funding_rate, last_of, mark_of, premium

FEE_STEP = quantum(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuturesCosts:
    """Fees as fractions of a trade's value; `liquidation` comes on top of the taker fee when the exchange closes a position."""

    taker: Decimal = Decimal("0.0005")
    maker: Decimal = Decimal("0.0002")
    liquidation: Decimal = Decimal("0.0025")


class FuturesAccount(FuturesLedger):
    """Positions and margin of one account. `price_at(pair, time)`: the spot market's price of then, for funding.

    `accrual_us`: funding accrues in whole steps of this time, 1 as good as continuously, as Kraken does; a replay on candles
    takes the length of a bar, since they do not tell when inside it an order fills.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        *,
        cash: Mapping[str, Mapping[str, Decimal]],
        fills: FillRules,
        books: Books,
        seed: int,
        start_us: int,
        price_at: Callable[[str, int], float],
        costs: FuturesCosts | None = None,
        accrual_us: int = 1,
    ) -> None:
        super().__init__(cash=cash, books=books, seed=seed, start_us=start_us)
        self.contracts, self._accrual_us = contracts, accrual_us
        self.fills, self.costs = fills, costs or FuturesCosts()
        self.trading: Callable[[Contract], bool] = lambda _: True  # whether a contract's market is open
        self._price_at = price_at
        self._last: Prices = np.full(1 + max(contract.index for contract in contracts.values()), math.nan)
        self._before: Prices = self._last  # of the tick before the newest one
        self._rates: dict[tuple[str, int], FundingRate] = {}

    # --- reading ---------------------------------------------------------------------------------------------------
    def contract(self, symbol: str) -> Contract:
        """The contract of a symbol in any case. Raises Refused(contractNotFound)."""
        found = self.contracts.get(symbol.upper())
        if found is None:
            raise Refused("contractNotFound")
        return found

    def suspended(self, contract: Contract) -> bool:
        """Whether the contract's market is closed for now."""
        return not self.trading(contract)

    def index_price(self, contract: Contract) -> Decimal:
        """Price of the base as the spot market shows it now. Raises Refused(unavailable) before the first one."""
        value = float(self._last[contract.index])
        if math.isnan(value):
            raise Refused("unavailable")
        return from_float(value)

    def last_price(self, contract: Contract) -> Decimal:
        """Last trade: the index on the contract's tick, never below one tick."""
        return last_of(self.index_price(contract), contract)

    def before(self, contract: Contract) -> Decimal | None:
        """Last trade as of the tick before the newest one; None where there was none."""
        value = float(self._before[contract.index])
        return None if math.isnan(value) else last_of(from_float(value), contract)

    def premium(self, contract: Contract) -> Decimal:
        """Premium of the mark in the hour of the newest tick."""
        return premium(self._seed, contract, self.state.tick_us)

    def mark_price(self, contract: Contract) -> Decimal:
        """What positions are valued at."""
        return mark_of(self.index_price(contract), self.premium(contract))

    def funding_rate(self, contract: Contract, time_us: int) -> FundingRate:
        """Rate of the hour that covers a time up to now."""
        hour_us = time_us - time_us % HOUR
        key = (contract.symbol, hour_us)
        if key not in self._rates:
            price = self._price_at(contract.pair, hour_us)
            over = premium(self._seed, contract, hour_us)
            self._rates[key] = funding_rate(over, contract, float(self.index_price(contract)) if math.isnan(price) else price, hour_us)
        return self._rates[key]

    def open_orders(self) -> list[FuturesOrder]:
        """Live orders, oldest first."""
        return sorted((order for orders in self._resting.values() for order in orders.values()), key=lambda order: order.number)

    def positions(self) -> list[Position]:
        """Open positions by symbol."""
        return [self.state.positions[symbol] for symbol in sorted(self.state.positions)]

    def find(self, *, order_id: str | None = None, cli_ord_id: str | None = None) -> FuturesOrder | None:
        """An order, live or not, by either id."""
        if order_id and (order := self.state.orders.get(order_id)) is not None:
            return order
        return self._clients.get(cli_ord_id) if cli_ord_id else None

    def holding(self, position: Position) -> Holding:
        """A position with what judges it."""
        contract = self.contracts[position.symbol]
        return Holding(contract=contract, position=position, leverage=self.state.leverage.get(position.symbol))

    def balance(self, account: str) -> Decimal:
        """What a margin account holds of its asset."""
        return sum(self.state.balances.get(account, {}).values(), ZERO)

    def standing(self, account: str, extra: FuturesOrder | None = None) -> Standing:
        """A margin account at current marks, as if `extra` rested too (in place of the order with its id)."""
        holdings = [self.holding(position) for position in self.positions() if self.contracts[position.symbol].account == account]
        symbols = [symbol for symbol in sorted(self._resting) if self.contracts[symbol].account == account]
        if extra is not None and extra.symbol not in symbols:
            symbols.append(extra.symbol)
        orders = {self.contracts[symbol]: self._order_margin(self.contracts[symbol], extra) for symbol in symbols}
        return standing(self.balance(account), holdings, orders, self.mark_price)

    def _order_margin(self, contract: Contract, extra: FuturesOrder | None) -> Decimal:
        live = dict(self._resting.get(contract.symbol, {}))
        if extra is not None and extra.symbol == contract.symbol:
            live[extra.order_id] = extra
        counted = [order for order in live.values() if not order.waiting and not order.reduce_only]
        position = self.state.positions.get(contract.symbol)
        leverage = self.state.leverage.get(contract.symbol)
        return order_margin(contract, position.size if position else ZERO, counted, self.mark_price(contract), leverage)

    def account_price(self, account: str) -> Decimal:
        """Index price of a margin account's asset in USD; 0 while it has none."""
        for contract in self.contracts.values():
            if contract.account == account:
                value = float(self._last[contract.index])
                return ZERO if math.isnan(value) else Decimal(1) if contract.asset == "usd" else from_float(value)
        return ZERO

    def pools(self) -> list[Pool]:
        """Positions that are liquidated together (margin.Pool)."""
        balances = {name: self.balance(name) for name in self.state.balances if name != CASH}
        return pools(balances, [self.holding(position) for position in self.positions()])

    def liquidation_price(self, position: Position) -> Decimal | None:
        """Mark price at which this position is liquidated if no other price moves."""
        for pool in self.pools():
            for holding in pool.holdings:
                if holding.position.symbol == position.symbol:
                    return pool.liquidation_price(holding, self.mark_price)
        return None

    def set_prices(self, prices: Prices) -> None:
        """Prices as they stand, without matching: for the first start and after a restart."""
        self._before = self._last = prices

    # --- money -----------------------------------------------------------------------------------------------------
    def _position(self, contract: Contract, now_us: int) -> Position:
        begin_us = now_us - now_us % self._accrual_us
        return self.state.positions.get(contract.symbol) or Position(symbol=contract.symbol, since_us=now_us, funding_us=begin_us)

    def _accrue(self, position: Position, now_us: int) -> None:
        """Add the funding of the time since the last accrual, every hour of it at its own rate; longs pay a positive rate."""
        contract, until_us = self.contracts[position.symbol], now_us - now_us % self._accrual_us
        while position.funding_us < until_us:
            begin = position.funding_us
            end = min(begin - begin % HOUR + HOUR, until_us)
            position.unrealized_funding += accrued(position.size, self.funding_rate(contract, begin).absolute, end - begin)
            position.funding_us = end

    def _pay_funding(self, hour_us: int) -> None:
        """Book what every open position accrued in the hour that ends now; one traded since then has settled it already."""
        for position in self.positions():
            if position.funding_us >= hour_us:
                continue
            contract = self.contracts[position.symbol]
            self._accrue(position, hour_us)
            paid, position.unrealized_funding = position.unrealized_funding, ZERO
            rate = self.funding_rate(contract, hour_us - HOUR).absolute
            self._move(contract, paid, hour_us, "funding rate change", realized_funding=paid, funding_rate=rate)

    def _book(self, order: FuturesOrder, price: Decimal, size: Decimal, now_us: int, *, fill_type: str) -> Fill:
        """Trade `size` at `price`: netting, realised profit, fee and accrued funding on the contract's account."""
        contract = self.contracts[order.symbol]
        position = self._position(contract, now_us)
        self._accrue(position, now_us)
        old_size, old_entry = position.size, contract.entry_price(position.size, position.basis)
        signed = order.sign * size
        closing = min(size, abs(old_size)) if old_size * signed < ZERO else ZERO
        value = contract.value(signed, price)
        out = round_to(value * closing / size, VALUE_STEP) if closing else ZERO  # part of this trade's value that closes
        freed = round_to(position.basis * closing / abs(old_size), VALUE_STEP) if closing else ZERO
        pnl = -(out + freed)
        position.size += signed
        position.basis += value + pnl
        if not position.size:
            position.basis = ZERO
        rate = self.costs.maker if fill_type == "maker" else self.costs.taker
        fee = round_to(mul(abs(value), rate), FEE_STEP, ROUND_UP)
        penalty = round_to(mul(abs(value), self.costs.liquidation), FEE_STEP, ROUND_UP) if fill_type == "liquidation" else ZERO
        funding, position.unrealized_funding, position.since_us = position.unrealized_funding, ZERO, now_us
        number = self._count("fill")
        order.filled += size
        order.updated_us = now_us
        fill = Fill(
            fill_id=content_uuid(self._seed, "fill", number, order.order_id, str(price), str(size), now_us),
            number=number,
            order_id=order.order_id,
            cli_ord_id=order.cli_ord_id,
            symbol=contract.symbol,
            side=order.side,
            order_type=order.order_type,
            size=size,
            price=price,
            fee=fee + penalty,
            currency=contract.asset,
            fill_type=fill_type,
            time_us=now_us,
            remaining=order.remaining,
            limit_price=order.limit_price if order.limit_price is not None else price,
            mark_price=self.mark_price(contract),
            realized_pnl=pnl,
            realized_funding=funding,
            old_size=old_size,
            old_entry=old_entry,
            new_size=position.size,
            new_entry=contract.entry_price(position.size, position.basis),
        )
        self.state.fills[fill.fill_id] = fill
        self.state.positions.pop(contract.symbol, None)
        if position.size:
            self.state.positions[contract.symbol] = position
        info = "futures liquidation" if fill_type == "liquidation" else "futures trade"
        self._move(contract, pnl + funding - fee - penalty, now_us, info, fill=fill, penalty=penalty)
        return fill

    def _move(
        self,
        contract: Contract,
        amount: Decimal,
        now_us: int,
        info: str,
        *,
        fill: Fill | None = None,
        penalty: Decimal = ZERO,
        realized_funding: Decimal | None = None,
        funding_rate: Decimal | None = None,
    ) -> None:
        line = self._transfer(contract.account, contract.asset, amount, now_us, info=info, contract=contract.symbol)
        if fill is not None:
            line = replace(
                line,
                execution=fill.fill_id,
                fee=fill.fee,
                liquidation_fee=penalty,
                realized_pnl=fill.realized_pnl,
                realized_funding=fill.realized_funding,
                mark_price=fill.mark_price,
                trade_price=fill.price,
            )
        else:
            line = replace(line, realized_funding=realized_funding, funding_rate=funding_rate)
        self._logs[-1] = line
