// ccxt for JavaScript on futures: the operations of the table under the names the Python side calls.
import { candles, check, refused, same, sleep } from './checks.mjs';

const PAIR = 'ETH/USD:USD';

export function futures(exchange) {
  let last = 0;
  let bought = '';
  const price = (share) => Number(exchange.priceToPrecision(PAIR, last * share));
  const amount = (cost = 100) => Number(exchange.amountToPrecision(PAIR, cost / last));
  const open = async () => Object.fromEntries((await exchange.fetchOpenOrders(PAIR)).map((row) => [row.id, row]));
  const limit = (share) => exchange.createOrder(PAIR, 'limit', 'buy', amount(), price(share));

  function ticker(row) {
    same('symbol', row.symbol, PAIR);
    check(row.bid > 0 && row.bid < row.ask && row.last > 0, `${row.bid}, ${row.ask}, ${row.last}`);
  }

  function levels(book) {
    const [asks, bids] = [book.asks, book.bids].map((side) => side.map((level) => level[0]));
    same('order of asks', asks, [...asks].sort((a, b) => a - b));
    same('order of bids', bids, [...bids].sort((a, b) => b - a));
    check(bids[0] < asks[0], `crossed: ${bids[0]} ${asks[0]}`);
  }

  async function gone(id) {
    same('status', (await exchange.cancelOrder(id, PAIR)).status, 'canceled');
    check(!(id in (await open())), 'a cancelled order is still open');
  }

  async function rests(kind, side, share, params = {}) {
    const order = await exchange.createOrder(PAIR, kind, side, amount(), share === undefined ? undefined : price(share), params);
    const found = (await open())[order.id];
    check(found, 'the order is not open');
    same('order', [found.symbol, found.side, found.amount, found.filled], [PAIR, side, amount(), 0]);
    await gone(order.id);
    return found;
  }

  return {
    async futures_markets() {
      const markets = await exchange.loadMarkets();
      const market = markets[PAIR];
      same('what it is', [market.id, market.swap, market.linear, market.active], ['PF_ETHUSD', true, true, true]);
      check(market.precision.amount > 0 && market.precision.price > 0, JSON.stringify(market.precision));
      same('inverse', markets['ETH/USD:ETH'].inverse, true);
      last = (await exchange.fetchTicker(PAIR)).last;
    },
    async futures_ticker() {
      ticker(await exchange.fetchTicker(PAIR));
    },
    async futures_tickers() {
      ticker((await exchange.fetchTickers())[PAIR]);
    },
    async futures_candles() {
      candles(await exchange.fetchOHLCV(PAIR, '1m', undefined, 100), 50);
    },
    async futures_order_book() {
      levels(await exchange.fetchOrderBook(PAIR));
    },
    async futures_trades() {
      const rows = await exchange.fetchTrades(PAIR, undefined, 20);
      same('trades', rows.length, 20);
      check(rows.every((row) => row.price > 0 && row.amount > 0 && row.id && ['buy', 'sell'].includes(row.side)), JSON.stringify(rows[0]));
    },
    async futures_funding_rates() {
      const rows = await exchange.fetchFundingRateHistory(PAIR);
      check(rows.length > 100 && rows.every((row) => Math.abs(row.fundingRate) < 0.01), JSON.stringify(rows[0]));
    },
    async futures_balance() {
      const row = (await exchange.fetchBalance()).USD;
      check(row.total > 0 && row.free > 0, JSON.stringify(row));
    },
    async futures_market_order() {
      const order = await exchange.createOrder(PAIR, 'market', 'buy', amount());
      same('status, filled', [order.status, order.filled], ['closed', amount()]);
      bought = order.id;
    },
    async futures_positions() {
      const row = (await exchange.fetchPositions()).find((one) => one.symbol === PAIR);
      check(row.side === 'long' && row.contracts >= amount() && row.entryPrice > 0, JSON.stringify(row));
    },
    async futures_fills() {
      const rows = (await exchange.fetchMyTrades(PAIR)).filter((row) => row.order === bought);
      check(rows.length > 0, 'the market order has no fill');
      check(rows.every((row) => row.side === 'buy' && row.price > 0 && row.takerOrMaker === 'taker' && row.id), JSON.stringify(rows));
    },
    async futures_limit_order() {
      same('price', (await rests('limit', 'buy', 0.5)).info.limitPrice, price(0.5)); // ccxt leaves its own price empty on purpose
    },
    async futures_stop() {
      const found = await rests('market', 'sell', undefined, { stopLossPrice: price(0.5), reduceOnly: true });
      same('trigger, reduceOnly', [found.triggerPrice, found.reduceOnly], [price(0.5), true]);
    },
    async futures_take_profit() {
      same('trigger', (await rests('market', 'sell', undefined, { takeProfitPrice: price(1.5) })).triggerPrice, price(1.5));
    },
    async futures_edit() {
      const order = await limit(0.5);
      const edited = await exchange.editOrder(order.id, PAIR, 'limit', 'buy', amount(200), price(0.45));
      same('id, amount', [edited.id, edited.amount], [order.id, amount(200)]);
      same('price', (await open())[order.id].info.limitPrice, price(0.45));
      await gone(order.id);
    },
    async futures_cancel() {
      const order = await limit(0.5);
      await gone(order.id);
      await refused('notFound', () => exchange.cancelOrder(order.id, PAIR));
    },
    async futures_cancel_all() {
      await limit(0.5);
      await limit(0.45);
      await exchange.cancelAllOrders(PAIR);
      same('open orders', Object.keys(await open()), []);
    },
    async futures_leverage() {
      await exchange.setLeverage(4, 'DOT/USD:USD');
      same('leverage', (await exchange.fetchLeverage('DOT/USD:USD')).longLeverage, 4);
    },
    async futures_dead_mans_switch() {
      const answer = await exchange.cancelAllOrdersAfter(60000);
      check(answer.result === 'success' && answer.status.triggerTime > answer.status.currentTime, JSON.stringify(answer));
      same('disarmed', (await exchange.cancelAllOrdersAfter(0)).result, 'success');
    },
    async futures_ws_ticker() {
      ticker(await exchange.watchTicker(PAIR));
    },
    async futures_ws_book() {
      levels(await exchange.watchOrderBook(PAIR));
    },
    async futures_ws_trades() {
      const rows = await exchange.watchTrades(PAIR);
      check(rows.length > 0 && rows.every((row) => row.price > 0 && row.amount > 0 && row.symbol === PAIR), JSON.stringify(rows[0]));
    },
    async futures_ws_orders_and_fills() {
      let orders = exchange.watchOrders(PAIR);
      await sleep(500);
      const order = await limit(0.5);
      // the first answer may be the snapshot of what others have open, where signing in took longer than the sleep
      while (!(await orders).some((row) => row.id === order.id)) orders = exchange.watchOrders(PAIR);
      await gone(order.id);
      await exchange.watchMyTrades(PAIR); // the snapshot
      let listening = exchange.watchMyTrades(PAIR);
      await sleep(100);
      const market = await exchange.createOrder(PAIR, 'market', 'buy', amount());
      while (!(await listening).some((row) => row.order === market.id)) listening = exchange.watchMyTrades(PAIR);
    },
  };
}
