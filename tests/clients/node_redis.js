// node's redis: RESP3, transactions with WATCH, messages, iterators.
const { createClient } = require('redis'), assert = require('assert');
(async () => {
  const r = await createClient({ url: 'redis://127.0.0.1:' + process.env.PORT, RESP: 3 }).connect();
  await r.set('k', 'v', { EX: 100 });
  assert.strictEqual(await r.get('k'), 'v');
  await r.hSet('h', { a: '1', b: '2' });
  assert.deepStrictEqual({ ...await r.hGetAll('h') }, { a: '1', b: '2' });
  assert.deepStrictEqual(await r.multi().incr('n').incr('n').exec(), [1, 2]);
  const s = r.duplicate();
  await s.connect();
  const message = new Promise(done => s.subscribe('c', done));
  while (await r.publish('c', 'm') === 0);
  assert.strictEqual(await message, 'm');
  await r.zAdd('z', [{ score: 1, value: 'a' }, { score: 2, value: 'b' }]);
  assert.deepStrictEqual(await r.zRangeWithScores('z', 0, -1), [{ value: 'a', score: 1 }, { value: 'b', score: 2 }]);
  assert.strictEqual(await r.eval('return ARGV[1]', { arguments: ['x'] }), 'x');
  s.destroy ? s.destroy() : await s.disconnect();
  r.destroy ? r.destroy() : await r.disconnect();
})().catch(e => { console.error(e); process.exit(1); });
