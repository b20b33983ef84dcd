"""How engines treat arrays and the machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from styleclip_rt import engines
from styleclip_rt.engines.export_info import KEY, ExportInfo, Port
from styleclip_rt.errors import ExportError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def double(tmp_path: Path) -> Path:
    """A file that doubles an array [n, 4]."""
    shape = [1, ["n", 4]]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [onnx.helper.make_tensor_value_info("x", *shape)],
        [onnx.helper.make_tensor_value_info("y", *shape)],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    ports = [(Port(name, ("n", 4)),) for name in ("x", "y")]
    info = ExportInfo("double", "tiny", "", "fp32", "portable", "0", "none", *ports, opset=20)
    model.metadata_props.add(key=KEY, value=info.to_json())
    onnx.save(model, tmp_path / "double.onnx")
    return tmp_path / "double.onnx"


def test_results_stay_as_they_were_returned(double: Path) -> None:
    engine = engines.load(double)
    inputs = [np.full((3, 4), i, np.float32) for i in range(50)]
    outputs = [engine({"x": x})["y"] for x in inputs]
    del engine
    for x, y in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(y, 2 * x)


def test_strided_arrays_are_taken(double: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6).T[::2]
    np.testing.assert_array_equal(engines.load(double)({"x": x})["y"], 2 * x)


def test_threads_are_those_of_openmp_or_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert engines.threads() == 3
    for nothing in ("0", "many", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert engines.threads() == len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_a_process_on_one_cpu_gets_one_thread(double: Path) -> None:
    script = (
        "import os, sys; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]);"
        "from styleclip_rt import engines; engine = engines.load(sys.argv[1]);"
        "print(engine._session.get_session_options().intra_op_num_threads)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", script, str(double)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr


def test_a_device_that_is_not_here_is_refused(double: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(ExportError, match="cannot run on cuda: choose cpu, or install"):
        engines.load(double, "cuda")


def test_an_engine_that_is_not_here_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"onnxruntime cannot run here: install it with pip inst"):
        engines.find(tmp_path, "synthesis", "onnxruntime")
