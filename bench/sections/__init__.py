"""The sections of the report, in its order. Each has run(bench), which returns figures; targets(figures, add); and
render(figures, servers), the lines of its chapter."""
from . import core, types

SECTIONS = {"throughput": core.Throughput, "latency": core.Latency, "memory": core.Memory, "loops": core.Loops,
            "types": types}
