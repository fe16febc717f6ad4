// redlock: locks by SET NX PX and scripts that compare before they delete.
const Redis = require('ioredis'), Redlock = require('redlock'), assert = require('assert');
(async () => {
  const r = new Redis(+process.env.PORT), locks = new Redlock([r], { retryCount: 0 });
  const patient = new Redlock([r], { retryCount: 100, retryDelay: 10 });
  const a = await locks.lock('lock:a', 60000);
  await assert.rejects(locks.lock('lock:a', 60000));
  await assert.rejects(locks.lock(['lock:b', 'lock:a'], 60000));
  assert.strictEqual(await r.exists('lock:b'), 0);
  const before = await r.pttl('lock:a'), longer = await a.extend(600000);
  assert(await r.pttl('lock:a') > before);
  await longer.unlock();
  await assert.rejects(longer.unlock());
  const both = await locks.lock(['lock:a', 'lock:b'], 60000);
  await both.unlock();
  // One at a time.
  let within = 0, most = 0, done = 0;
  await Promise.all(Array.from({ length: 5 }, async () => {
    const l = await patient.lock('lock:c', 60000);
    most = Math.max(most, ++within);
    await r.ping();
    within--;
    done++;
    await l.unlock();
  }));
  assert.deepStrictEqual([most, done], [1, 5]);
  r.disconnect();
})().catch(e => { console.error(e); process.exit(1); });
