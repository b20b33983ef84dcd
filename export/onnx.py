"""Export to ONNX: standard operators only, one file with its weights inside."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from styleclip_rt.engines.export_info import KEY
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.networks import Network
from styleclip_rt.export.program import program
from styleclip_rt.export.verification import Report, describe, verified

OPSET = 20
"""The lowest with an exact GELU; ONNX Runtime 1.17 and TensorRT 10 know it."""


def export_onnx(network: Network, bundle_name: str, path: Path, precision: str = "fp32") -> Report:
    """Write `network` to `path`, once it is verified against eager.

    Args:
        network: of `styleclip_rt.export.table`.
        bundle_name: whose network, to be found by whoever verifies the file.
        path: ending in ".onnx".
        precision: "fp32" or "fp16".

    Raises:
        StyleClipError: the extra "onnx" is not installed, or the precision does not fit.
        ExportError: the file does not do what the network does, or cannot be written.
    """
    try:
        from onnxscript import optimizer
    except ImportError:
        raise StyleClipError(
            "exporting to ONNX needs the extra onnx: pip install 'styleclip-rt[onnx]'."
        ) from None
    info = describe(network, bundle_name, precision, "portable", opset=OPSET)
    # It lists operators of packages that are not installed, which none of ours are.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported: Any = torch.onnx.export(
            program(network.in_precision(precision)),
            (),
            dynamo=True,
            opset_version=OPSET,
            input_names=[f"input.{port.name}" for port in network.inputs],
            output_names=[f"output.{port.name}" for port in network.outputs],
            verbose=False,
            # Its rewriting takes an addition of 1e-8 for one of zero, and so divides by zero later.
            optimize=False,
        )
    optimizer.fold_constants(exported.model)
    optimizer.remove_unused_nodes(exported.model)
    model = exported.model_proto
    _name_ports(model.graph)
    # What the exporter notes of source lines and stacks names files of this machine.
    del model.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.metadata_props.add(key=KEY, value=info.to_json())
    return verified(network, path, lambda file: file.write_bytes(model.SerializeToString()))


def _name_ports(graph: Any) -> None:
    """Give inputs and outputs their own names, which the exporter also gives to values between,
    say to the result of a mean."""
    ports = {value.name for value in (*graph.input, *graph.output)}

    def renamed(name: str) -> str:
        return name.split(".", 1)[1] if name in ports else f"/{name}" if name else ""

    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = renamed(value.name)
    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
