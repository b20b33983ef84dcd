"""The same networks in ONNX Runtime and OpenVINO, exported with PyTorch's own operators only.

They need the extra ``bench``: ``pip install "styleclip-rt[bench]"``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from styleclip_rt import ops
from styleclip_rt.bundle.download import fetch

OPSET = 20
CACHE = Path(__file__).parents[1] / "build" / "benchmarks"
"""Exports are kept from run to run: a large one takes half a minute."""


class _Function(nn.Module):
    """A method of a module as a module of its own, for the exporter."""

    def __init__(self, module: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def export(name: str, module: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor) -> Path:
    """The ONNX file of ``function`` (a method of ``module``) with the static shape of ``x``."""
    path = CACHE / f"{name}.onnx"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with ops.standard_ops(), torch.no_grad():
        program = torch.onnx.export(
            _Function(module, function).eval(),
            (x,),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    part = path.with_suffix(".part")
    program.save(part, external_data=False)
    part.replace(path)
    return path


def onnx_runtime(path: Path, x: Tensor, threads: int) -> Callable[[], NDArray[np.float32]]:
    """A run of an ONNX file in ONNX Runtime, float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would go on spinning while others are timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)[0]


def open_vino(
    path: Path, x: Tensor, threads: int, bf16: bool = False
) -> Callable[[], NDArray[np.float32]]:
    """A run of an ONNX or IR file in OpenVINO, with arithmetic in float32 or bfloat16."""
    import openvino

    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    request = compiled.create_infer_request()
    feed = [x.numpy()]
    return lambda: request.infer(feed, share_inputs=True, share_outputs=True)[0]


def mobile_stylegan_ir() -> Path:
    """MobileStyleGAN's synthesis as its author published it, an OpenVINO IR."""
    folder = CACHE / "random-face"
    path = folder / "generator" / "SynthesisNetwork.xml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path = fetch("ffhq-mobile", folder, {})["generator"] / path.name
    return path
