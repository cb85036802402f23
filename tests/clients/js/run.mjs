// node run.mjs REST_URL WS_URL KEY SECRET: reads {"id", "method", "args"} lines, answers each with one JSON line.
import readline from 'node:readline';
import ccxt from 'ccxt';
import { Missing } from './checks.mjs';
import { futures } from './futures.mjs';
import { spot } from './spot.mjs';

const [url, ws, apiKey, secret] = process.argv.slice(2);

async function connected(kind, api) {
  const exchange = new ccxt.pro[kind]({ apiKey, secret, enableRateLimit: false, urls: { api } });
  await exchange.loadHttpProxyAgent(); // without it every ws:// URL throws NotSupported
  return exchange;
}

const streams = { public: ws, private: ws, publicV2: `${ws}/v2`, privateV2: `${ws}/v2` };
const v3 = `${url}/derivatives/api/`;
const doors = { public: v3, private: v3, charts: `${url}/api/charts/`, history: `${url}/api/history/`, ws: `${ws}/ws/v1` };
const operations = {
  ...spot(await connected('kraken', { public: url, private: url, ws: streams })),
  ...futures(await connected('krakenfutures', doors)),
};
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
say({ version: ccxt.version });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, method, args } = JSON.parse(line);
  const work = operations[method] ? operations[method](...args) : Promise.reject(new Error(`no operation ${method}`));
  Promise.resolve(work).then(
    (value) => say({ id, value: value === undefined ? null : method.startsWith('x_') ? value : null }),
    (error) => say({ id, missing: error instanceof Missing, error: `${error.constructor.name}: ${error.message}` }),
  );
}
process.exit(0);
