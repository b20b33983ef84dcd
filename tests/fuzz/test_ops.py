"""Random and hostile calls of every compiled op, under AddressSanitizer and UBSan.

The op library and the ops on arrays are built once more with sanitizers, in build/fuzz, and called
in a process of their own (ops_driver.py). Longer by hand:
STYLECLIP_FUZZ_CALLS=200000 STYLECLIP_FUZZ_SEED=7 pytest tests/fuzz/test_ops.py
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "fuzz"
DRIVER = Path(__file__).with_name("ops_driver.py")
SANITIZERS = "-fsanitize=address,undefined"
CALLS = int(os.environ.get("STYLECLIP_FUZZ_CALLS", "21000"))
SEED = os.environ.get("STYLECLIP_FUZZ_SEED", "0")


def tool(name: str) -> str | None:
    beside_python = str(Path(sys.executable).parent)
    return shutil.which(name) or shutil.which(name, path=beside_python)


def runtime(library: str) -> str:
    """The compiler's own copy of a runtime library, or its bare name if it has none."""
    asked = subprocess.run(["c++", f"-print-file-name={library}"], capture_output=True, text=True)
    return asked.stdout.strip()


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both libraries once; a second run builds only what changed."""
    pybind11 = pytest.importorskip("pybind11")
    cmake, ninja = tool("cmake"), tool("ninja")
    if cmake is None or ninja is None or tool("c++") is None:
        pytest.skip("needs a C++ compiler, cmake and ninja")
    source = tmp_path_factory.mktemp("sanitizer") / "empty.cpp"
    source.write_text("int main() {}\n")
    probe = ["c++", SANITIZERS, str(source), "-o", str(source.with_suffix(""))]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("the compiler has no AddressSanitizer and UBSan")
    definitions = {
        "CMAKE_BUILD_TYPE": "Sanitized",
        "CMAKE_LIBRARY_OUTPUT_DIRECTORY": BUILD / "out",
        "CMAKE_MAKE_PROGRAM": ninja,
        "Python_EXECUTABLE": sys.executable,
        "STYLECLIP_CUDA": "OFF",
        "STYLECLIP_SANITIZE": "ON",
        "STYLECLIP_VERSION": importlib.metadata.version("styleclip-rt"),
        "TORCH_CXX11_ABI": int(torch.compiled_with_cxx11_abi()),
        "TORCH_INCLUDE_DIRS": ";".join(cpp_extension.include_paths()),
        "TORCH_LIBRARY_DIR": Path(torch.__file__).parent / "lib",
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    settings = [f"-D{name}={value}" for name, value in definitions.items()]
    configure = [cmake, "-G", "Ninja", "-S", ROOT, "-B", BUILD, *settings]
    for command in (configure, [cmake, "--build", BUILD, "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return BUILD / "out"


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python under the sanitizers' runtime, which fills memory with NaN as it is given out."""
    options = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=256"
    options += ":max_malloc_fill_size=1000000000:malloc_fill_byte=255:detect_odr_violation=0"
    options += ":alloc_dealloc_mismatch=0"
    environment = {
        **os.environ,
        # The runtime wraps what throws exceptions, so the library that does must be there early.
        "LD_PRELOAD": f"{runtime('libasan.so')}:{runtime('libstdc++.so.6')}",
        "ASAN_OPTIONS": options,
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "OMP_NUM_THREADS": "2",
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


# Of each kind, a share of all calls.
KINDS = {"torch": ("libstyleclip_ops", 0.7), "native": ("_native", 0.3)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_reads_or_writes_beyond_its_arrays(
    kind: str, sanitized: Path, tmp_path: Path
) -> None:
    stem, share = KINDS[kind]
    (library,) = sanitized.glob(f"{stem}*")
    assert b"__asan_report" in library.read_bytes(), "was built without the sanitizer"
    log = tmp_path / "call"
    calls = ("--seed", SEED, "--calls", str(round(share * CALLS)))
    done = python(DRIVER, kind, library, *calls, "--log", log)
    if done.returncode != 0:
        last = log.read_text().strip() if log.exists() else "0"
        shown = python(
            *(DRIVER, kind, library, "--seed", SEED, "--calls", "1", "--first", last, "--show")
        )
        pytest.fail(f"call {last} of seed {SEED}:\n{shown.stdout}\n{done.stderr[-6000:]}")
    assert int(done.stdout.split()[0]) >= round(share * CALLS)


def test_the_sanitizer_watches_the_process(sanitized: Path) -> None:
    done = python("-c", "import ctypes; ctypes.string_at(ctypes.create_string_buffer(999), 9999)")
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
