"""Journal and snapshots: AOF, BGSAVE under load, loading."""
import json
import os
import shutil
import statistics
import subprocess
import time

import report
from servers import say

KEYS, RATE = 5_000_000, 100_000


class Peak:
    """The most resident memory that a server had since this began; redis-server's child counts what it copied."""

    def __init__(self, server):
        self.server, self.base = server, server.rss()
        self.most = self.base

    def look(self):
        self.most = max(self.most, self.server.rss())

    def extra(self):
        copied = int(self.server.info("persistence", "rdb_last_cow_size")) if self.server.name != "shoal" else 0
        return (self.most - self.base + copied) / self.base


def journal(bench, r, fsync):
    dirs = []
    servers = []
    for kind in bench.pair:
        dirs.append(bench.folder())
        servers.append(bench.start(kind, "--appendonly", "yes", "--appendfsync", fsync, "--dir", dirs[-1],
                                   "--auto-aof-rewrite-percentage", 0))
    pipeline = 1 if fsync == "always" else 16
    for s in servers:
        bench.work(s, "-P", 16, "-n", 100_000, "SET key:{s:100000} {x:64}")
    seconds, reps = 0.3 if bench.quick else 1.5, bench.reps
    if fsync == "always" and not bench.quick:
        # A disk's syncs take now this, now twice as long, for seconds on end: many short samples, eight times as many as
        # elsewhere (24), meet both alike.
        seconds, reps = 0.5, bench.reps * 8
    r[fsync] = bench.alternate(servers, lambda s: bench.work(s, "-P", pipeline, "-s", seconds, "SET key:{r:100000} {x:64}"),
                               reps)
    bench.say_pair(f"appendfsync {fsync}", r[fsync])
    for s in servers:
        s.stop()
    for d in dirs:
        shutil.rmtree(d)


def under_load(bench, server, keys, seconds, while_it_runs):
    """SETs by a timetable; while_it_runs() is called again and again meanwhile. Latencies."""
    p = subprocess.Popen(["taskset", "-c", "1", os.path.join(bench.build, "bench", "load"), "-p", str(server.port), "-t",
                          "set", "-P", "16", "-k", str(keys), "-d", "32", "-r", str(RATE), "-s", str(seconds)],
                         stdout=subprocess.PIPE, text=True)
    while p.poll() is None:
        while_it_runs()
        time.sleep(0.05)
    if p.returncode:
        raise SystemExit(f"load against {server.name} while it saves")
    return json.load(p.stdout)


def saving(server):
    return server.info("persistence", "rdb_bgsave_in_progress") != "0"


def save_under_load(bench, kind, folder, keys):
    """p99.9 of the same load without and with BGSAVE, in turn, twice; and the file is left in `folder`."""
    s = bench.start(kind, "--dir", folder, "--dbfilename", "dump.rdb")
    bench.load(s, "-t", "fill", "-k", keys, "-c", 10, "-P", 16, "-d", 32)
    s.ask("MEMORY", "PURGE")
    s.settled_rss()
    seconds, calm, busy, extra, took = (1 if bench.quick else 4), [], [], [], []
    for _ in range(2):
        calm.append(under_load(bench, s, keys, seconds, lambda: saving(s))["p99.9"])
        peak, began, state = Peak(s), time.monotonic(), {"took": None}
        s.ask("BGSAVE")

        def look():
            peak.look()
            if state["took"] is None and not saving(s):
                state["took"] = time.monotonic() - began
        # The load lasts about as long as the snapshot, so that what is measured is the snapshot.
        length = seconds if not took else max(1, round(took[-1] + 0.5))
        busy.append(under_load(bench, s, keys, length, look)["p99.9"])
        while state["took"] is None:
            look()
            time.sleep(0.1)
        took.append(state["took"])
        extra.append(peak.extra())
    s.stop()
    return {"calm": statistics.median(calm), "busy": statistics.median(busy), "extra": max(extra),
            "seconds": statistics.median(took), "bytes": os.path.getsize(os.path.join(folder, "dump.rdb"))}


def loading(bench, r, folder):
    """redis-server's file, loaded by both, nothing pinned."""
    samples = {kind: [] for kind in bench.pair}
    for _ in range(2 if bench.quick else bench.reps):
        for kind in bench.pair:
            if kind == "shoal":
                argv, name = bench.shoal(os.cpu_count()), kind
            else:
                argv, name = bench.kinds[kind], kind
            began = time.monotonic()
            s = bench.launch(name, argv, "--dir", folder, "--dbfilename", "dump.rdb")
            while s.ask("DBSIZE") != str(r["keys"]):
                if time.monotonic() - began > 120:
                    raise SystemExit(f"{kind} did not load: {s.ask('DBSIZE')}")
                time.sleep(0.005)
            samples[kind].append(time.monotonic() - began)
            s.stop()
    r["load"] = {kind: statistics.median(v) for kind, v in samples.items()}
    say("loading, s", {k: f"{v:.2f}" for k, v in r["load"].items()})


def run(bench):
    keys = 500_000 if bench.quick else KEYS
    r = {"save": {}, "keys": keys}
    journal(bench, r, "always")
    journal(bench, r, "everysec")
    dirs = {}
    for kind in bench.pair:
        dirs[kind] = bench.folder()
        r["save"][kind] = save_under_load(bench, kind, dirs[kind], keys)
        c = r["save"][kind]
        say(f"BGSAVE, {kind}", {"p99.9": f"{c['calm']:.0f} -> {c['busy']:.0f} us", "memory": f"+{c['extra'] * 100:.1f} %",
                                "took": f"{c['seconds']:.1f} s", "bytes": c["bytes"]})
    loading(bench, r, dirs[report.BASE])
    for d in dirs.values():
        shutil.rmtree(d)
    return r


def targets(r, add):
    own = r["save"].get("shoal")
    add("SET, appendfsync always, 50 connections: throughput, of redis-server's", 1.2, report.ratio(r["always"], "rps", "shoal"),
        least=True)
    add("SET, everysec, pipeline 16: server CPU per request, all threads, of redis-server's", 0.5,
        report.ratio(r["everysec"], "cpu_us", "shoal"))
    what = f"BGSAVE of {r['keys']:,} keys under load"
    add(f"{what}: p99.9, of the same load's without it", 1.3, own and own["busy"] / own["calm"])
    add(f"{what}: extra memory", 10, own and own["extra"] * 100, unit=" %")
    add(f"loading {r['keys']:,} keys from RDB, 2 cores: wall time, of redis-server's", 0.5, report.ratio_of(r["load"], "shoal"))
    add("size of the RDB file, of redis-server's", 1, report.ratio(r["save"], "bytes", "shoal"))


def render(r, servers):
    rows = [["SET, appendfsync always, pipeline 1"] + report.pair_cells(r["always"], servers),
            ["SET, appendfsync everysec, pipeline 16"] + report.pair_cells(r["everysec"], servers)]
    saves = [[s, f"{c['calm']:.0f}", f"{c['busy']:.0f} ({c['busy'] / c['calm']:.2f})", f"{c['extra'] * 100:.1f} %",
              f"{c['seconds']:.1f}", f"{c['bytes'] / 1e6:.1f}"] for s, c in r["save"].items()]
    return ["## Persistence", "", "Thousand requests per second, and the CPU time per request of all the server's threads in "
            "µs:", "", report.table(["work"] + report.pair_head(servers), rows),
            f"BGSAVE of {r['keys']:,} keys (values of 32 bytes) while {RATE:,} SETs per second arrive by a timetable, 16 at a "
            "time; the server with all its threads and children has core 0. In parentheses: of p99.9 without BGSAVE.", "",
            report.table(["server", "p99.9 µs without BGSAVE", "p99.9 µs during BGSAVE", "extra memory", "s", "file, MB"], saves),
            "Loading redis-server's file, from the start of the process to the first answer, nothing pinned:", "",
            report.table(["what"] + servers, [["seconds"] + report.value_cells(r["load"], servers, 2)])]
