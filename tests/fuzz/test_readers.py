"""Readers against spoilt files: one sentence or success, in bounded time and memory.

A try is a number, which seeds the choice of a file and of how it is spoilt. More of them by
STYLECLIP_RT_FUZZ=30000, others by STYLECLIP_RT_FUZZ_FROM=1000000.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIES = int(os.environ.get("STYLECLIP_RT_FUZZ", "1500"))
FIRST = int(os.environ.get("STYLECLIP_RT_FUZZ_FROM", "0"))
ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits and peaks of memory are Linux's"
)


def worker(*arguments: object) -> tuple[list[str], str]:
    """What the worker printed, and how it ended where that is not well."""
    command = [sys.executable, "-m", "tests.fuzz.reader_worker", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    ended = f"{lines[-1]} ended the process ({done.returncode}): {done.stderr[-500:]}"
    return lines, ended if done.returncode else ""


def test_spoilt_files_end_in_a_sentence(tmp_path: Path) -> None:
    failures: list[str] = []
    next_try, last = FIRST, FIRST + TRIES
    while next_try < last and len(failures) < 20:
        lines, ended = worker(tmp_path / str(next_try), next_try, last)
        failures += [line for line in lines if line.startswith("{")]
        failures += [f"try {ended}"] if ended else []
        next_try = 1 + max(int(line) for line in lines if line.isdecimal())
    assert not failures, "\n\n".join(failures)


def test_small_files_take_little_memory_and_time(tmp_path: Path) -> None:
    lines, ended = worker(tmp_path, "hostile")
    failures = [line for line in lines if line.startswith("{")]
    assert not ended and not failures, "\n\n".join([*failures, ended])
