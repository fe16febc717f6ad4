// ioredis: pipelines, transactions, defineCommand, messages, streams, blocking pops.
const Redis = require('ioredis'), assert = require('assert');
const port = +process.env.PORT;
(async () => {
  const r = new Redis(port), other = new Redis(port);
  assert.deepStrictEqual(await r.pipeline().set('a', 1).incr('a').exec(), [[null, 'OK'], [null, 2]]);
  assert.deepStrictEqual(await r.multi().incr('a').get('a').exec(), [[null, 3], [null, '3']]);
  r.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" });
  assert.strictEqual(await r.addTo('a', 4), 7);
  assert.strictEqual(await r.addTo('a', 1), 8);
  const message = new Promise(done => other.on('message', (c, m) => done([c, m])));
  await other.subscribe('c');
  await r.publish('c', 'm');
  assert.deepStrictEqual(await message, ['c', 'm']);
  const blocked = new Redis(port), pop = blocked.blpop('q', 0);
  await r.rpush('q', 'x');
  assert.deepStrictEqual(await pop, ['q', 'x']);
  await r.xadd('s', '1-1', 'f', 'v');
  assert.deepStrictEqual(await r.xrange('s', '-', '+'), [['1-1', ['f', 'v']]]);
  await r.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => ['k' + i, i])));
  let n = 0;
  for await (const keys of r.scanStream({ match: 'k*', count: 50 })) n += keys.length;
  assert(n >= 500);
  for (const c of [r, other, blocked]) c.disconnect();
})().catch(e => { console.error(e); process.exit(1); });
