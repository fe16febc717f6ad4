// BullMQ: jobs are added in bulk and worked off by 20 at a time; none is lost or done twice. JOBS=20000 for a measurement.
const { Queue, Worker } = require('bullmq');
const connection = { host: '127.0.0.1', port: +process.env.PORT, maxRetriesPerRequest: null }, jobs = +(process.env.JOBS || 1000);
(async () => {
  const queue = new Queue('q', { connection }), seen = new Set(), start = Date.now();
  let twice = 0, finish;
  const finished = new Promise(f => finish = f);
  const worker = new Worker('q', async job => {
    if (seen.has(job.data.i)) twice++;
    seen.add(job.data.i);
  }, { connection, concurrency: 20 });
  let done = 0;
  worker.on('completed', () => { if (++done === jobs) finish(); });
  worker.on('error', e => { console.error(e); process.exit(1); });
  for (let i = 0; i < jobs; i += 500)
    await queue.addBulk(Array.from({ length: Math.min(500, jobs - i) }, (_, k) => ({ name: 'job', data: { i: i + k } })));
  await finished;
  console.log(`${jobs} jobs in ${Date.now() - start} ms`);
  if (seen.size !== jobs || twice) { console.error(`${seen.size} seen, ${twice} twice`); process.exit(1); }
  await worker.close();
  await queue.close();
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1); });
