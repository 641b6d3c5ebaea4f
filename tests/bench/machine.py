"""The machine and the versions behind the figures; no names of hosts or people, no paths."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.cluster import SETTINGS
from bench.run import Run

GIB = 1024**3


def facts(run: Run, rounds: int, rows: Sequence[str], load_before: float) -> Mapping[str, str]:
    """Say what the figures were taken with."""
    engines = [run.ours, *run.peers]
    return {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d"),
        "run": f"{run.scale.name}, {rounds} rounds; rows: {', '.join(rows)}",
        "processor": f"{_cores()} cores, {_processor()}",
        "others at work": f"{load_before:.1f} processes wanted a core before the run began",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB",
        "system": f"{platform.system()} {_kernel()}, {platform.machine()}",
        "Postgres": run.cluster.version
        + ", on the same machine, over its unix socket; "
        + ", ".join(f"{name} = {value}" for name, value in SETTINGS.items()),
        "Python": platform.python_version(),
        **{f"{engine.name} {engine.version}": engine.setting for engine in engines},
    }


def load() -> float:
    """Return how many processes wanted a core in the last minute: other people's work shows."""
    return os.getloadavg()[0]


def _kernel() -> str:
    # What a distributor or a person appended may say where it was built.
    return re.split("[-+]", platform.release())[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
