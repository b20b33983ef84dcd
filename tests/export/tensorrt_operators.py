"""What TensorRT's parser takes, by its published table."""

from pathlib import Path

import onnx

MIN_OPSET, MAX_OPSET = 9, 20
"""Of the table; TensorRT 11 goes up to opset 25."""


def check_tensorrt_takes(path: Path) -> None:
    """Assert that an ONNX file has operators of the table only, of an opset that it covers."""
    lines = Path(__file__).with_suffix(".txt").read_text().splitlines()
    taken = {name for line in lines if not line.startswith("#") for name in line.split()}
    model = onnx.load(path, load_external_data=False)
    assert {node.op_type for node in model.graph.node} <= taken, path.name
    (opset,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    assert MIN_OPSET <= opset <= MAX_OPSET
