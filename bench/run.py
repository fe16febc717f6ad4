#!/usr/bin/env python3
"""Measures shoal-server beside redis-server, side by side in one run, and writes bench/README.md and bench/plot.svg.

Every server is pinned to core 0 and the load to core 1; repetitions alternate between the servers (A B C, A B C, ...)
and the median counts. Server CPU is utime + stime of the whole process from /proc, per request. Persistence is off.
Redis 8.0 and Valkey 8.1 take part if redis-server-8.0 and valkey-server-8.1 are found in ORACLES_DIR or PATH.
"""
import argparse
import atexit
import csv
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

import report

HERE = os.path.dirname(os.path.abspath(__file__))
HZ = os.sysconf("SC_CLK_TCK")
running = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process; argv gets the port."""

    def __init__(self, name, argv, core="0"):
        self.name = name
        self.port = free_port()
        pin = ["taskset", "-c", core] if core else []
        self.proc = subprocess.Popen(pin + argv(self.port), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        running.append(self)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.proc.poll() is not None:
                    break
                time.sleep(0.01)
        raise SystemExit(f"{name} does not start")

    def cpu_s(self):
        with open(f"/proc/{self.proc.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def rss(self):
        with open(f"/proc/{self.proc.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def settled_rss(self):
        last = self.rss()
        for _ in range(20):
            time.sleep(0.3)
            now = self.rss()
            if abs(now - last) < 200_000:
                return now
            last = now
        return last

    def stop(self):
        if self in running:
            running.remove(self)
        self.proc.terminate()
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


@atexit.register
def stop_all():
    for s in list(running):
        s.proc.kill()
        s.stop()


class Bench:
    def __init__(self, args):
        self.quick = args.quick
        self.only = args.only.split(",") if args.only else None
        self.build = args.build
        self.reps = args.reps or (2 if args.quick else 5)
        self.keys = 1_000_000
        self.load_path = os.path.join(args.build, "bench", "load")
        self.kinds = self.find()
        self.result = {"quick": args.quick, "reps": self.reps, "cores": os.cpu_count(), "servers": list(self.kinds),
                       "versions": {}, "throughput": {}, "latency": {}, "saturated": {}, "memory": {}, "pause": {},
                       "loops": {}}

    def find(self):
        def oracle(path):
            return lambda port: [path, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]

        def shoal(loops):
            path = os.path.join(self.build, "shoal-server")
            return lambda port: [path, "--port", str(port), "--save", "", "--appendonly", "no", "--loops", str(loops),
                                 "--loglevel", "warning"]
        kinds = {}
        path = os.environ.get("ORACLES_DIR", "") + os.pathsep + os.environ["PATH"]
        for name, label in (("redis-server", "redis 7.0"), ("redis-server-8.0", "redis 8.0"),
                            ("valkey-server-8.1", "valkey 8.1")):
            found = shutil.which(name, path=path)
            if found:
                kinds[label] = oracle(found)
        if "redis 7.0" not in kinds:
            raise SystemExit("redis-server is needed for comparison")
        if os.path.exists(os.path.join(self.build, "shoal-server")):
            kinds["shoal"] = shoal(1)
            self.shoal = shoal
        floor = os.path.join(self.build, "bench", "floor")
        if os.path.exists(floor):
            kinds["floor"] = lambda port: [floor, str(port)]
        return {k: v for k, v in kinds.items() if not self.only or k in self.only or k == "redis 7.0"}

    # ---- single measurements

    def load(self, server, *args, core="1"):
        pin = ["taskset", "-c", core] if core else []
        p = subprocess.run(pin + [self.load_path, "-p", str(server.port), *map(str, args)], capture_output=True,
                           text=True)
        if p.returncode:
            raise SystemExit(f"load against {server.name}: {p.stderr}")
        return json.loads(p.stdout)

    def redis_benchmark(self, server, test, pipeline, n, core="1"):
        pin = ["taskset", "-c", core] if core else []
        before = server.cpu_s()
        p = subprocess.run(pin + ["redis-benchmark", "-p", str(server.port), "-t", test, "-n", str(n), "-P",
                                  str(pipeline), "-d", "64", "-r", str(self.keys), "-c", "50", "--csv"],
                           capture_output=True, text=True)
        cpu = server.cpu_s() - before
        rows = list(csv.DictReader(io.StringIO(p.stdout)))
        if p.returncode or len(rows) != 1:
            raise SystemExit(f"redis-benchmark against {server.name}: {p.stdout} {p.stderr}")
        return {"rps": float(rows[0]["rps"]), "cpu_us": cpu * 1e6 / n, "p50": float(rows[0]["p50_latency_ms"]) * 1000,
                "p99": float(rows[0]["p99_latency_ms"]) * 1000}

    def fill(self, server):
        if server.name != "floor":
            self.load(server, "-t", "fill", "-k", self.keys, "-c", 10, "-P", 16)

    @staticmethod
    def median(samples):
        return {k: statistics.median(s[k] for s in samples) for k in samples[0]}

    # ---- tables

    def throughput(self):
        works = [("GET", "get", 1, 200_000), ("SET", "set", 1, 200_000), ("GET", "get", 16, 2_000_000),
                 ("SET", "set", 16, 2_000_000), ("GET", "get", 64, 3_000_000), ("SET", "set", 64, 3_000_000),
                 ("INCR", "incr", 1, 200_000), ("INCR", "incr", 16, 2_000_000), ("MSET", "mset", 1, 100_000),
                 ("MSET", "mset", 16, 300_000), ("PING", "ping_mbulk", 1, 200_000),
                 ("PING", "ping_mbulk", 16, 2_000_000)]
        servers = [Server(name, argv) for name, argv in self.kinds.items()]
        for s in servers:
            self.fill(s)
        for label, test, pipeline, n in works:
            n = n // 8 if self.quick else n
            samples = {s.name: [] for s in servers}
            for _ in range(self.reps):
                for s in servers:
                    samples[s.name].append(self.redis_benchmark(s, test, pipeline, n))
            key = f"{label} {pipeline}"
            self.result["throughput"][key] = {k: self.median(v) for k, v in samples.items()}
            self.say(key, {k: f"{v['cpu_us']:.2f} us {v['rps'] / 1000:.0f}k/s"
                           for k, v in self.result["throughput"][key].items()})
        for s in servers:
            s.stop()

    def latency(self):
        """Closed loop: everyone as fast as they go. Then everyone at the rate which saturates redis-server."""
        servers = [Server(n, argv) for n, argv in self.kinds.items() if n != "floor"]
        seconds = 0.5 if self.quick else 3
        for s in servers:
            self.fill(s)
        for op, pipeline in (("get", 1), ("set", 1), ("get", 16), ("set", 16)):
            key = f"{op.upper()} {pipeline}"
            for what in ("latency", "saturated"):
                samples = {s.name: [] for s in servers}
                rate = ["-r", int(self.result["latency"][key][report.BASE]["rps"])] if what == "saturated" else []
                for _ in range(self.reps):
                    for s in servers:
                        samples[s.name].append(self.load(s, "-t", op, "-P", pipeline, "-k", self.keys, "-s", seconds,
                                                         *rate))
                self.result[what][key] = {k: self.median(v) for k, v in samples.items()}
                self.say(f"{what} {key}", {k: f"p50 {v['p50']:.0f} p99 {v['p99']:.0f} p99.9 {v['p99.9']:.0f} us"
                                           for k, v in self.result[what][key].items()})
        for s in servers:
            s.stop()

    def memory(self):
        """Bytes per key, and the longest time any request took while ten million keys were inserted."""
        steps = [self.keys] if self.quick else [1_000_000, 10_000_000]
        for ttl in (False, True):
            for name, argv in self.kinds.items():
                if name == "floor" and ttl:
                    continue
                again = not ttl and not self.quick and name in (report.BASE, "shoal", "floor")
                pauses = [self.memory_of(name, argv, ttl, steps, rep == 0) for rep in range(3 if again else 1)]
                if not ttl:
                    self.result["pause"][name] = statistics.median(pauses) / 1000
            self.say("memory, bytes per key" + (", TTL" if ttl else ""),
                     {k: {n: round(b) for n, b in v.items() if n.endswith("ttl") == ttl}
                      for k, v in self.result["memory"].items()})
        self.say("longest pause, ms", self.result["pause"])

    def memory_of(self, name, argv, ttl, steps, first):
        s = Server(name, argv)
        if name != "floor":
            self.load(s, "-t", "ping", "-c", 10, "-P", 16, "-s", 0.2)
        base, at, longest = s.settled_rss(), 0, 0
        for keys in steps:
            args = ["-t", "fill", "-c", 10, "-P", 16, "-d", 32, "-o", at, "-k", keys - at]
            longest = max(longest, self.load(s, *args, *(["-e", 1_000_000] if ttl else []))["max"])
            at = keys
            if first and name != "floor":
                cell = self.result["memory"].setdefault(name, {})
                cell[f"{keys}{' ttl' if ttl else ''}"] = (s.settled_rss() - base) / keys
        s.stop()
        return longest

    def loops(self):
        """Pipeline 16, one loop against two, server and client free to use every core."""
        if "shoal" not in self.kinds:
            return
        servers = [Server(f"{n} loop{'s' * (n > 1)}", self.shoal(n), core=None) for n in (1, 2)]
        for s in servers:
            self.fill(s)
        for test in ("get", "set"):
            samples = {s.name: [] for s in servers}
            for _ in range(self.reps * 2):
                for s in servers:
                    samples[s.name].append(self.redis_benchmark(s, test, 16, 200_000 if self.quick else 2_000_000,
                                                                core=None))
            self.result["loops"][test.upper()] = {k: self.median(v) for k, v in samples.items()}
            self.say(f"loops {test}", {k: f"{v['rps'] / 1000:.0f}k/s {v['cpu_us']:.2f} us"
                                       for k, v in self.result["loops"][test.upper()].items()})
        for s in servers:
            s.stop()

    @staticmethod
    def say(what, values):
        print(f"{what}: " + ", ".join(f"{k} {v}" for k, v in values.items()), flush=True)


def be_nice(niceness):
    """Linux weighs sessions first (autogroup), so the run gets a session of its own."""
    os.nice(niceness)
    try:
        os.setsid()
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(niceness))
    except OSError:
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--quick", action="store_true", help="two minutes; README.md is not written")
    p.add_argument("--build", default="build")
    p.add_argument("--reps", type=int)
    p.add_argument("--nice", type=int, default=0, help="niceness of servers and load: below 0 on a shared machine")
    p.add_argument("--only", help="servers by name, comma-separated; redis-server always takes part")
    p.add_argument("--parts", default="throughput,latency,memory,loops")
    p.add_argument("--render", metavar="FILE", help="write README.md and plot.svg from an earlier run's results")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))
    if args.render:
        with open(args.render) as f:
            report.write(json.load(f), HERE)
        return
    if args.nice:
        be_nice(args.nice)
    bench = Bench(args)
    for part in args.parts.split(","):
        getattr(bench, part)()
    path = os.path.join(args.build, "bench", "results.json")
    with open(path, "w") as f:
        json.dump(bench.result, f, indent=1)
    complete = args.parts == p.get_default("parts") and not args.only and "shoal" in bench.kinds
    report.write(bench.result, HERE if complete and not args.quick else os.path.join(args.build, "bench"))


if __name__ == "__main__":
    main()
