"""Turns the results of bench/run.py into README.md and plot.svg. Text below the marker in README.md is kept."""
import math
import os

MARKER = "<!-- below this line is written by hand and kept -->"
BASE = "redis 7.0"
COLORS = {"redis 7.0": "#9aa5b1", "redis 8.0": "#6b7c93", "valkey 8.1": "#4f8fc0", "shoal": "#d9582b",
          "floor": "#d8cfa8"}


def ratio(cells, key, name, base=BASE):
    if name not in cells or base not in cells or not cells[base][key]:
        return None
    return cells[name][key] / cells[base][key]


def targets(r):
    """Rows: work, figure asked for, figure reached, whether it holds."""
    rows = []

    def add(work, limit, value, unit=""):
        if value is None:
            rows.append((work, f"≤ {limit}{unit}", "not measured", ""))
        else:
            rows.append((work, f"≤ {limit}{unit}", f"{value:.2f}{unit}", "yes" if value <= limit else "**no**"))

    for pipeline, limit in ((1, 0.78), (16, 0.35), (64, 0.30)):
        for op in ("GET", "SET"):
            cells = r["throughput"].get(f"{op} {pipeline}", {})
            add(f"{op}, pipeline {pipeline}: server CPU per request, of redis-server's", limit,
                ratio(cells, "cpu_us", "shoal"))
            if pipeline == 1:
                add(f"{op}, pipeline 1: server CPU per request, of the floor's", 1.10,
                    ratio(cells, "cpu_us", "shoal", "floor"))
    for work, cells in r["saturated"].items():
        op, pipeline = work.split()
        add(f"{op}, pipeline {pipeline}: p99 at the rate that saturates redis-server, of redis-server's", 0.6,
            ratio(cells, "p99", "shoal"))
    memory = r["memory"]
    for keys in ("1000000", "10000000"):
        for ttl, limit in (("", 0.55), (" ttl", 0.50)):
            both = keys + ttl in memory.get("shoal", {}) and keys + ttl in memory.get(BASE, {})
            add(f"{int(keys) // 1000000} million keys{', each with a TTL' if ttl else ''}: bytes per key, of "
                "redis-server's", limit, memory["shoal"][keys + ttl] / memory[BASE][keys + ttl] if both else None)
    add("10 million keys inserted: longest any request took", 5, r["pause"].get("shoal"), " ms")
    for op, cells in r["loops"].items():
        value = cells["2 loops"]["rps"] / cells["1 loop"]["rps"]
        rows.append((f"{op}, pipeline 16: throughput of 2 loops, of 1 loop's, nothing pinned", "≥ 1", f"{value:.2f}",
                     "yes" if value >= 1 else "**no**"))
    return rows


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join(out + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def with_ratio(value, base, digits):
    return f"{value:.{digits}f}" + (f" ({value / base:.2f})" if base else "")


def throughput_table(r, key, scale, digits):
    rows = []
    for work, cells in r["throughput"].items():
        op, pipeline = work.split()
        base = cells[BASE][key]
        rows.append([f"{op}, pipeline {pipeline}"] +
                    [with_ratio(cells[s][key] * scale, s != BASE and base * scale, digits) if s in cells else ""
                     for s in r["servers"]])
    return table(["work"] + r["servers"], rows)


def latency_table(cells_by_op, servers):
    rows = []
    for work, cells in cells_by_op.items():
        for s in servers:
            if s in cells:
                c = cells[s]
                rows.append([work.replace(" ", ", pipeline "), s, f"{c['rps'] / 1000:.0f}"] + [f"{c[k]:.0f}" for k in ("p50", "p99", "p99.9")])
    return table(["work", "server", "thousand requests/s", "p50 µs", "p99 µs", "p99.9 µs"], rows)


def memory_table(r):
    columns = sorted({k for v in r["memory"].values() for k in v}, key=lambda k: (k.endswith("ttl"), len(k)))
    rows = []
    for s in r["servers"]:
        row, cell = [s], r["memory"].get(s, {})
        for k in columns:
            base = r["memory"][BASE].get(k) if s != BASE else None
            row.append(with_ratio(cell[k], base, 0) if k in cell else "")
        rows.append(row + [f"{r['pause'][s]:.1f}" if s in r["pause"] else ""])
    head = [f"{int(k.split()[0]):,} keys{', TTL' if k.endswith('ttl') else ''}" for k in columns]
    return table(["server"] + head + ["longest request while inserting, ms"], rows)


def readme(r):
    parts = ["# Shoal beside redis-server", "",
             "Written by `make bench`; nothing above the marker at the end is edited by hand. All figures of a row come "
             "from one run in which the servers took turns; each is the median of "
             f"{r['reps']} repetitions. A figure in parentheses is the ratio to redis-server 7.0.15.", "",
             f"Machine: {r['cores']} cores, x86-64 Linux, shared with other work. Server on core 0 (one thread of "
             "execution), load on core 1, persistence off, 64-byte values, 1 million keys, 50 connections, unless a "
             "heading says otherwise. To reproduce:", "", "```", "make bench             # everything, about 25 minutes",
             "make bench QUICK=1     # two minutes: is the machinery in order?", "```", "",
             "Redis 8.0 and Valkey 8.1 take part when `redis-server-8.0` and `valkey-server-8.1` are in the path or in "
             "`ORACLES_DIR`.", "", "![server CPU and memory](plot.svg)", "", "## Targets", "",
             table(["work", "target", "reached", "holds"], targets(r)), "## Server CPU per request, µs", "",
             "User and system time of the server process, driven by redis-benchmark. The floor is a loop of the same "
             "network library that counts requests and answers `+OK` without looking at them.", "",
             throughput_table(r, "cpu_us", 1, 2), "## Throughput, thousand requests per second", "",
             "Where the server is faster than one core of redis-benchmark, this is the client's limit.", "",
             throughput_table(r, "rps", 1e-3, 0), "## Latency", "", "Everyone as fast as it goes (bench/load.c, closed "
             "loop, 50 connections, every reply's content checked):", "", latency_table(r["latency"], r["servers"]),
             "The load driver needs about as much CPU per request without a pipeline as the server, so there it is at its "
             "own limit with every server.", "",
             "At a fixed timetable with the rate that saturates redis-server 7.0.15; a request's time begins when it was "
             "due, so what queues behind a stall is charged to it:", "", latency_table(r["saturated"], r["servers"]),
             "## Memory, bytes per key", "", "Growth of the process's resident memory; keys of 16 bytes, values of 32. The longest request is that of 10 "
             "connections with a pipeline of 16; the floor, which stores nothing, shows what the machine adds.", "", memory_table(r)]
    if r["loops"]:
        rows = [[op] + [f"{c[n]['rps'] / 1000:.0f}" for n in ("1 loop", "2 loops")] +
                [f"{c[n]['cpu_us']:.2f}" for n in ("1 loop", "2 loops")] for op, c in r["loops"].items()]
        parts += ["## Two loops", "", "Pipeline 16, redis-benchmark, nothing pinned: on a machine of two cores the "
                  "client takes one of them.", "",
                  table(["work", "1 loop, thousand/s", "2 loops, thousand/s", "1 loop, CPU µs", "2 loops, CPU µs"], rows)]
    return "\n".join(parts) + "\n"


# ---------------------------------------------------------------- plot


def bars(x, y, width, height, title, unit, groups, servers, digits):
    """Grouped bars: groups is [(label, {server: value})]."""
    most = max((v for _, g in groups for v in g.values()), default=1) * 1.06
    tick = next(t for e in range(-4, 12) for t in (10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e) if most / t <= 6)
    count = math.ceil(most / tick)
    top = tick * count
    out = [f'<text x="{x}" y="{y - 34}" class="title">{title}</text>',
           f'<text x="{x}" y="{y - 18}" class="unit">{unit}</text>']
    for i in range(count + 1):
        gy = y + height - height * i / count
        out.append(f'<line x1="{x}" x2="{x + width}" y1="{gy:.1f}" y2="{gy:.1f}" class="grid"/>')
        out.append(f'<text x="{x - 6}" y="{gy + 4:.1f}" class="tick" text-anchor="end">{tick * i:g}</text>')
    step = width / max(len(groups), 1)
    bar = step * 0.84 / max(len(servers), 1)
    for i, (label, values) in enumerate(groups):
        left = x + i * step + step * 0.08
        for k, s in enumerate(servers):
            if s not in values:
                continue
            h = height * values[s] / top
            bx, by = left + k * bar, y + height - h
            out.append(f'<rect x="{bx:.1f}" y="{by:.1f}" width="{bar * 0.92:.1f}" height="{h:.1f}" '
                       f'fill="{COLORS[s]}"/>')
            out.append(f'<text x="{bx + bar * 0.46:.1f}" y="{by - 3:.1f}" class="value" text-anchor="middle">'
                       f'{values[s]:.{digits}f}</text>')
        out.append(f'<text x="{left + step * 0.42:.1f}" y="{y + height + 16}" class="label" text-anchor="middle">'
                   f'{label}</text>')
    return "\n".join(out)


def plot(r):
    servers = [s for s in r["servers"] if s in COLORS]

    def cpu(pipelines):
        return [(f"{op}, pipeline {p}", {s: c["cpu_us"] for s, c in r["throughput"][f"{op} {p}"].items()})
                for p in pipelines for op in ("GET", "SET") if f"{op} {p}" in r["throughput"]]

    keys = sorted({k for v in r["memory"].values() for k in v}, key=lambda k: (k.endswith("ttl"), len(k)))
    memory = [(f"{int(k.split()[0]) / 1e6:g} M keys{', TTL' if k.endswith('ttl') else ''}",
               {s: v[k] for s, v in r["memory"].items() if k in v}) for k in keys]
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="820" viewBox="0 0 1000 820">',
           "<style>text{font-family:Helvetica,Arial,sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}"
           ".unit{font-size:12px;fill:#555}.tick{font-size:11px;fill:#555}.label{font-size:12px}.value{font-size:10px}"
           ".legend{font-size:13px}.grid{stroke:#ddd;stroke-width:1}</style>",
           '<rect width="1000" height="820" fill="#fff"/>']
    for i, s in enumerate(servers):
        out.append(f'<rect x="{60 + i * 150}" y="20" width="14" height="14" fill="{COLORS[s]}"/>')
        out.append(f'<text x="{80 + i * 150}" y="32" class="legend">{s}</text>')
    unit = "µs per request, user and system; lower is better"
    out.append(bars(60, 105, 330, 280, "Server CPU, no pipeline", unit, cpu((1,)), servers, 1))
    out.append(bars(460, 105, 510, 280, "Server CPU, pipelines of 16 and 64", unit, cpu((16, 64)), servers, 2))
    if memory:
        out.append(bars(60, 490, 910, 280, "Memory", "bytes per key, 16-byte keys with 32-byte values; lower is better",
                        memory, servers, 0))
    return "\n".join(out + ["</svg>"]) + "\n"


def write(result, folder):
    path = os.path.join(folder, "README.md")
    kept = "\n"
    if os.path.exists(path):
        with open(path) as f:
            kept = (f.read().split(MARKER, 1) + ["\n"])[1]
    with open(path, "w") as f:
        f.write(readme(result) + "\n" + MARKER + kept)
    with open(os.path.join(folder, "plot.svg"), "w") as f:
        f.write(plot(result))
    print(f"wrote {path}")
