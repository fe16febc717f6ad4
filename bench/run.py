#!/usr/bin/env python3
"""Measures shoal-server beside redis-server, side by side in one run, and writes bench/README.md and bench/plot.svg.

Every server is pinned to core 0 and the load to core 1; repetitions alternate between the servers (A B C, A B C, ...)
and the median counts. Server CPU is utime + stime of the whole process from /proc, per request. Persistence is off.
Redis 8.0 and Valkey 8.1 take part in the sections about strings if redis-server-8.0 and valkey-server-8.1 are found in
ORACLES_DIR or PATH. Each section's figures are kept in bench/results.json: --only measures some sections anew.
"""
import argparse
import json
import os
import signal
import sys

import report
import servers
from sections import SECTIONS

HERE = os.path.dirname(os.path.abspath(__file__))


def be_nice(niceness):
    """Linux weighs sessions first (autogroup), so the run gets a session of its own."""
    os.nice(niceness)
    try:
        os.setsid()
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(niceness))
    except OSError:
        pass


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--only", help=f"sections, comma-separated, of {', '.join(SECTIONS)}")
    p.add_argument("--quick", action="store_true", help="a check of the machinery: results and report go to the build")
    p.add_argument("--build", default="build")
    p.add_argument("--reps", type=int)
    p.add_argument("--nice", type=int, default=0, help="niceness of servers and load: below 0 on a shared machine")
    p.add_argument("--servers", help="by name, comma-separated, in all sections; redis-server always takes part; "
                                     "results and report go to the build")
    p.add_argument("--trial", action="store_true", help="results and report go to the build")
    p.add_argument("--render", action="store_true", help="measure nothing, write the report from the kept results")
    args = p.parse_args()
    args.only = args.only.split(",") if args.only else list(SECTIONS)
    if set(args.only) - set(SECTIONS):
        p.error(f"no such section: {', '.join(set(args.only) - set(SECTIONS))}")
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))
    out = os.path.join(args.build, "bench") if args.quick or args.trial or args.servers else HERE
    path = os.path.join(out, "results.json")
    result = {"servers": [], "sections": {}}
    if os.path.exists(path):
        with open(path) as f:
            result = json.load(f)
    if args.nice:
        be_nice(args.nice)
    if not args.render:
        bench = servers.Bench(args)
        result["cores"] = os.cpu_count()
        result["servers"] = [s for s in report.COLORS if s in result["servers"] or s in bench.kinds]
        for name in args.only:
            result["sections"][name] = SECTIONS[name].run(bench)
            with open(path, "w") as f:
                json.dump(result, f, indent=1)
                f.write("\n")
    report.write(result, SECTIONS, out)


if __name__ == "__main__":
    main()
