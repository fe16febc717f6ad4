"""The sections of the report, in its order. Each has run(bench), which returns figures; targets(figures, add); and
render(figures, servers), the lines of its chapter."""
from . import core, persistence, scripts, services, types

SECTIONS = {"throughput": core.Throughput, "latency": core.Latency, "memory": core.Memory, "loops": core.Loops,
            "types": types, "services": services, "persistence": persistence, "scripts": scripts}
