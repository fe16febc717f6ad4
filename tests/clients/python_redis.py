"""python3-redis: pipelines, transactions with WATCH, scripts, locks, messages, queues, streams, scans."""
import os
import threading

import redis

r = redis.Redis(port=int(os.environ["PORT"]), decode_responses=True)
p = r.pipeline()
p.set("a", 1).incr("a").hset("h", mapping={"x": 1, "y": 2}).expire("a", 100)
assert p.execute() == [True, 2, 2, True]

def double(pipe):
    v = int(pipe.get("a"))
    pipe.multi()
    pipe.set("a", v * 2)
assert r.transaction(double, "a") == [True] and r.get("a") == "4"

add = r.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
assert add(keys=["a"], args=[5]) == 9
with r.lock("lock", timeout=100) as lock:
    assert lock.owned()
assert not r.exists("lock")

ps = r.pubsub()
ps.subscribe("channel")
ps.psubscribe("pat*")
assert [ps.get_message(timeout=100)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
assert r.publish("channel", "hello") == 1 and r.publish("pattern", "there") == 1
assert [ps.get_message(timeout=100)["data"] for _ in range(2)] == ["hello", "there"]

threading.Timer(0.05, lambda: r.rpush("queue", "item")).start()
assert r.blpop("queue", timeout=100) == ("queue", "item")

r.xgroup_create("stream", "group", "0", mkstream=True)
i = r.xadd("stream", {"f": "v"})
assert r.xreadgroup("group", "me", {"stream": ">"}) == [["stream", [(i, {"f": "v"})]]]
assert r.xack("stream", "group", i) == 1

r.mset({f"key:{n}": n for n in range(1000)})
assert len(set(r.scan_iter("key:*", count=100))) == 1000
r.zadd("z", {"a": 1, "b": 2})
assert r.zrange("z", 0, -1, withscores=True) == [("a", 1.0), ("b", 2.0)]
r.geoadd("geo", (13.361389, 38.115556, "Palermo"))
assert r.geosearch("geo", longitude=13, latitude=38, radius=200, unit="km") == ["Palermo"]
r.pfadd("hll", *range(100))
assert abs(r.pfcount("hll") - 100) < 5
r.restore("copy", 0, redis.Redis(port=int(os.environ["PORT"])).dump("z"))
assert r.zcard("copy") == 2
assert r.acl_whoami() == "default" and r.config_get("maxmemory") == {"maxmemory": "0"}
assert r.info("server")["redis_mode"] == "standalone" and r.client_list()
