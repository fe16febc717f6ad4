"""Scripts: a rate limiter, and BullMQ where node and the package are found."""
import os
import re
import shutil
import statistics
import subprocess

import report
from servers import say

LIMITER = """local n = redis.call('INCR', KEYS[1])
if n == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return n <= tonumber(ARGV[2]) and 1 or 0"""


def limiter(bench, servers, core, reps=None):
    shas = {s.name: s.ask("SCRIPT", "LOAD", LIMITER) for s in servers}
    return bench.alternate(servers, lambda s: bench.work(
        s, "-P", 16, "-s", 0.3 if bench.quick else 1, f"EVALSHA {shas[s.name]} 1 user:{{r:10000}} 60 1000", core=core), reps)


def bullmq(bench, r):
    modules = os.environ.get("NODE_MODULES", os.path.join(bench.build, "clients", "node_modules"))
    node = shutil.which("node")
    if not node or not os.path.isdir(os.path.join(modules, "bullmq")):
        return
    program = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "clients", "bullmq.js")
    samples = {kind: [] for kind in bench.pair}
    for _ in range(1 if bench.quick else bench.reps):
        for kind in bench.pair:
            s = bench.start(kind)
            env = dict(os.environ, PORT=str(s.port), JOBS="2000" if bench.quick else "20000",
                       NODE_PATH=os.path.abspath(modules))
            p = subprocess.run(["taskset", "-c", "1", node, program], env=env, capture_output=True, text=True)
            took = re.search(r"jobs in (\d+) ms", p.stdout)
            if p.returncode or not took:
                raise SystemExit(f"BullMQ on {kind}: {p.stdout} {p.stderr}")
            samples[kind].append({"seconds": int(took[1]) / 1000, "cpu_s": s.cpu_s()})
            s.stop()
    r["bullmq"] = {kind: {k: statistics.median(x[k] for x in v) for k in v[0]} for kind, v in samples.items()}
    say("BullMQ", {k: f"{v['seconds']:.2f} s, server CPU {v['cpu_s']:.2f} s" for k, v in r["bullmq"].items()})


def run(bench):
    r = {}
    servers = bench.start_all()
    r["limiter"] = limiter(bench, servers, "1")
    bench.say_pair("rate limiter", r["limiter"])
    for s in servers:
        s.stop()
    servers = [bench.start_shoal(f"{n} loop{'s' * (n > 1)}", n, core=None) for n in (1, 2)]
    r["loops"] = limiter(bench, servers, None, bench.reps * 2)  # the scheduler chooses the cores: more samples
    bench.say_pair("rate limiter, nothing pinned", r["loops"])
    for s in servers:
        s.stop()
    bullmq(bench, r)
    return r


def targets(r, add):
    add("EVALSHA of a rate limiter, pipeline 16: throughput, of redis-server's", 2.0,
        report.ratio(r["limiter"], "rps", "shoal"), least=True)
    add("EVALSHA of a rate limiter: throughput of 2 loops, of 1 loop's, nothing pinned", 1,
        report.ratio(r["loops"], "rps", "2 loops", "1 loop"), least=True)
    add("BullMQ, 20,000 jobs, 20 at a time: wall time, of redis-server's", 1.0,
        report.ratio(r.get("bullmq", {}), "seconds", "shoal"))


def render(r, servers):
    rows = [["rate limiter"] + report.pair_cells(r["limiter"], servers)]
    loops = ["1 loop", "2 loops"]
    out = ["## Scripts", "", "EVALSHA of five lines that count (INCR), let the count expire (EXPIRE) and compare it, on "
           "10,000 keys, pipeline 16. Thousand requests per second, and the server's CPU time per request in µs.", "",
           report.table(["work"] + report.pair_head(servers), rows), "The same with nothing pinned:", "",
           report.table(["work"] + report.pair_head(loops), [["rate limiter"] + report.pair_cells(r["loops"], loops)])]
    if "bullmq" in r:
        cells = r["bullmq"]
        rows = [["BullMQ: 20,000 jobs added and processed, 20 at a time"] +
                report.value_cells({k: v["seconds"] for k, v in cells.items()}, servers, 2) +
                report.value_cells({k: v["cpu_s"] for k, v in cells.items()}, servers, 2)]
        out += [report.table(["work"] + [f"{s}, {what}" for what in ("s", "server CPU s") for s in servers], rows)]
    return out
