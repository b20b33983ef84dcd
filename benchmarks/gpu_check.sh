#!/usr/bin/env bash
# Builds, tests and times the package on a machine with a CUDA device, in at most nine minutes and
# without a network. Needs torch with CUDA, nvcc, cmake, ninja, pybind11, setuptools and the
# package's own dependencies; missing ones are taken from wheels in $WHEELS (./wheels), if there.
#
#   benchmarks/gpu_check.sh [folder for the JSON results, default benchmarks/results]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${1:-benchmarks/results}
site=$PWD/build/gpu/site

"$python" - <<'PY' || exit 2
import shutil, sys
try:
    import torch
except ImportError:
    sys.exit("gpu_check: this Python has no torch.")
if not torch.cuda.is_available():
    sys.exit("gpu_check: torch sees no CUDA device; this check needs one.")
for tool in ("cmake", "ninja"):
    if shutil.which(tool) is None:
        sys.exit(f"gpu_check: there is no {tool} on the PATH.")
PY
if ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then
  export PATH=$PATH:/usr/local/cuda/bin
fi
command -v nvcc >/dev/null || { echo "gpu_check: there is no nvcc on the PATH." >&2; exit 2; }

echo "== build"
rm -rf "$site"
export PYTHONPATH=$site:$PWD
# Only this machine's architecture: all six would take minutes.
export STYLECLIP_CUDA=ON CUDAARCHS=native CMAKE_GENERATOR=Ninja
pip=("$python" -m pip --disable-pip-version-check install --quiet --no-index --target "$site")
for package in safetensors PIL:pillow tqdm click matplotlib platformdirs requests regex ftfy \
  hypothesis pytest; do
  if ! "$python" -c "import ${package%%:*}" 2>/dev/null; then
    "${pip[@]}" --find-links "${WHEELS:-wheels}" "${package##*:}" || {
      echo "gpu_check: ${package##*:} is missing; put its wheel into ${WHEELS:-wheels}." >&2
      exit 2
    }
  fi
done
timeout 200 "${pip[@]}" --no-deps --no-build-isolation .
"$python" - <<'PY' || exit 1
import sys
import torch
from styleclip_rt.ops import _library
has = torch._C._dispatch_has_kernel_for_dispatch_key
if not _library.load() or not has("styleclip_rt::modulated_conv2d", "CUDA"):
    sys.exit("gpu_check: the package was built without its CUDA kernels; see the output above.")
PY

echo "== test"
tests=0
timeout 90 "$python" -m pytest -q -m gpu tests/gpu || tests=$?

echo "== time"
timeout 240 "$python" -m benchmarks.gpu --out "$out"
if [ "$tests" != 0 ]; then
  echo "gpu_check: the GPU tests FAILED; the times above are of a build that is not right." >&2
fi
exit "$tests"
