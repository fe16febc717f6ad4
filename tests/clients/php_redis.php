<?php
// php-redis: sessions and caches: strings with a time to live, hashes, transactions, scripts, scans.
$r = new Redis();
$r->connect('127.0.0.1', (int)getenv('PORT'));
function ok($v, $what) { if (!$v) { echo "$what\n"; exit(1); } }
ok($r->setex('session', 100, 'data') && $r->get('session') === 'data' && $r->ttl('session') > 0, 'setex');
ok($r->hMSet('h', ['a' => 1, 'b' => 2]) && $r->hGetAll('h') == ['a' => '1', 'b' => '2'], 'hash');
ok($r->multi()->incr('n')->incr('n')->exec() === [1, 2], 'multi');
ok($r->eval("return redis.call('get', KEYS[1])", ['n'], 1) === '2', 'eval');
ok($r->rPush('l', 'x', 'y') === 2 && $r->blPop(['l'], 1) === ['l', 'x'], 'list');
$it = null; $n = 0;
while (($keys = $r->scan($it)) !== false) { $n += count($keys); }
ok($n === 4, 'scan');
ok($r->zAdd('z', 1, 'a', 2, 'b') === 2 && $r->zRange('z', 0, -1) === ['a', 'b'], 'zset');
ok($r->xAdd('s', '1-1', ['f' => 'v']) === '1-1', 'stream');
