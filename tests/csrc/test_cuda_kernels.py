"""The CUDA kernels' sources on the CPU: see csrc/tests/simt/simt.h for what that proves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "simt"
OPS = sorted({path.stem for path in (ROOT / "csrc/kernels/cuda").glob("*.cu")} - {"stream"})
BESIDE_PYTHON = str(Path(sys.executable).parent)


def tool(name):
    return shutil.which(name) or shutil.which(name, path=BESIDE_PYTHON)


@pytest.fixture(scope="session")
def emulated():
    """Build the tests once; a second run builds only what changed."""
    cmake = tool("cmake")
    if cmake is None or tool("c++") is None:
        pytest.skip("needs a C++ compiler and cmake")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if (ninja := tool("ninja")) else []
    configure = [cmake, "-S", ROOT / "csrc/tests", "-B", BUILD, *generator]
    for command in (configure, [cmake, "--build", BUILD, "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return BUILD


@pytest.mark.parametrize("op", OPS)
def test_kernel_equals_its_definition_under_sanitizers(emulated, op):
    done = subprocess.run([emulated / f"test_{op}"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "worst error" in done.stdout


PLANTED = {
    "off_by_one": "AddressSanitizer: heap-buffer-overflow",
    "shared_off_by_one": "shared memory accessed out of bounds",
    "missing_barrier": "shared memory read before it was written",
    "missing_second_barrier": "race: shared memory",
    "barrier_not_reached": "deadlock",
    "wrong_stride": "instead of",
    "misaligned": "misaligned address",
    "unwritten": "instead of",
    "order_of_blocks": "depends on the order",
}


@pytest.mark.parametrize(("bug", "finding"), PLANTED.items())
def test_harness_finds_a_planted_bug(emulated, bug, finding):
    done = subprocess.run([emulated / "test_planted_bugs", bug], capture_output=True, text=True)
    assert done.returncode != 0
    assert finding in done.stderr


def test_harness_passes_the_same_kernel_without_a_bug(emulated):
    done = subprocess.run([emulated / "test_planted_bugs", "none"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
