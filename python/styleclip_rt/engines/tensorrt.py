"""TensorRT on an NVIDIA GPU.

A file holds three parts, each but the last a line of JSON: what the network is (`ExportInfo`), what
it was built for (`Built`), and TensorRT's serialized engine.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from styleclip_rt.engines import Array, checked
from styleclip_rt.engines.export_info import ExportInfo
from styleclip_rt.errors import ExportError

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class Built:
    """What an engine was built for; it serves nothing else.

    Attributes:
        gpu: name and compute capability.
        tensorrt: version.
        model: SHA-256 of the ONNX file that it was built from.
    """

    gpu: str
    tensorrt: str
    model: str


def why_missing() -> str:
    """Why TensorRT cannot run here, in a few words; empty if it can."""
    try:
        import tensorrt  # noqa: F401
    except ImportError as error:
        return f"the package tensorrt is here without its libraries ({error})"
    return "" if torch.cuda.is_available() else "there is no NVIDIA GPU here"


def here() -> tuple[str, str]:
    """GPU and TensorRT of this process, as `Built` has them."""
    import tensorrt as trt

    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} sm_{major}{minor}", trt.__version__


def pack(info: ExportInfo, built: Built, plan: bytes) -> bytes:
    """The content of a file."""
    return b"\n".join((info.to_json().encode(), json.dumps(asdict(built)).encode(), plan))


def unpack(path: Path) -> tuple[ExportInfo, Built, bytes]:
    """What `pack` put together.

    Raises:
        ExportError: the file is broken or something else.
    """
    try:
        info, built, plan = path.read_bytes().split(b"\n", 2)
        return ExportInfo.from_json(info.decode(), path), Built(**json.loads(built)), plan
    except (ValueError, TypeError):
        raise ExportError(
            f"{path} is not a TensorRT engine of this package: make it with 'styleclip export "
            "tensorrt'."
        ) from None


class TensorRTEngine:
    """Runs a TensorRT engine on a stream of its own; several threads may share it.

    Inputs of the same shapes as the last ones replay a CUDA graph: copy from pinned memory, run,
    copy back.

    Raises:
        ExportError: the file is broken or was built for another GPU or TensorRT; the device is not
            a GPU.
    """

    def __init__(self, path: Path, device: str = "cuda") -> None:
        if device != "cuda":
            raise ExportError(f"TensorRT does not run on {device}: choose the device cuda.")
        self.info, built, plan = unpack(path)
        mine = here()
        if (built.gpu, built.tensorrt) != mine:
            raise ExportError(
                f"{path} was built for {built.gpu} by TensorRT {built.tensorrt}, and here are "
                f"{mine[0]} and {mine[1]}: run 'styleclip export tensorrt' again."
            )
        import tensorrt as trt

        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ExportError(f"{path} cannot be loaded by TensorRT: export it again.")
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self._bound: _Bound | None = None

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `styleclip_rt.engines.Engine`."""
        names = [port.name for port in self.info.inputs]
        arrays = dict(zip(names, checked(self.info, inputs), strict=True))
        shapes = {name: array.shape for name, array in arrays.items()}
        with self._lock:
            if self._bound is None or self._bound.shapes != shapes:
                self._bound = _Bound(self._engine, self.info, shapes, self._stream)
            return self._bound.run(arrays)


class _Bound:
    """An engine bound to inputs of given shapes: its memory, and a CUDA graph of one run."""

    def __init__(
        self,
        engine: "trt.ICudaEngine",
        info: ExportInfo,
        shapes: Mapping[str, tuple[int, ...]],
        stream: torch.cuda.Stream,
    ) -> None:
        self.shapes, self._stream = shapes, stream
        self._context = engine.create_execution_context()
        used = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        self._inputs, self._outputs = {}, {}
        for port in info.inputs:
            # What a graph has no use for is not among its inputs.
            if port.name in used:
                self._context.set_input_shape(port.name, shapes[port.name])
                self._inputs[port.name] = self._memory(port.name, shapes[port.name], port.dtype)
        for port in info.outputs:
            shape = tuple(self._context.get_tensor_shape(port.name))
            self._outputs[port.name] = self._memory(port.name, shape, port.dtype)
        # The first run sets up what a capture may not.
        with torch.cuda.stream(stream):
            self._enqueue()
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._enqueue()

    def _memory(
        self, name: str, shape: tuple[int, ...], dtype: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pinned memory of the host and memory of the GPU, the latter given to the context."""
        host = torch.empty(shape, dtype=getattr(torch, dtype), pin_memory=True)
        device = torch.empty_like(host, device="cuda")
        self._context.set_tensor_address(name, device.data_ptr())
        return host, device

    def _enqueue(self) -> None:
        for host, device in self._inputs.values():
            device.copy_(host, non_blocking=True)
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise ExportError("TensorRT could not run the engine: export it again.")
        for host, device in self._outputs.values():
            host.copy_(device, non_blocking=True)

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays of the bound shapes -> outputs."""
        for name, (host, _) in self._inputs.items():
            host.numpy()[...] = arrays[name]
        with torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()
        return {name: host.numpy().copy() for name, (host, _) in self._outputs.items()}
