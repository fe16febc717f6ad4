// connect-redis: the sessions of express-session.
const { createClient } = require('redis'), { RedisStore } = require('connect-redis'), assert = require('assert');
(async () => {
  const client = await createClient({ url: `redis://127.0.0.1:${process.env.PORT}` }).connect();
  const store = new RedisStore({ client, prefix: 'sess:', ttl: 100, scanCount: 10 });
  const cookie = { originalMaxAge: null };
  for (let i = 0; i < 30; i++) await store.set('id' + i, { cookie, user: i });
  assert.deepStrictEqual(await store.get('id7'), { cookie, user: 7 });
  assert.strictEqual(await store.length(), 30);
  assert.strictEqual((await store.ids()).length, 30);
  assert.strictEqual((await store.all()).length, 30);
  const ttl = await client.ttl('sess:id7');
  assert(ttl > 10 && ttl <= 100);
  await store.set('short', { cookie: { expires: new Date(Date.now() + 5000) }, user: 'x' });
  assert(await client.pTTL('sess:short') <= 5000);
  await client.expire('sess:id7', 10);
  await store.touch('id7', { cookie, user: 7 });
  assert(await client.ttl('sess:id7') > 10);
  await store.destroy('id7');
  assert(!await store.get('id7'));
  await store.clear();
  assert.strictEqual(await store.length(), 0);
  client.destroy();
})().catch(e => { console.error(e); process.exit(1); });
