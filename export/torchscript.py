"""Export to TorchScript: for libtorch, with or without this package's ops."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import fx

from styleclip_rt.engines.export_info import KEY
from styleclip_rt.export.networks import Network
from styleclip_rt.export.program import example_inputs, traceable, tracing
from styleclip_rt.export.verification import Report, describe, verified


def export_torchscript(
    network: Network, bundle_name: str, path: Path, precision: str = "fp32", fused: bool = False
) -> Report:
    """Write `network` to `path`, once it is verified against eager.

    Args:
        network: of `styleclip_rt.export.table`.
        bundle_name: whose network, to be found by whoever verifies the file.
        path: ending in ".ts".
        precision: "fp32" or "fp16".
        fused: keep this package's compiled ops; loading then needs its op library.

    Raises:
        StyleClipError: compiled ops are asked for and not there, or the precision does not fit.
        ExportError: the file does not do what the network does, or cannot be written.
    """
    info = describe(network, bundle_name, precision, "fused" if fused else "portable")
    chosen = network.in_precision(precision)
    with tracing(fused):
        module = traceable(chosen)
        if isinstance(module, fx.GraphModule):
            compiled = _compiled(module)
        else:
            trace: Any = torch.jit.trace
            compiled = trace(module, example_inputs(chosen), check_trace=False)
    content = io.BytesIO()
    torch.jit.save(compiled, content, _extra_files={f"{KEY}.json": info.to_json()})
    return verified(network, path, lambda file: file.write_bytes(content.getvalue()))


def _compiled(module: fx.GraphModule) -> Any:
    """A graph in TorchScript. (Tracing it would make constants of the lengths that it computes.)"""
    for node in module.graph.nodes:
        if node.target is torch.ops.aten.sym_size.int:
            node.op, node.target = "call_method", "size"
        elif isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket
        # TorchScript does not know the constructor of a device; without one it is the CPU's.
        node.kwargs = {k: v for k, v in node.kwargs.items() if k not in ("device", "pin_memory")}
    module.recompile()
    script: Any = torch.jit.script
    return script(module)
