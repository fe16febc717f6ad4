"""Strings: throughput and CPU time, latency, memory, and two loops against one."""
import statistics

import report
from report import BASE
from servers import say

WORKS = [("GET", "get", 1, 120_000), ("SET", "set", 1, 120_000), ("GET", "get", 16, 1_200_000),
         ("SET", "set", 16, 1_200_000), ("GET", "get", 64, 1_500_000), ("SET", "set", 64, 1_500_000),
         ("INCR", "incr", 1, 120_000), ("INCR", "incr", 16, 1_000_000), ("MSET", "mset", 1, 60_000),
         ("MSET", "mset", 16, 150_000), ("PING", "ping_mbulk", 1, 120_000), ("PING", "ping_mbulk", 16, 1_000_000)]


class Throughput:
    @staticmethod
    def run(bench):
        r = {}
        servers = [bench.start(kind) for kind in bench.kinds]
        for s in servers:
            bench.fill(s)
        for label, test, pipeline, n in WORKS:
            n = n // 8 if bench.quick else n
            key = f"{label} {pipeline}"
            r[key] = bench.alternate(servers, lambda s: bench.redis_benchmark(s, test, pipeline, n))
            bench.say_pair(key, r[key])
        for s in servers:
            s.stop()
        return r

    @staticmethod
    def targets(r, add):
        for pipeline, limit in ((1, 0.78), (16, 0.35), (64, 0.30)):
            for op in ("GET", "SET"):
                cells = r.get(f"{op} {pipeline}", {})
                add(f"{op}, pipeline {pipeline}: server CPU per request, of redis-server's", limit,
                    report.ratio(cells, "cpu_us", "shoal"))
                if pipeline == 1:
                    add(f"{op}, pipeline 1: server CPU per request, of the floor's", 1.10,
                        report.ratio(cells, "cpu_us", "shoal", "floor"))

    @staticmethod
    def render(r, servers):
        def rows(key, scale, digits):
            return report.table(["work"] + servers, [
                [work.replace(" ", ", pipeline ")] +
                report.value_cells({k: v[key] * scale for k, v in cells.items()}, servers, digits)
                for work, cells in r.items()])
        return ["## Server CPU per request, µs", "",
                "User and system time of the server process, driven by redis-benchmark. The floor is a loop of the same "
                "network library that counts requests and answers `+OK` without looking at them.", "",
                rows("cpu_us", 1, 2), "## Throughput, thousand requests per second", "",
                "Where the server is faster than one core of redis-benchmark, this is the client's limit.", "",
                rows("rps", 1e-3, 0)]


class Latency:
    @staticmethod
    def run(bench):
        """Closed loop: everyone as fast as they go. Then everyone at the rate which saturates redis-server."""
        r = {"latency": {}, "saturated": {}}
        servers = [bench.start(kind) for kind in bench.kinds if kind != "floor"]
        seconds = 0.5 if bench.quick else 2
        for s in servers:
            bench.fill(s)
        for op, pipeline in (("get", 1), ("set", 1), ("get", 16), ("set", 16)):
            key = f"{op.upper()} {pipeline}"
            for what in ("latency", "saturated"):
                rate = ["-r", int(r["latency"][key][BASE]["rps"])] if what == "saturated" else []
                r[what][key] = bench.alternate(servers, lambda s: bench.load(
                    s, "-t", op, "-P", pipeline, "-k", bench.keys, "-s", seconds, *rate))
                say(f"{what} {key}", {k: f"p50 {v['p50']:.0f} p99 {v['p99']:.0f} p99.9 {v['p99.9']:.0f} us"
                                      for k, v in r[what][key].items()})
        for s in servers:
            s.stop()
        return r

    @staticmethod
    def targets(r, add):
        for work, cells in r["saturated"].items():
            op, pipeline = work.split()
            add(f"{op}, pipeline {pipeline}: p99 at the rate that saturates redis-server, of redis-server's", 0.6,
                report.ratio(cells, "p99", "shoal"))

    @staticmethod
    def render(r, servers):
        def rows(works):
            return report.table(["work", "server", "thousand requests/s", "p50 µs", "p99 µs", "p99.9 µs"], [
                [work.replace(" ", ", pipeline "), s, f"{cells[s]['rps'] / 1000:.0f}"] +
                [f"{cells[s][k]:.0f}" for k in ("p50", "p99", "p99.9")]
                for work, cells in works.items() for s in servers if s in cells])
        return ["## Latency", "", "Everyone as fast as it goes (bench/load.c, closed loop, 50 connections, every reply's "
                "content checked):", "", rows(r["latency"]),
                "The load driver needs about as much CPU per request without a pipeline as the server, so there it is at "
                "its own limit with every server.", "",
                "At a fixed timetable with the rate that saturates redis-server 7.0.15; a request's time begins when it "
                "was due, so what queues behind a stall is charged to it:", "", rows(r["saturated"])]


class Memory:
    @staticmethod
    def run(bench):
        """Bytes per key, and the longest time any request took while ten million keys were inserted."""
        r = {"memory": {}, "pause": {}}
        for ttl in (False, True):
            for kind in bench.kinds:
                if kind == "floor" and ttl:
                    continue
                most = not bench.quick and kind in (BASE, "shoal", "floor")
                steps = [1_000_000, 10_000_000] if most else [1_000_000]
                pauses = [Memory.fill(bench, r, kind, ttl, steps, rep == 0) for rep in range(3 if most and not ttl else 1)]
                if not ttl and steps[-1] > 1_000_000:
                    r["pause"][kind] = statistics.median(pauses) / 1000
            say("memory, bytes per key" + (", TTL" if ttl else ""),
                {k: {n: round(b) for n, b in v.items() if n.endswith("ttl") == ttl} for k, v in r["memory"].items()})
        say("longest pause, ms", r["pause"])
        return r

    @staticmethod
    def fill(bench, r, kind, ttl, steps, first):
        s = bench.start(kind)
        if kind != "floor":
            bench.load(s, "-t", "ping", "-c", 10, "-P", 16, "-s", 0.2)
        base, at, longest = s.settled_rss(), 0, 0
        for keys in steps:
            args = ["-t", "fill", "-c", 10, "-P", 16, "-d", 32, "-o", at, "-k", keys - at]
            longest = max(longest, bench.load(s, *args, *(["-e", 1_000_000] if ttl else []))["max"])
            at = keys
            if first and kind != "floor":
                r["memory"].setdefault(kind, {})[f"{keys}{' ttl' if ttl else ''}"] = (s.settled_rss() - base) / keys
        s.stop()
        return longest

    @staticmethod
    def targets(r, add):
        for keys in ("1000000", "10000000"):
            for ttl, limit in (("", 0.55), (" ttl", 0.50)):
                cells = {k: v[keys + ttl] for k, v in r["memory"].items() if keys + ttl in v}
                add(f"{int(keys) // 1000000} million keys{', each with a TTL' if ttl else ''}: bytes per key, of "
                    "redis-server's", limit, report.ratio_of(cells, "shoal"))
        add("10 million keys inserted: longest any request took", 5, r["pause"].get("shoal"), unit=" ms")

    @staticmethod
    def columns(r):
        return sorted({k for v in r["memory"].values() for k in v}, key=lambda k: (k.endswith("ttl"), len(k)))

    @staticmethod
    def render(r, servers):
        columns = Memory.columns(r)
        cells = [report.value_cells({k: v[c] for k, v in r["memory"].items() if c in v}, servers, 0) for c in columns]
        rows = [[s] + [c[i] for c in cells] + [f"{r['pause'][s]:.1f}" if s in r["pause"] else ""]
                for i, s in enumerate(servers)]
        head = [f"{int(k.split()[0]):,} keys{', TTL' if k.endswith('ttl') else ''}" for k in columns]
        return ["## Memory, bytes per key", "",
                "Growth of the process's resident memory; keys of 16 bytes, values of 32. The longest request is that of "
                "10 connections with a pipeline of 16; the floor, which stores nothing, shows what the machine adds.", "",
                report.table(["server"] + head + ["longest request while inserting, ms"], rows)]


class Loops:
    @staticmethod
    def run(bench):
        """Pipeline 16, one loop against two, server and client free to use every core."""
        r = {}
        servers = [bench.start_shoal(f"{n} loop{'s' * (n > 1)}", n, core=None) for n in (1, 2)]
        for s in servers:
            bench.fill(s)
        for test in ("get", "set"):
            # Twice the samples: what runs on which core is the scheduler's choice.
            r[test.upper()] = bench.alternate(servers, lambda s: bench.redis_benchmark(
                s, test, 16, 200_000 if bench.quick else 2_000_000, core=None), bench.reps * 2)
            bench.say_pair(f"loops {test}", r[test.upper()])
        for s in servers:
            s.stop()
        return r

    @staticmethod
    def targets(r, add):
        for op, cells in r.items():
            add(f"{op}, pipeline 16: throughput of 2 loops, of 1 loop's, nothing pinned", 1,
                report.ratio(cells, "rps", "2 loops", "1 loop"), least=True)

    @staticmethod
    def render(r, servers):
        rows = [[op] + [f"{c[n]['rps'] / 1000:.0f}" for n in ("1 loop", "2 loops")] +
                [f"{c[n]['cpu_us']:.2f}" for n in ("1 loop", "2 loops")] for op, c in r.items()]
        return ["## Two loops", "", "Pipeline 16, redis-benchmark, nothing pinned: on a machine of two cores the client "
                "takes one of them.", "",
                report.table(["work", "1 loop, thousand/s", "2 loops, thousand/s", "1 loop, CPU µs", "2 loops, CPU µs"],
                             rows)]
