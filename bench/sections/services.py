"""What stands around the data: messages, transactions, blocked clients, eviction, TLS."""
import itertools
import os
import random
import shutil
import socket
import subprocess

import report
from servers import free_port, say

WAITERS = 1000
MORE = 3  # times the samples where a thousand clients wait: a send costs more if its receiver sleeps
KEYS = 500_000
LABELS = {"publish 1": "PUBLISH, 64 bytes, to 1,000 subscribers, each message awaited by all; per delivery",
          "publish 16": "the same, 16 messages at a time; per delivery",
          "multi": "MULTI, 5 SETs, EXEC, 16 in flight; per transaction",
          "blpop": "1,000 clients blocked in BLPOP on one list, 50 producers; per item",
          "evict": "SET under maxmemory 100mb, allkeys-lru, pipeline 16", "tls": "GET through TLS, pipeline 1"}


def per_delivery(sample):
    return {"rps": sample["arrived"] / sample["seconds"],
            "cpu_us": sample["cpu_us"] * sample["requests"] / sample["arrived"]}


def stop(servers):
    for s in servers:
        s.stop()


def publish(bench, r):
    servers = bench.start_all() + [bench.start_shoal("shoal, 2 loops", 2)]
    if "floor" in bench.kinds:
        servers.append(bench.start("floor"))
    for pipeline, n in ((1, 400), (16, 1600)):
        n = n // 4 if bench.quick else n
        r[f"publish {pipeline}"] = bench.alternate(servers, lambda s: per_delivery(bench.work(
            s, "-c", 1, "-P", pipeline, "-n", n, "-B", WAITERS, "-b", "SUBSCRIBE channel", "PUBLISH channel {x:64}")),
            bench.reps * MORE)
    stop(servers)


def transactions(bench, r):
    servers = bench.start_all()
    commands = ["MULTI"] + ["SET key:{r:1000000} {x:64}"] * 5 + ["EXEC"]
    for s in servers:
        bench.work(s, "-P", 16, "-n", bench.keys, "SET key:{s:1000000} {x:64}")
    r["multi"] = bench.alternate(servers, lambda s: bench.work(s, "-P", 16, "-s", 0.3 if bench.quick else 1, *commands))
    stop(servers)


def blocked(bench, r):
    servers = bench.start_all()
    r["blpop"] = bench.alternate(servers, lambda s: bench.work(
        s, "-c", 50, "-n", 10_000 if bench.quick else 60_000, "-B", WAITERS, "-b", "BLPOP queue 0", "-a",
        "LPUSH queue {x:64}"), bench.reps * MORE)
    stop(servers)


def eviction(bench, r):
    servers = bench.start_all("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    for s in servers:
        bench.work(s, "-P", 16, "-n", 2_000_000, "SET key:{s:2000000} {x:64}")
    r["evict"] = bench.alternate(servers, lambda s: bench.work(s, "-P", 16, "-s", 0.3 if bench.quick else 1,
                                                               "SET key:{r:10000000} {x:64}"))
    stop(servers)


def read_lines(f, n, skip):
    """n replies of GET; the places of those that were absent. skip: the length of a value with its line's end."""
    missed = []
    for i in range(n):
        if f.readline() == b"$-1\r\n":
            missed.append(i)
        else:
            f.read(skip)
    return missed


def hit_ratio(s, trace):
    """A cache in front of something slow: a key that is missed is read there and SET. The first half warms up."""
    value, hits, batch = b"x" * 64, 0, 200
    with socket.create_connection(("127.0.0.1", s.port)) as c, c.makefile("rb", 1 << 16) as f:
        for at in range(0, len(trace), batch):
            keys = trace[at:at + batch]
            c.sendall(b"".join(b"*2\r\n$3\r\nGET\r\n$12\r\n%012d\r\n" % k for k in keys))
            missed = read_lines(f, len(keys), len(value) + 2)
            if at >= len(trace) // 2:
                hits += len(keys) - len(missed)
            c.sendall(b"".join(b"*3\r\n$3\r\nSET\r\n$12\r\n%012d\r\n$64\r\n%s\r\n" % (keys[i], value) for i in missed))
            for _ in missed:
                if f.readline() != b"+OK\r\n":
                    raise SystemExit(f"SET under maxmemory refused by {s.name}")
    return hits / (len(trace) - len(trace) // 2)


def cache(bench, r):
    draw = random.Random(1)
    weights = list(itertools.accumulate((i + 1) ** -0.99 for i in range(KEYS)))
    names = list(range(KEYS))
    draw.shuffle(names)
    trace = draw.choices(names, cum_weights=weights, k=200_000 if bench.quick else 1_000_000)
    r["hits"] = {}
    servers = bench.start_all("--maxmemory", "12mb", "--maxmemory-policy", "allkeys-lru")
    for s in servers:
        r["hits"][s.name] = hit_ratio(s, trace)
    say("hit ratio", r["hits"])
    stop(servers)


def tls(bench, r):
    folder = os.path.abspath(bench.folder())
    key, cert = os.path.join(folder, "key"), os.path.join(folder, "cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    servers = []
    for kind in bench.pair:
        port = free_port()
        s = bench.start(kind, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file",
                        cert, "--tls-auth-clients", "no")
        bench.fill(s, 100_000)
        s.port = port
        servers.append(s)
    r["tls"] = bench.alternate(servers, lambda s: bench.redis_benchmark(
        s, "get", 1, 15_000 if bench.quick else 80_000, "--tls", "--cacert", cert))
    stop(servers)
    shutil.rmtree(folder)


def run(bench):
    r = {}
    for part in (publish, transactions, blocked, eviction, tls):
        before = set(r)
        part(bench, r)
        for key in set(r) - before:
            bench.say_pair(LABELS[key], r[key])
    cache(bench, r)
    return r


def targets(r, add):
    for pipeline in (1, 16):
        for name in ("shoal", "shoal, 2 loops"):
            add(f"PUBLISH to 1,000 subscribers, {pipeline} at a time, {name}: server CPU per delivery, of redis-server's",
                0.85, report.ratio(r[f"publish {pipeline}"], "cpu_us", name))
    add("MULTI, 5 SETs, EXEC, pipelined: throughput, of redis-server's", 2.0, report.ratio(r["multi"], "rps", "shoal"),
        least=True)
    add("1,000 clients blocked in BLPOP, 50 producers: server CPU per item, of redis-server's", 0.85,
        report.ratio(r["blpop"], "cpu_us", "shoal"))
    add("SET under maxmemory, allkeys-lru, pipeline 16: throughput, of redis-server's", 2.0,
        report.ratio(r["evict"], "rps", "shoal"), least=True)
    hits = r["hits"]
    add("allkeys-lru, Zipf(0.99): hit ratio, points above redis-server's", -1,
        (hits["shoal"] - hits[report.BASE]) * 100 if "shoal" in hits else None, least=True)
    add("TLS, GET, pipeline 1: server CPU per request, of redis-server's", 0.9, report.ratio(r["tls"], "cpu_us", "shoal"))


def render(r, servers):
    rows = []
    for k in LABELS:
        rows.append([LABELS[k]] + report.pair_cells(r[k], servers))
        for name, what in (("shoal, 2 loops", "shoal with 2 loops"), ("floor", "for shoal a loop of bare sends")):
            if name in r[k]:
                rows.append([f"{LABELS[k]}; {what}"] +
                            report.pair_cells({report.BASE: r[k][report.BASE], "shoal": r[k][name]}, servers))
    hits = [[f"{r['hits'][s] * 100:.1f} %" if s in r["hits"] else "" for s in servers]]
    return ["## Services", "", "bench/work.c, TLS by redis-benchmark. Thousands per second, and the server's CPU time in µs. "
            "Two loops have one core, as all have.", "",
            report.table(["work"] + report.pair_head(servers), rows),
            f"Hits of a cache of 12 MB (maxmemory, allkeys-lru) in the second half of 1,000,000 reads of {KEYS:,} keys, "
            "chosen by Zipf's law with exponent 0.99, values of 64 bytes, what is missed is SET:", "",
            report.table([s for s in servers], hits)]
