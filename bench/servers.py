"""Servers to measure, and the single measurements."""
import atexit
import csv
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import report

HZ = os.sysconf("SC_CLK_TCK")
running = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process; argv gets the port, `more` are further arguments."""

    def __init__(self, name, argv, core="0", more=()):
        self.name = name
        for _ in range(3):  # somebody else may have taken the port meanwhile
            if self.begin(argv, ["taskset", "-c", core] if core else [], [str(m) for m in more]):
                return
        raise SystemExit(f"{name} does not start")

    def begin(self, argv, pin, more):
        self.port, self.control = free_port(), None
        self.proc = subprocess.Popen(pin + argv(self.port) + more, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        running.append(self)
        for _ in range(2000):
            if self.proc.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.01)
        self.stop()
        return False

    def cpu_s(self):
        with open(f"/proc/{self.proc.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def rss(self):
        with open(f"/proc/{self.proc.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def settled_rss(self):
        last = self.rss()
        for _ in range(20):
            time.sleep(0.3)
            now = self.rss()
            if abs(now - last) < 200_000:
                return now
            last = now
        return last

    def ask(self, *words):
        """One command; the text of a simple reply, None if it is an error."""
        if not self.control:
            c = socket.create_connection(("127.0.0.1", self.port), 60)
            self.control = c, c.makefile("rb")
        connection, replies = self.control
        words = [str(w).encode() for w in words]
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        line = replies.readline().decode().rstrip()
        if line.startswith("$"):
            return replies.read(int(line[1:]) + 2).decode().rstrip()
        if not line:
            raise SystemExit(f"{self.name} closed the connection")
        return None if line.startswith("-") else line[1:]

    def info(self, section, field):
        for line in self.ask("INFO", section).splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
        raise SystemExit(f"INFO of {self.name} has no {field}")

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


def median(samples):
    return {k: statistics.median(s[k] for s in samples) for k in samples[0]}


def say(what, values):
    print(f"{what}: " + ", ".join(f"{k} {v}" for k, v in values.items()), flush=True)


class Bench:
    def __init__(self, args):
        self.quick = args.quick
        self.chosen = args.servers.split(",") if args.servers else None
        self.build = args.build
        self.reps = args.reps or (2 if args.quick else 3)
        self.keys = 1_000_000
        self.kinds = self.find()
        # The sections beside the core compare with redis-server alone unless servers were chosen.
        self.pair = {k: v for k, v in self.kinds.items() if k in (self.chosen or (report.BASE, "shoal")) and k != "floor"}
        self.pair.setdefault(report.BASE, self.kinds[report.BASE])
        self.saturation = {}

    def find(self):
        def server(path, *more):
            return lambda port: [path, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning",
                                 *more]
        kinds = {}
        path = os.environ.get("ORACLES_DIR", "") + os.pathsep + os.environ["PATH"]
        for name, label in (("redis-server", "redis 7.0"), ("redis-server-8.0", "redis 8.0"),
                            ("valkey-server-8.1", "valkey 8.1")):
            found = shutil.which(name, path=path)
            if found:
                kinds[label] = server(found)
        if report.BASE not in kinds:
            raise SystemExit("redis-server is needed for comparison")
        ours = os.path.join(self.build, "shoal-server")
        if os.path.exists(ours):
            kinds["shoal"] = server(ours, "--loops", "1")
            self.shoal = lambda loops: server(ours, "--loops", str(loops))
        floor = os.path.join(self.build, "bench", "floor")
        if os.path.exists(floor):
            kinds["floor"] = lambda port: [floor, str(port)]
        return {k: v for k, v in kinds.items() if not self.chosen or k in self.chosen or k == report.BASE}

    # ---- servers

    def start(self, kind, *more, core="0"):
        return Server(kind, self.kinds[kind], core, more)

    def start_all(self, *more, core="0"):
        return [self.start(kind, *more, core=core) for kind in self.pair]

    def start_shoal(self, name, loops, *more, core="0"):
        return Server(name, self.shoal(loops), core, more)

    def launch(self, name, argv, *more):
        """A server free to use every core."""
        return Server(name, argv, None, more)

    def folder(self):
        """A directory on the disk of the build, for one server."""
        return tempfile.mkdtemp(dir=os.path.join(self.build, "bench"), prefix="data-")

    # ---- single measurements

    def drive(self, program, server, *args, core="1"):
        pin = ["taskset", "-c", core] if core else []
        p = subprocess.run(pin + [os.path.join(self.build, "bench", program), "-p", str(server.port), *map(str, args)],
                           capture_output=True, text=True)
        if p.returncode:
            raise SystemExit(f"{program} {args} against {server.name}: {p.stderr}")
        return json.loads(p.stdout)

    def load(self, server, *args, core="1"):
        return self.drive("load", server, *args, core=core)

    def work(self, server, *args, core="1"):
        return self.drive("work", server, "-i", server.proc.pid, *args, core=core)

    def redis_benchmark(self, server, test, pipeline, n, *more, core="1"):
        pin = ["taskset", "-c", core] if core else []
        before = server.cpu_s()
        p = subprocess.run(pin + ["redis-benchmark", "-p", str(server.port), "-t", test, "-n", str(n), "-P",
                                  str(pipeline), "-d", "64", "-r", str(self.keys), "-c", "50", "--csv", *map(str, more)],
                           capture_output=True, text=True)
        cpu = server.cpu_s() - before
        rows = list(csv.DictReader(io.StringIO(p.stdout)))
        if p.returncode or len(rows) != 1:
            raise SystemExit(f"redis-benchmark against {server.name}: {p.stdout} {p.stderr}")
        return {"rps": float(rows[0]["rps"]), "cpu_us": cpu * 1e6 / n}

    def fill(self, server, keys=None):
        if server.name != "floor":
            self.load(server, "-t", "fill", "-k", keys or self.keys, "-c", 10, "-P", 16)

    def alternate(self, servers, once, reps=None):
        """`once` of each server in turn, again and again; the medians by server."""
        samples = {s.name: [] for s in servers}
        for _ in range(reps or self.reps):
            for s in servers:
                samples[s.name].append(once(s))
        return {k: median(v) for k, v in samples.items()}

    def say_pair(self, what, cells):
        base = cells.get(report.BASE)
        say(what, {k: f"{v['cpu_us']:.2f} us {v['rps'] / 1000:.1f}k/s" + (
            f" (CPU {v['cpu_us'] / base['cpu_us']:.2f}, throughput {v['rps'] / base['rps']:.2f})"
            if base and v is not base and base["cpu_us"] else "") for k, v in cells.items()})
