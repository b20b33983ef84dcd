"""Peak memory of two editing steps, each candidate in a process of its own.

``python -m benchmarks.memory "textbook fp32"`` prints the peak resident bytes of one candidate.
"""

import resource
import subprocess
import sys

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
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


if __name__ == "__main__":
    main(*sys.argv[1:])
