"""ONNX Runtime. Needs no torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from styleclip_rt.engines import Array, checked, threads
from styleclip_rt.engines.metadata import read_info
from styleclip_rt.errors import ExportError

PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ],
}


class OnnxRuntimeEngine:
    """Runs an ONNX file.

    Args:
        path: of the file.
        device: "cpu"; or "cuda" or "tensorrt", where onnxruntime-gpu is installed.

    Raises:
        ExportError: the file is truncated or is not this package's; the device is not there.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        wanted = PROVIDERS.get(device)
        if wanted is None or wanted[0] not in onnxruntime.get_available_providers():
            raise ExportError(
                f"this ONNX Runtime cannot run on {device}: choose cpu, or install "
                "onnxruntime-gpu on a machine with a GPU."
            )
        self.info = read_info(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=wanted)
        except Exception as error:  # ONNX Runtime's own classes share no base but this.
            reason = str(error).splitlines()[0]
            raise ExportError(
                f"{path} cannot be loaded by ONNX Runtime ({reason}): export it again."
            ) from None
        self._device = "cpu" if device == "cpu" else "cuda"
        self._outputs = [port.name for port in self.info.outputs]
        # What a graph has no use for (preservation of an edit without) is not among its inputs.
        self._used = {node.name for node in self._session.get_inputs()}

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `styleclip_rt.engines.Engine`."""
        # Nothing is copied on the CPU: inputs are read, and outputs handed out, where they lie.
        arrays = [np.ascontiguousarray(array) for array in checked(self.info, inputs)]
        binding = self._session.io_binding()
        for port, array in zip(self.info.inputs, arrays, strict=True):
            if port.name in self._used:
                binding.bind_cpu_input(port.name, array)
        for name in self._outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        if self._device == "cpu":
            outputs = [value.numpy() for value in binding.get_outputs()]
        else:
            outputs = binding.copy_outputs_to_cpu()
        return dict(zip(self._outputs, outputs, strict=True))
