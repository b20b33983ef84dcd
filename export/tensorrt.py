"""Export to TensorRT: an engine for the GPU and the TensorRT that are here."""

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from styleclip_rt import engines
from styleclip_rt.engines.export_info import ExportInfo, Port
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.edit import STEPS
from styleclip_rt.export.networks import BATCH, Network
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.verification import Report, verified, verify
from styleclip_rt.files import replacing
from styleclip_rt.folders import cache_folder

if TYPE_CHECKING:
    import tensorrt as trt

USUAL = {BATCH: 1, STEPS: 100}
"""Lengths of free dimensions that an engine is tuned for."""
MAX_STEPS = 1000


def export_tensorrt(
    network: Network, bundle_name: str, path: Path, precision: str = "fp32", batch: int = 4
) -> Report:
    """Have `network` at `path` as an engine, verified against eager.

    An engine that is there already is kept if it was built from the same ONNX file for this GPU,
    this TensorRT and this batch; any other is built anew.

    Args:
        network: of `styleclip_rt.export.table`.
        bundle_name: whose network, to be found by whoever verifies the file.
        path: ending in ".engine".
        precision: "fp32" or "fp16".
        batch: the largest that it will take; it is tuned for one face.

    Raises:
        StyleClipError: TensorRT, a GPU or the extra "onnx" is not here, or the precision does not
            fit.
        ExportError: the file does not do what the network does, or cannot be built or written.
    """
    missing = engines.why_missing("tensorrt")
    if missing:
        raise StyleClipError(f"TensorRT cannot build engines here: {missing}.")
    from styleclip_rt.engines.tensorrt import Built, here, pack

    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / f"{network.name}.onnx"
        info = export_onnx(network, bundle_name, onnx, precision).info
        model = onnx.read_bytes()
    limits = {BATCH: batch, STEPS: MAX_STEPS}
    free = {length for port in info.inputs for length in port.shape if isinstance(length, str)}
    info = dataclasses.replace(info, longest={name: limits[name] for name in sorted(free)})
    built = Built(*here(), hashlib.sha256(model).hexdigest())
    if is_current(path, info, built):
        return verify(network, path, "cuda")
    return verified(
        network, path, lambda file: file.write_bytes(pack(info, built, _plan(model, info))), "cuda"
    )


def is_current(path: Path, info: ExportInfo, built: object) -> bool:
    """Whether the file at `path` is an engine of just this network, built for just this."""
    from styleclip_rt.engines.tensorrt import unpack

    try:
        return path.is_file() and unpack(path)[:2] == (info, built)
    except ExportError:
        return False


def _plan(model: bytes, info: ExportInfo) -> bytes:
    """Build an engine of an ONNX model. (Its precision is that of the model's own types.)"""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ExportError(f"TensorRT does not take {info.network} ({reasons}).")
    config = builder.create_builder_config()
    # Or fp32 would be multiplied with ten bits.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_profile(builder, network, info))
    cache = _timing_cache()
    timings = config.create_timing_cache(cache.read_bytes() if cache.is_file() else b"")
    config.set_timing_cache(timings, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(
            f"TensorRT could not build {info.network}; its log says why: try a smaller --batch."
        )
    with replacing(cache, ExportError) as file:
        file.write_bytes(memoryview(timings.serialize()))
    return bytes(plan)


def _profile(
    builder: "trt.Builder", network: "trt.INetworkDefinition", info: ExportInfo
) -> "trt.IOptimizationProfile":
    import tensorrt as trt

    def shape(port: Port, lengths: Mapping[str, int]) -> trt.Dims:
        return trt.Dims([lengths[x] if isinstance(x, str) else x for x in port.shape])

    profile = builder.create_optimization_profile()
    shortest = dict.fromkeys(info.longest, 1)
    used = {network.get_input(i).name for i in range(network.num_inputs)}
    for port in info.inputs:
        if port.name in used and any(isinstance(length, str) for length in port.shape):
            shapes = (shape(port, lengths) for lengths in (shortest, USUAL, info.longest))
            profile.set_shape(port.name, *shapes)
    return profile


def _timing_cache() -> Path:
    """Where builds leave what they measured; one file a GPU and TensorRT."""
    from styleclip_rt.engines.tensorrt import here

    folder = cache_folder() / "tensorrt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be made ({error.strerror}): set STYLECLIP_RT_CACHE to a folder that "
            "can be written."
        ) from None
    return folder / (re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(here())) + ".timing")
