"""Export by AOTInductor: machine code in an archive, for PyTorch from Python or C++."""

import io
from pathlib import Path
from typing import Any

import torch
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

from styleclip_rt.engines.export_info import KEY
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.networks import Network
from styleclip_rt.export.program import program, tracing
from styleclip_rt.export.verification import Report, describe, verified


def export_aotinductor(
    network: Network, bundle_name: str, path: Path, precision: str = "fp32"
) -> Report:
    """Write `network` to `path`, once it is verified against eager.

    It is compiled for the CPU of this machine and keeps this package's compiled ops, so what loads
    it needs the op library.

    Args:
        network: of `styleclip_rt.export.table`.
        bundle_name: whose network, to be found by whoever verifies the file.
        path: ending in ".pt2".
        precision: "fp32" or "fp16".

    Raises:
        StyleClipError: no C++ compiler or no compiled ops are here, or the precision does not fit.
        ExportError: the file does not do what the network does, or cannot be compiled or written.
    """
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise StyleClipError(
            "AOTInductor compiles with a C++ compiler, and none is here: install g++ or clang++, "
            "or name one in the variable CXX."
        ) from None
    info = describe(network, bundle_name, precision, "fused")
    traced = program(network.in_precision(precision), fused=True)
    compile_to: Any = torch._inductor.aoti_compile_and_package
    content = io.BytesIO()
    try:
        with tracing(fused=True):
            compile_to(
                traced,
                package_path=content,
                inductor_configs={"aot_inductor.metadata": {KEY: info.to_json()}},
            )
    except CppCompileError as error:
        reason = next((line for line in error.output.splitlines() if "error" in line), "no reason")
        raise ExportError(
            f"the C++ compiler failed on {network.name} ({reason.strip()}): try another one with "
            "the variable CXX."
        ) from None
    return verified(network, path, lambda file: file.write_bytes(content.getvalue()))
