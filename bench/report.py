"""Turns the results of bench/run.py into README.md and plot.svg. Text below the marker in README.md is kept."""
import math
import os

MARKER = "<!-- below this line is written by hand and kept -->"
BASE = "redis 7.0"
COLORS = {"redis 7.0": "#9aa5b1", "redis 8.0": "#6b7c93", "valkey 8.1": "#4f8fc0", "shoal": "#d9582b",
          "floor": "#d8cfa8"}


def ratio_of(values, name, base=BASE):
    """Of values by server: `name`'s over base's, None if either is missing."""
    return values[name] / values[base] if name in values and values.get(base) else None


def ratio(cells, key, name, base=BASE):
    return ratio_of({k: v[key] for k, v in cells.items()}, name, base)


def targets(result, sections):
    """Rows: work, figure asked for, figure reached, whether it holds."""
    rows = []

    def add(work, limit, value, unit="", least=False):
        wanted = f"{'≥' if least else '≤'} {limit}{unit}"
        if value is None:
            rows.append((work, wanted, "not measured", ""))
        else:
            holds = value >= limit if least else value <= limit
            rows.append((work, wanted, f"{value:.2f}{unit}", "yes" if holds else "**no**"))

    for name, section in sections.items():
        if name in result["sections"]:
            section.targets(result["sections"][name], add)
    return rows


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join(out + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def value_cells(values, servers, digits):
    """One cell per server, with the ratio to the base in parentheses."""
    out = []
    for s in servers:
        own = ratio_of(values, s) if s != BASE else None
        out.append((f"{values[s]:.{digits}f}" + (f" ({own:.2f})" if own is not None else "")) if s in values else "")
    return out


def pair_head(servers):
    return [f"{s}, {what}" for what in ("thousand/s", "µs") for s in servers]


def pair_cells(cells, servers):
    return value_cells({k: v["rps"] / 1000 for k, v in cells.items()}, servers, 1) + \
        value_cells({k: v["cpu_us"] for k, v in cells.items()}, servers, 2)


def measured(result, figures):
    """The servers whose names occur in a section's figures, in order."""
    names = set()

    def walk(node):
        for k, v in node.items() if isinstance(node, dict) else ():
            names.add(k)
            walk(v)
    walk(figures)
    return [s for s in result["servers"] if s in names]


def readme(result, sections):
    parts = ["# Shoal beside redis-server", "",
             "Written by `make bench`; nothing above the marker at the end is edited by hand. All figures of a row come "
             "from one run in which the servers took turns; each is the median of several repetitions. A figure in "
             "parentheses is the ratio to redis-server 7.0.15.", "",
             f"Machine: {result.get('cores', '?')} cores, x86-64 Linux, shared with other work. Server on core 0 (one "
             "thread of execution), load on core 1, persistence off, 64-byte values, 1 million keys, 50 connections, "
             "unless a heading says otherwise. To reproduce:", "", "```",
             "make bench                    # everything, about 15 minutes",
             "make bench BENCH_ONLY=types   # one section (or several, with commas); the others' figures are kept",
             "make bench QUICK=1            # is the machinery in order? The report goes to build/bench",
             "```", "", f"The sections are {', '.join(sections)}. Redis 8.0 and Valkey 8.1 take part in the first four "
             "when `redis-server-8.0` and `valkey-server-8.1` are in the path or in `ORACLES_DIR`.", "",
             "![server CPU and memory](plot.svg)", "", "## Targets", "",
             table(["work", "target", "reached", "holds"], targets(result, sections))]
    for name, section in sections.items():
        figures = result["sections"].get(name)
        if figures:
            parts += section.render(figures, measured(result, figures))
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


def plot(result):
    servers = [s for s in result["servers"] if s in COLORS]
    throughput = result["sections"].get("throughput", {})
    sizes = result["sections"].get("memory", {}).get("memory", {})

    def cpu(pipelines):
        return [(f"{op}, pipeline {p}", {s: c["cpu_us"] for s, c in throughput[f"{op} {p}"].items()})
                for p in pipelines for op in ("GET", "SET") if f"{op} {p}" in throughput]

    keys = sorted({k for v in sizes.values() for k in v}, key=lambda k: (k.endswith("ttl"), len(k)))
    memory = [(f"{int(k.split()[0]) / 1e6:g} M keys{', TTL' if k.endswith('ttl') else ''}",
               {s: v[k] for s, v in sizes.items() if k in v}) for k in keys]
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


def write(result, sections, folder):
    path = os.path.join(folder, "README.md")
    kept = "\n"
    if os.path.exists(path):
        with open(path) as f:
            kept = (f.read().split(MARKER, 1) + ["\n"])[1]
    with open(path, "w") as f:
        f.write(readme(result, sections) + "\n" + MARKER + kept)
    with open(os.path.join(folder, "plot.svg"), "w") as f:
        f.write(plot(result))
    print(f"wrote {path}")
