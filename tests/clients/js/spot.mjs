// ccxt for JavaScript on spot: the operations of the table under the names the Python side calls.
import { book, candles, check, refused, same, sleep } from './checks.mjs';

const PAIR = 'ETH/EUR';
const QUOTE = 'EUR';

export function spot(exchange) {
  let last = 0;
  let bought = '';
  let listening = null;
  const price = (share) => Number(exchange.priceToPrecision(PAIR, last * share));
  const amount = (cost = 30) => Number(exchange.amountToPrecision(PAIR, cost / last));
  const open = async (params = {}) => Object.fromEntries((await exchange.fetchOpenOrders(PAIR, undefined, undefined, params)).map((row) => [row.id, row]));
  const everywhere = async () => Object.fromEntries((await exchange.fetchOpenOrders()).map((row) => [row.id, row]));
  const limit = (cost, share, params = {}) => exchange.createOrder(PAIR, 'limit', 'buy', amount(cost), price(share), params);

  async function gone(id) {
    same('count', String((await exchange.cancelOrder(id, PAIR)).info.result.count), '1');
    check(!(id in (await open())), 'a cancelled order is still open');
  }

  async function rests(kind, side, share, shown, params = {}) {
    const wanted = amount(15);
    const order = await exchange.createOrder(PAIR, kind, side, wanted, share === undefined ? undefined : price(share), params);
    const found = (await open())[order.id];
    check(found, 'the order is not open');
    same('order', [found.symbol, found.side, found.amount, found.filled, found.status], [PAIR, side, wanted, 0, 'open']);
    same('ordertype', found.info.descr.ordertype, shown);
    if (shown === 'limit') same('price', found.price, price(share));
    for (const name of ['stopLossPrice', 'takeProfitPrice']) if (name in params) same('trigger', found.triggerPrice, params[name]);
    await gone(order.id);
    return found;
  }

  function tickerRow(row) {
    same('symbol', row.symbol, PAIR);
    check(row.bid > 0 && row.bid <= row.last && row.last <= row.ask, `${row.bid}, ${row.last}, ${row.ask}`);
    check(row.high >= row.low && row.low > 0 && row.vwap > 0 && row.baseVolume > 0 && row.open > 0, JSON.stringify(row));
  }

  function tradeRows(rows) {
    for (const row of rows) {
      check(row.price > 0 && row.amount > 0 && ['buy', 'sell'].includes(row.side) && row.timestamp && row.id && row.symbol === PAIR, JSON.stringify(row));
      check(['market', 'limit'].includes(row.type), `type ${row.type}`);
    }
  }

  async function watchTrades() {
    return await exchange.watchMyTrades();
  }

  const operations = {
    async load_markets() {
      const markets = await exchange.loadMarkets();
      check(Object.keys(markets).length >= 20, `${Object.keys(markets).length} markets`);
      const market = markets[PAIR];
      same('names', [market.id, market.base, market.quote, market.altname, market.wsId], ['XETHZEUR', 'ETH', 'EUR', 'ETHEUR', 'ETH/EUR']);
      same('active, spot', [market.active, market.spot], [true, true]);
      same('precision', market.precision.amount, 1e-8);
      check(market.precision.price < 1 && market.limits.amount.min > 0 && market.limits.cost.min > 0, JSON.stringify(market.limits));
      check(market.taker >= market.maker && market.maker > 0, `${market.taker}, ${market.maker}`);
      same('currency', [exchange.currencies.ETH.id, exchange.currencies.ETH.active], ['XETH', true]);
      last = (await exchange.fetchTicker(PAIR)).last;
    },
    async time_and_status() {
      check(Math.abs((await exchange.fetchTime()) - Date.now()) < 60000, 'fetchTime is far off');
      same('status', (await exchange.fetchStatus()).status, 'ok');
    },
    async candles_with_running_bar() {
      const begun = Math.floor(Date.now() / 60000) * 60000;
      const rows = await exchange.fetchOHLCV(PAIR, '1m');
      candles(rows, 720);
      check(rows[rows.length - 1][0] >= begun, 'the running candle is absent');
      same('distance of candles', [...new Set(rows.slice(1).map((row, n) => row[0] - rows[n][0]))], [60000]);
    },
    async ticker() {
      tickerRow(await exchange.fetchTicker(PAIR));
    },
    async tickers() {
      const rows = await exchange.fetchTickers();
      check(Object.keys(rows).length >= 20, `${Object.keys(rows).length} tickers`);
      tickerRow(rows[PAIR]);
    },
    async order_book() {
      book(await exchange.fetchOrderBook(PAIR, 10));
    },
    async public_trades() {
      const rows = await exchange.fetchTrades(PAIR, undefined, 50);
      same('trades', rows.length, 50);
      tradeRows(rows);
    },
    async balance() {
      const row = (await exchange.fetchBalance())[QUOTE];
      check(row.total > 0 && row.used >= 0 && Math.abs(row.free + row.used - row.total) < 1e-6, JSON.stringify(row));
    },
    async trade_balance() {
      const row = (await exchange.privatePostTradeBalance({ asset: 'ZEUR' })).result;
      check(['eb', 'tb', 'm', 'n', 'c', 'v', 'e', 'mf'].every((name) => Number.isFinite(Number(row[name]))) && Number(row.eb) > 0, JSON.stringify(row));
    },
    async fees() {
      const row = await exchange.fetchTradingFee(PAIR);
      check(row.taker < 0.01 && row.taker >= row.maker && row.maker > 0, JSON.stringify(row));
    },
    async ledger() {
      const trade = (await exchange.fetchMyTrades(PAIR)).find((row) => row.order === bought).id;
      const mine = (await exchange.fetchLedger()).filter((row) => row.referenceId === trade);
      same('currencies moved', mine.map((row) => row.currency).sort(), ['ETH', QUOTE]);
      for (const row of mine) check(row.type === 'trade' && row.amount > 0 && row.after >= 0 && row.timestamp && row.fee, JSON.stringify(row));
    },
    async key_info_and_token() {
      check((await exchange.privatePostGetApiKeyInfo()).result.permissions.length >= 5, 'permissions');
      const token = (await exchange.privatePostGetWebSocketsToken()).result;
      check(String(token.expires) === '900' && token.token.length > 20, JSON.stringify(token));
    },
    async market_order() {
      const wanted = amount(60);
      const order = await exchange.createOrder(PAIR, 'market', 'buy', wanted);
      same('side, type, amount', [order.side, order.type, order.amount], ['buy', 'market', wanted]);
      bought = order.id;
      const row = await exchange.fetchOrder(bought, PAIR);
      same('status, filled', [row.status, row.filled], ['closed', wanted]);
      check(row.cost > 50 && row.average > 0 && row.fee.cost > 0, JSON.stringify(row));
    },
    limit_order: () => rests('limit', 'buy', 0.5, 'limit'),
    stop_loss: () => rests('market', 'sell', undefined, 'stop-loss', { stopLossPrice: price(0.5) }),
    async stop_loss_limit() {
      const row = await rests('limit', 'sell', 0.49, 'stop-loss-limit', { stopLossPrice: price(0.5) });
      same('limit', Number(row.info.descr.price2), price(0.49));
    },
    take_profit: () => rests('market', 'sell', undefined, 'take-profit', { takeProfitPrice: price(1.5) }),
    take_profit_limit: () => rests('limit', 'sell', 1.49, 'take-profit-limit', { takeProfitPrice: price(1.5) }),
    async trailing_stop() {
      const row = await rests('market', 'sell', undefined, 'trailing-stop', { trailingPercent: 15 });
      check(row.info.descr.price.startsWith('+15'), JSON.stringify(row.info.descr));
    },
    async conditional_close() {
      const close = { ordertype: 'stop-loss', price: String(price(0.6)) };
      const order = await exchange.createOrder(PAIR, 'market', 'buy', amount(20), undefined, { close, oflags: 'fciq' });
      const closing = Object.values(await open()).filter((row) => row.info.refid === order.id);
      same('closing volume', closing.reduce((sum, row) => sum + row.amount, 0), order.amount);
      for (const row of closing) {
        same('side, trigger', [row.side, row.triggerPrice], ['sell', price(0.6)]);
        await gone(row.id);
      }
    },
    async post_only() {
      await refused('EOrder:Post only order', () => limit(15, 1.1, { postOnly: true }));
      same('postOnly', (await rests('limit', 'buy', 0.5, 'limit', { postOnly: true })).postOnly, true);
    },
    async amend() {
      const order = await limit(30, 0.5);
      const answer = await exchange.editOrder(order.id, PAIR, 'limit', 'buy', amount(20), price(0.45));
      check(answer.info.amend_id.startsWith('T'), JSON.stringify(answer.info));
      const found = (await open())[order.id];
      same('amount, price', [found.amount, found.price], [amount(20), price(0.45)]);
      await gone(order.id);
    },
    async edit() {
      const order = await limit(30, 0.5);
      const words = { txid: order.id, pair: 'XETHZEUR', price: String(price(0.45)), volume: String(amount(30)) };
      const answer = (await exchange.privatePostEditOrder(words)).result;
      same('originaltxid', answer.originaltxid, order.id);
      const found = await open();
      check(!(order.id in found), 'the edited order is still open');
      same('price', found[answer.txid].price, price(0.45));
      await gone(answer.txid);
    },
    async cancel() {
      const order = await limit(15, 0.5);
      await gone(order.id);
      same('status', (await exchange.fetchClosedOrders(PAIR)).find((row) => row.id === order.id).status, 'canceled');
      await refused('EOrder:Unknown order', () => exchange.cancelOrder(order.id, PAIR));
    },
    async batch() {
      const orders = [0.5, 0.4].map((share) => ({ symbol: PAIR, type: 'limit', side: 'buy', amount: amount(15), price: price(share) }));
      const ids = (await exchange.createOrders(orders)).map((row) => row.id);
      same('orders', new Set(ids).size, 2);
      const answer = await exchange.cancelOrders(ids, PAIR);
      same('count', String(answer[0].info.result.count), '2');
    },
    async dead_mans_switch() {
      const answer = (await exchange.cancelAllOrdersAfter(60000)).result;
      const wait = exchange.parse8601(answer.triggerTime) - exchange.parse8601(answer.currentTime);
      check(wait >= 55000 && wait <= 65000, JSON.stringify(answer));
      same('triggerTime when disarmed', (await exchange.cancelAllOrdersAfter(0)).result.triggerTime, '0');
    },
    async cancel_all() {
      await limit(15, 0.5);
      await limit(15, 0.45);
      const [answer] = await exchange.cancelAllOrders(PAIR);
      check(Number(answer.info.result.count) >= 2, JSON.stringify(answer));
      same('open orders', Object.keys(await open()), []);
    },
    async open_orders() {
      const mine = `c${Date.now()}`;
      const order = await limit(15, 0.5, { clientOrderId: mine });
      const found = Object.values(await open({ clientOrderId: mine }));
      same('id, clientOrderId', found.map((row) => [row.id, row.clientOrderId]), [[order.id, mine]]);
      check(Math.abs(found[0].timestamp - Date.now()) < 60000, `timestamp ${found[0].timestamp}`);
      await gone(order.id);
    },
    async closed_orders() {
      const found = (await exchange.fetchClosedOrders(PAIR)).find((row) => row.id === bought);
      same('status, type, remaining', [found.status, found.type, found.remaining], ['closed', 'market', 0]);
    },
    async fills() {
      const rows = (await exchange.fetchMyTrades(PAIR)).filter((row) => row.order === bought);
      check(rows.length > 0, 'the market order has no trade');
      for (const row of rows) {
        same('symbol, side, type', [row.symbol, row.side, row.type], [PAIR, 'buy', 'market']);
        check(row.takerOrMaker === 'taker' && row.fee.cost > 0 && row.fee.currency === QUOTE, JSON.stringify(row));
        check(Math.abs(row.price * row.amount - row.cost) < 0.01 && row.timestamp && row.id.startsWith('T'), JSON.stringify(row));
      }
    },

    // --- watching
    async ws_ticker() {
      tickerRow(await exchange.watchTicker(PAIR));
    },
    async ws_candles() {
      candles(await exchange.watchOHLCV(PAIR, '1m'), 1);
    },
    async ws_trades() {
      tradeRows(await exchange.watchTrades(PAIR));
    },
    async ws_book_with_crc() {
      book(await exchange.watchOrderBook(PAIR, 10));
      book(await exchange.watchOrderBook(PAIR, 10));
    },
    async ws_executions() {
      const seen = [];
      const watching = (async () => {
        while (true) for (const row of await exchange.watchOrders()) seen.push({ ...row });
      })();
      watching.catch((error) => seen.push({ error }));
      await sleep(500);
      const order = await limit(15, 0.5);
      await exchange.cancelOrder(order.id, PAIR);
      const mine = () => seen.filter((row) => row.id === order.id);
      for (let wait = 0; wait < 100 && !mine().some((row) => row.status === 'canceled'); wait += 1) await sleep(100);
      check(mine().some((row) => row.symbol === PAIR && row.side === 'buy' && row.amount === amount(15)), JSON.stringify(seen));
      same('end', mine().pop().status, 'canceled');
    },
    async ws_balances() {
      const before = await exchange.watchBalance();
      check(before[QUOTE].total > 0, JSON.stringify(before));
      const update = exchange.watchBalance();
      await sleep(300);
      await operations.x_buy();
      check((await update).ETH.total > 0, 'no balance of what was bought');
    },
    async ws_order_entry() {
      const order = await exchange.createOrderWs(PAIR, 'limit', 'buy', amount(30), price(0.5));
      await exchange.editOrderWs(order.id, PAIR, 'limit', 'buy', amount(30), price(0.45));
      same('price seen by REST', await operations.x_price_of(order.id), price(0.45));
      await exchange.cancelOrderWs(order.id);
      same('seen by REST', await operations.x_price_of(order.id), null);
    },

    // --- what crossings are made of
    x_place: async () => (await limit(30, 0.5)).id,
    async x_price_of(id) {
      const row = (await everywhere())[id];
      return row ? row.price : null;
    },
    async x_amend(id, wanted) {
      await exchange.editOrder(id, (await everywhere())[id].symbol, 'limit', 'buy', undefined, wanted);
    },
    x_cancel: async (id) => void (await exchange.cancelOrder(id)),
    x_buy: async () => (await exchange.createOrder(PAIR, 'market', 'buy', amount(20))).id,
    x_trades_of: async (id) => (await exchange.fetchMyTrades()).filter((row) => row.order === id).map((row) => row.id).sort(),
    async x_listen() {
      listening = watchTrades();
      await sleep(500);
    },
    async x_executed(id) {
      while (true) {
        const found = (await listening).filter((row) => row.order === id).map((row) => row.id);
        if (found.length > 0) return found.sort();
        listening = watchTrades();
      }
    },
  };
  return operations;
}
