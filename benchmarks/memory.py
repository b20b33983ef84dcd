"""Peak memory of two editing steps, each candidate in a process of its own.

``python -m benchmarks.memory "textbook fp32"`` prints the peak resident bytes of one candidate.
"""

import re
import resource
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.cases import editing_step


def peak_bytes(candidate: str, threads: int) -> int:
    """Peak resident memory of a fresh process that takes two editing steps at 1024 px."""
    command = [sys.executable, "-m", "benchmarks.memory", candidate, str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])


def main(candidate: str, threads: str) -> None:
    """Take the steps and print the peak."""
    torch.set_num_threads(int(threads))
    step = editing_step(1024).candidates[candidate]()
    for _ in range(2):
        step()
    print(_peak())


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent held when it started this process.
        (kilobytes,) = re.findall(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.M)
        return int(kilobytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    main(*sys.argv[1:])
