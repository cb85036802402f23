// What the operations of both exchanges share: checks that name what they saw.
export class Missing extends Error {}

export function check(condition, words) {
  if (!condition) throw new Error(words);
}

export function same(what, actual, wanted) {
  check(JSON.stringify(actual) === JSON.stringify(wanted), `${what} is ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export async function refused(words, work) {
  let answer;
  try {
    answer = await work();
  } catch (error) {
    check(error.message.includes(words), `refused with ${error.message}, not ${words}`);
    return;
  }
  throw new Error(`accepted: ${JSON.stringify(answer)}`);
}

export function book(levels) {
  const [asks, bids] = [levels.asks, levels.bids].map((side) => side.map((level) => level[0]));
  same('levels', [asks.length, bids.length], [10, 10]);
  same('order of asks', asks, [...asks].sort((a, b) => a - b));
  same('order of bids', bids, [...bids].sort((a, b) => b - a));
  check(bids[0] < asks[0], `crossed: ${bids[0]} ${asks[0]}`);
  check([...levels.asks, ...levels.bids].every((level) => level[1] > 0), 'a level without quantity');
}

export function candles(rows, least) {
  check(rows.length >= least, `${rows.length} candles`);
  for (const [opened, o, h, low, c, volume] of rows) {
    check(opened % 60000 === 0 && h >= Math.max(o, c) && Math.min(o, c) >= low && low > 0 && volume >= 0, `candle ${opened} crosses itself`);
  }
  const age = Date.now() - rows[rows.length - 1][0];
  check(age >= 0 && age < 180000, `the last candle is ${age} ms old`);
}
