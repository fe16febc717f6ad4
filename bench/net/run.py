#!/usr/bin/env python3
"""run.py DIR [--seconds S] [--rounds N] [--only WORK,...] [--write FILE]: the same echo server on libshoalnet, libuv,
libevent and bare epoll, one after the other in alternating rounds, server on core 0 and load on core 1. Ratios are medians
over the rounds of server CPU per message. DIR holds the programs."""
import argparse, json, os, resource, signal, socket, statistics, subprocess, sys, time

WORKS = [  # name, connections, size, depth, against, target
    ("ping-pong 64 B, 1", 1, 64, 1, "epoll", None),
    ("ping-pong 64 B, 50", 50, 64, 1, "epoll", 1.03),
    ("ping-pong 64 B, 1,000", 1000, 64, 1, "libuv", 0.78),
    ("ping-pong 64 B, 10,000", 10000, 64, 1, "libuv", None),
    ("pipelined 16 x 64 B, 50", 50, 64, 16, "libuv", 0.88),
    ("bulk 64 KiB, 10", 10, 65536, 1, "libuv", 0.80),
    ("8,192 x 1 KiB", 8192, 1024, 1, "libuv", 0.70),
]
SERVERS = {
    "epoll": ["echo_epoll"], "libuv": ["echo_uv"], "libevent": ["echo_event"],
    "shoalnet": ["echo_shoal", "{port}", "1", "epoll"], "shoalnet edge": ["echo_shoal", "{port}", "1", "edge"],
    "shoalnet uring": ["echo_shoal", "{port}", "1", "uring"],
    "shoalnet gather": ["echo_shoal", "{port}", "1", "edge", "100"],
    "proactor": ["echo_proactor", "{port}"],
}

GATHERS = "shoalnet gather"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", int(port))) == 0


def measure(folder, server, args, seconds):
    port = str(free_port())
    argv = [a.format(port=port) for a in SERVERS[server]]
    argv = [os.path.join(folder, argv[0])] + (argv[1:] or [port])
    p = subprocess.Popen(["taskset", "-c", "0"] + argv)
    try:
        end = time.monotonic() + 20
        while not answers(port):
            if p.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{server} does not answer")
            time.sleep(0.01)
        out = subprocess.run(["taskset", "-c", "1", os.path.join(folder, "load"), port, *map(str, args), str(seconds),
                              str(p.pid)], stdout=subprocess.PIPE, check=True, timeout=seconds * 5 + 60)
        return json.loads(out.stdout)
    finally:
        p.send_signal(signal.SIGKILL)
        p.wait()


def verdict(ratios, against):
    """The best variant by name, and what is reached without trading latency for it."""
    best = min(ratios, key=ratios.get)
    text = f"{ratios[best]:.2f} of {against} ({best})"
    if best == GATHERS:
        text += f"; {min(r for s, r in ratios.items() if s != GATHERS):.2f} without gathering"
    return text


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("dir")
    ap.add_argument("--seconds", type=float, default=2)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--only", default="")
    ap.add_argument("--servers", default=",".join(SERVERS))
    ap.add_argument("--write")
    o = ap.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers, lines, sends = o.servers.split(","), [], []
    lines.append("| work | " + " | ".join(servers) + " | ratio | target |")
    lines.append("|---|" + "---|" * (len(servers) + 2))
    for name, conns, size, depth, against, target in WORKS:
        if o.only and not any(w in name for w in o.only.split(",")):
            continue
        got = {s: [] for s in servers}
        for _ in range(o.rounds):
            for s in servers:
                got[s].append(measure(o.dir, s, (conns, size, depth), o.seconds))
        cells = []
        for s in servers:
            m = {k: statistics.median(r[k] for r in got[s]) for k in got[s][0]}
            cells.append(f"{m['cpu_us']:.2f} µs, {m['per_s'] / 1000:.0f} k/s, p50 {m['p50_us']:.0f} p99 {m['p99_us']:.0f} "
                         f"p99.9 {m['p999_us']:.0f}")
        best = ""
        if against in got and "shoalnet" in got:
            best = verdict({s: statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(got[s], got[against]))
                            for s in servers if s.startswith("shoalnet")}, against)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {best} | {'' if target is None else f'≤ {target:.2f}'} |")
        print(lines[-1], flush=True)
    if not o.only or "idle" in o.only:
        cells = [measure(o.dir, s, (10000, 64, 1), 0) for s in servers]
        lines.append("| memory per idle connection of 10,000: at first, after one echo | " +
                     " | ".join(f"{c['bytes_idle']:.0f} B, {c['bytes_after']:.0f} B" for c in cells) + " | | ≤ 200 B |")
        print(lines[-1], flush=True)
    if not o.only or "send" in o.only:
        for backend in ("epoll", "uring"):
            for producers in ("1", "4"):
                got = subprocess.run([os.path.join(o.dir, "send"), producers, "1000000", backend], stdout=subprocess.PIPE,
                                     check=True, universal_newlines=True)
                sends.append("- " + got.stdout.strip())
                print(sends[-1], flush=True)
    if o.write:
        with open(o.write, "w") as f:
            f.write("# Echo servers side by side\n\nServer CPU per message, messages per second and latency in "
                    f"microseconds; medians of {o.rounds} alternating rounds of {o.seconds:g} s. Server on core 0 with one "
                    "loop, load on core 1; every byte that comes back is checked. \"shoalnet gather\" is edge with "
                    "`gather_us = 100`: a busy loop with many active connections sleeps before it looks for events, "
                    "which saves CPU and costs latency (see p50). Made by `make bench-net`.\n\n")
            f.write("\n".join(lines) + "\n")
            f.write("\nOne million messages from other threads to one connection (at least 3 million a second):\n\n")
            f.write("\n".join(sends) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
