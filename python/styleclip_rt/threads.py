"""How many threads to work on, and how they wait for each other. Needs no torch."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SPINS = 10_000
"""How often a thread of GNU's OpenMP looks for work before it sleeps.

Its own 300,000 keep a core busy for milliseconds at the end of each of an edit's thousands of
parallel loops; where other work wants the core, it is the one that the thread waited for which
then cannot run. A tenth of this costs a quiet machine 5 to 15 % of a step.
"""
WAITING = {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": "0"}
"""What tells OpenMP how to wait, GNU's and LLVM's or Intel's; read once, when it is loaded."""


class Threads(NamedTuple):
    """A number of threads, and what decided it in a few words."""

    number: int
    why: str


def chosen() -> Threads:
    """OMP_NUM_THREADS where it is set, else `given`."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isascii() and wanted.isdigit() and int(wanted) > 0:
        return Threads(int(wanted), "OMP_NUM_THREADS")
    return given()


def given() -> Threads:
    """One a CPU that the process may run on, and no more than the container's quota of CPU time
    keeps busy."""
    if hasattr(os, "sched_getaffinity"):
        cpus, why = len(os.sched_getaffinity(0)), "the CPUs that this process may run on"
    else:
        cpus, why = os.cpu_count() or 1, "the machine's CPUs"
    quota = cpu_quota()
    if quota is not None and math.ceil(quota) < cpus:
        return Threads(math.ceil(quota), f"the container's CPU quota of {quota:g}")
    return Threads(cpus, why)


def wait_briefly() -> None:
    """Have OpenMP's threads sleep soon instead of spinning, unless the environment says how.

    Only before the first library with OpenMP, say torch, is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


def how_they_wait() -> str:
    """What the environment tells OpenMP of waiting, in a few words."""
    names = ("OMP_WAIT_POLICY", *WAITING)
    said = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join(said) or "as OpenMP does by itself"


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that the control groups of this process, and those around it, allow;
    None without a limit.

    Source: Linux's Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst
    (cpu.cfs_quota_us and cpu.cfs_period_us of version 1).
    """
    limits = [limit for group in _cpu_groups(root) if (limit := _limit(group)) is not None]
    return min(limits, default=None)


def _cpu_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's CPU control groups, up to the outermost that can be seen."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    paths = {}  # The path of this process by version of its hierarchy.
    for line in groups:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            paths["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            paths["cgroup"] = path
    for line in mounts:
        # proc(5): ID, parent, device, root, mount point, options, tags - type, source, options.
        before, _, after = (part.split() for part in line.partition(" - "))
        if len(before) < 5 or len(after) < 3 or after[0] not in paths:
            continue
        if after[0] == "cgroup" and "cpu" not in after[2].split(","):
            continue
        path, top = paths[after[0]], before[3].rstrip("/")
        mount = root / before[4].lstrip("/")
        # A path outside what is mounted here, as without a namespace of its own, says nothing.
        inner = path.removeprefix(top).strip("/") if path.startswith(top) else ""
        parts = [] if ".." in inner.split("/") else [part for part in inner.split("/") if part]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _limit(group: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
            quota, period = (int(word) for word in words)
        except (OSError, ValueError):  # No such file, or "max".
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
