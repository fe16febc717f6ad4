// rate-limiter-flexible over ioredis and over node-redis: counting in scripts, with times to live.
const Redis = require('ioredis'), { createClient } = require('redis'), assert = require('assert');
const { RateLimiterRedis, BurstyRateLimiter } = require('rate-limiter-flexible');
const port = +process.env.PORT;
async function check(options, name) {
  const limiter = new RateLimiterRedis({ ...options, keyPrefix: name, points: 5, duration: 6000, blockDuration: 3000 });
  for (let left = 4; left >= 0; left--) assert.strictEqual((await limiter.consume('u')).remainingPoints, left);
  const refused = await limiter.consume('u').then(() => null, e => e);
  assert(refused && refused.msBeforeNext > 2500000 && refused.msBeforeNext <= 6000000, String(refused));
  assert.strictEqual((await limiter.consume('other', 3)).consumedPoints, 3);
  await limiter.reward('other', 2);
  await limiter.penalty('other', 1);
  assert.strictEqual((await limiter.get('other')).consumedPoints, 2);
  await limiter.block('other', 1000);
  await assert.rejects(limiter.consume('other'));
  assert.strictEqual(await limiter.delete('u'), true);
  assert.strictEqual(await limiter.get('u'), null);
  // At the same time: exactly as many as there are points.
  const all = await Promise.allSettled(Array.from({ length: 50 }, () => limiter.consume('crowd')));
  assert.strictEqual(all.filter(r => r.status === 'fulfilled').length, 5);
  const bursty = new BurstyRateLimiter(limiter, new RateLimiterRedis({ ...options, keyPrefix: name + 'b', points: 2, duration: 6000 }));
  const burst = await Promise.allSettled(Array.from({ length: 10 }, () => bursty.consume('v')));
  assert.strictEqual(burst.filter(r => r.status === 'fulfilled').length, 7);
}
(async () => {
  const io = new Redis(port, { enableOfflineQueue: false });
  await new Promise(ready => io.once('ready', ready));
  const node = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  await check({ storeClient: io }, 'io');
  await check({ storeClient: node, useRedisPackage: true }, 'node');
  io.disconnect();
  node.destroy();
})().catch(e => { console.error(e); process.exit(1); });
