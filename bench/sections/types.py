"""The data types: throughput and server CPU per request with a pipeline of 16, and memory."""
import report
from servers import say

MILLION = 1_000_000

# Each group has servers of its own: what they hold first, then the works: label, requests in flight per connection,
# connections, command, target. A work with a number instead of a command removes what RPUSH put in before each run.
GROUPS = [
    ([], [
        ("LPUSH, one list", 16, 50, "LPUSH l {x:64}", 2.5),
        ("LPUSH, 100,000 lists", 16, 50, "LPUSH l:{r:100000} {x:16}", 2.5),
        ("SADD, one set, 1 million members", 16, 50, "SADD s member:{r:1000000}", 2.5),
        ("SADD, 100,000 sets", 16, 50, "SADD s:{r:100000} {r:20,2}", 2.5),
        ("SISMEMBER, one set", 16, 50, "SISMEMBER s member:{r:1000000}", None),
        ("HSET, one hash, 1 million fields", 16, 50, "HSET h field:{r:1000000} {x:64}", 2.5),
        ("HSET, 100,000 hashes", 16, 50, "HSET h:{r:100000} field:{r:20,2} {x:16}", 2.5),
        ("XADD, one stream", 16, 50, "XADD st * field {x:64}", 2.5),
        ("XADD, 100,000 streams", 16, 50, "XADD st:{r:100000} * field {x:16}", 2.5),
        ("RPOP, one list", 16, 50, ("RPUSH pop {x:64}", "RPOP pop"), None),
    ]),
    ([(1000, 1, "RPUSH l {x:64}"), (10_000, 1, "ZADD z {s:10000} member:{s:10000}"),
      (MILLION, 50, "HSET h:{s:100000} field:{d:100000,1} {x:16}"), (100_000, 1, "XADD st {s:100000}-1 field {x:64}")], [
        ("LRANGE_100", 16, 50, "LRANGE l 0 99", 2.0),
        ("LRANGE_600", 16, 50, "LRANGE l 0 599", None),
        ("HGETALL of 10 fields, one hash", 16, 50, "HGETALL h:000000000007", 2.0),
        ("HGETALL of 10 fields, 100,000 hashes", 16, 50, "HGETALL h:{r:100000}", 2.0),
        ("ZRANGEBYSCORE of 100", 16, 50, "ZRANGEBYSCORE z {r:9900} +inf LIMIT 0 100", 2.0),
        ("XRANGE of 100", 16, 50, "XRANGE st {r:99000} + COUNT 100", None),
    ]),
    ([(MILLION, 50, "ZADD z {r:1000000} member:{p:1000000}")], [
        ("ZADD, one zset, 1 million members", 16, 50, "ZADD z {r:1000000} member:{r:1000000}", 2.5),
        ("ZADD, 100,000 zsets", 16, 50, "ZADD z:{r:100000} {r:1000} {r:20,2}", 2.5),
        ("ZRANK, one zset, 1 million members", 16, 50, "ZRANK z member:{r:1000000}", None),
    ]),
    ([(1, 1, "SET bits {x:1048576}"), (10_000, 10, "SADD a member:{s:10000}"), (10_000, 10, "SADD b member1{s:10000,11}"),
      (5000, 10, "SADD b member:{s:5000}"), (5000, 10, "SREM b member1{s:5000,11}"), (10_000, 10, "SADD ia {s:10000}"),
      (10_000, 10, "SADD ib 1{s:5000,11}"), (5000, 10, "SADD ib {s:5000}"), (100_000, 10, "PFADD p1 {r:1000000000}"),
      (100_000, 10, "PFADD p2 {r:1000000000}")], [
        ("BITCOUNT over 1 MB", 1, 10, "BITCOUNT bits", None),
        ("SINTER of 10,000 and 10,000, half in common", 1, 10, "SINTER a b", None),
        ("SINTER of 10,000 and 10,000 integers", 1, 10, "SINTER ia ib", None),
        ("PFCOUNT", 16, 50, "PFCOUNT p1", None),
        ("PFCOUNT of two keys", 1, 10, "PFCOUNT p1 p2", None),
    ]),
]

# Answered with a number or a name: for these the floor, which answers +OK, shows what the machine and the driver allow.
SHORT = ("LPUSH", "SADD", "SISMEMBER", "HSET", "XADD", "ZADD", "ZRANK")

CPU_TARGETS = {"ZADD, one zset, 1 million members": 0.6, "ZRANK, one zset, 1 million members": 0.6,
               "SINTER of 10,000 and 10,000, half in common": 0.5, "SINTER of 10,000 and 10,000 integers": 0.5,
               "BITCOUNT over 1 MB": 0.5}

SMALL, LARGE = 100_000, MILLION
MEMORY = [
    ("100,000 hashes of 10 fields", MILLION, "HSET h:{s:100000} field:{d:100000,2} value:{s:1000000,6}", SMALL, 0.7),
    ("100,000 lists of 10 elements", MILLION, "RPUSH l:{s:100000} element:{s:1000000}", SMALL, 0.7),
    ("100,000 sets of 10 members", MILLION, "SADD s:{s:100000} member:{d:100000,2}", SMALL, 0.7),
    ("100,000 zsets of 10 members", MILLION, "ZADD z:{s:100000} {r:1000000,6} member:{d:100000,2}", SMALL, 0.7),
    ("one hash of 1 million fields", MILLION, "HSET h field:{p:1000000} value:{s:1000000}", LARGE, None),
    ("one set of 1 million members", MILLION, "SADD s member:{p:1000000}", LARGE, None),
    ("one zset of 1 million members", MILLION, "ZADD z {r:1000000} member:{p:1000000}", LARGE, 0.6),
]


def run_group(bench, setup, works, out):
    servers = bench.start_all()
    floor = [bench.start("floor")] if "floor" in bench.kinds else []
    for s in servers:
        for n, conns, command in setup:
            bench.work(s, "-c", conns, "-P", 1 if n == 1 else 16, "-n", n, command)
    for label, pipeline, conns, command, _ in works:
        before = None
        if isinstance(command, tuple):
            before, command = command
        size = ["-n", 100_000 if bench.quick else MILLION] if before else ["-s", 0.2 if bench.quick else 0.6]

        def once(s):
            if before:
                bench.work(s, "-P", 64, *size, before)
            return bench.work(s, "-c", conns, "-P", pipeline, *size, command)
        bare = command.split()[0] in SHORT
        out[label] = bench.alternate(servers + floor if bare else servers, once)
        bench.say_pair(label, out[label])
    for s in servers + floor:
        s.stop()


def memory_of(bench, kind, n, command):
    s = bench.start(kind)
    bench.work(s, "-c", 10, "-P", 16, "-s", 0.2, "PING")
    base = s.settled_rss()
    bench.work(s, "-c", 10, "-P", 16, "-n", n, command)
    s.ask("MEMORY", "PURGE")  # what the allocator only keeps for later is not the values'
    grown = s.settled_rss() - base
    s.stop()
    return grown


def run(bench):
    r = {"works": {}, "memory": {}}
    for setup, works in GROUPS:
        run_group(bench, setup, works, r["works"])
    for label, n, command, items, _ in MEMORY:
        r["memory"][label] = {kind: memory_of(bench, kind, n, command) / items for kind in bench.pair}
        say(f"memory, {label}, bytes each", {k: round(v) for k, v in r["memory"][label].items()})
    return r


def targets(r, add):
    for _, works in GROUPS:
        for label, _, _, _, target in works:
            cells = r["works"].get(label, {})
            if target:
                add(f"{label}, pipeline 16: throughput, of redis-server's", target, report.ratio(cells, "rps", "shoal"),
                    least=True)
            if label in CPU_TARGETS:
                add(f"{label}: server CPU per request, of redis-server's", CPU_TARGETS[label],
                    report.ratio(cells, "cpu_us", "shoal"))
    for label, _, _, _, target in MEMORY:
        if target:
            cells = r["memory"].get(label, {})
            add(f"{label}: memory, of redis-server's", target, report.ratio_of(cells, "shoal"))


def render(r, servers):
    works = [(label, 16 if pipeline == 16 else 1) for _, ws in GROUPS for label, pipeline, _, _, _ in ws]
    rows = [[label + f", pipeline {p}"] + report.pair_cells(r["works"][label], servers) for label, p in works
            if label in r["works"]]
    memory = [[label] + report.value_cells(r["memory"][label], servers, 0) for label, *_ in MEMORY
              if label in r["memory"]]
    return ["## Data types", "", "bench/work.c with 50 connections (10 without a pipeline). Thousand requests per second, and "
            "the server's CPU time per request in µs; where the server is faster than the driver, only the latter tells. "
            "The floor answers +OK to every request without looking at it: no server can have a higher throughput here.",
            "", report.table(["work"] + report.pair_head(servers), rows),
            "Memory is the growth of the resident set: of small values per value with its key, of the large ones per "
            "member; members and fields have 8 to 20 bytes.", "",
            report.table(["what, bytes each"] + servers, memory)]
