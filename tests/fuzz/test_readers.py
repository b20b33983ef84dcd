"""Readers against spoilt files: one sentence or success, in bounded time and memory.

A try is a number, which seeds the choice of a file and of how it is spoilt. More of them by
STYLECLIP_RT_FUZZ=30000, others by STYLECLIP_RT_FUZZ_FROM=1000000.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIES = int(os.environ.get("STYLECLIP_RT_FUZZ", "1500"))
FIRST = int(os.environ.get("STYLECLIP_RT_FUZZ_FROM", "0"))
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="limits and peaks of memory are Linux's")
def test_readers_end_in_a_sentence(tmp_path: Path) -> None:
    failures: list[str] = []
    next_try, last = FIRST, FIRST + TRIES
    while next_try < last and len(failures) < 20:
        command = [sys.executable, "-m", "tests.fuzz.reader_worker"]
        folder = tmp_path / str(next_try)
        done = subprocess.run(
            [*command, folder, str(next_try), str(last)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        lines = done.stdout.splitlines()
        failures += [str(json.loads(line)) for line in lines if line.startswith("{")]
        tried = [int(line) for line in lines if line.isdecimal()]
        assert tried, done.stderr
        if done.returncode:
            end = done.stderr[-500:]
            failures.append(f"try {tried[-1]} ended the process ({done.returncode}): {end}")
        next_try = tried[-1] + 1
    assert not failures, "\n\n".join(failures)
