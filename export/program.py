"""A network as a program of tensor operators, which all exporters start from."""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from styleclip_rt.engines.export_info import Port
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.derivatives import trace_gradient
from styleclip_rt.export.networks import Network
from styleclip_rt.ops import _library, standard_ops

MAX_LENGTH = 4096
"""Of a free dimension."""


def example_inputs(network: Network) -> tuple[Tensor, ...]:
    """Inputs to trace with. Two of a batch: torch.export takes one for a constant."""
    return network.sample(2, torch.Generator().manual_seed(0))


def free_dimensions(port: Port) -> dict[int, str]:
    """Number -> name of the dimensions whose length is chosen at run time."""
    return {i: name for i, name in enumerate(port.shape) if isinstance(name, str)}


class _Call(nn.Module):
    """Takes its inputs as one tuple, so that every network's shapes can be given alike."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs: Tensor | tuple[Tensor, ...] = self.module(*inputs)
        return outputs


def traceable(network: Network) -> nn.Module:
    """The module; if it takes a gradient, then as a graph that spells it out as operators."""
    if not network.has_gradient:
        return network.module
    free = [free_dimensions(port) for port in network.inputs]
    return trace_gradient(network.module, example_inputs(network), free)


@contextlib.contextmanager
def tracing(fused: bool) -> Iterator[None]:
    """Inside, models run on standard operators only unless `fused`, and tracers say less.

    Raises:
        StyleClipError: compiled ops are asked for and not there.
    """
    if fused and not _library.load():
        raise StyleClipError(
            "this installation has no compiled ops to keep: install it again where a C++20 "
            "compiler is, or export the portable flavour as TorchScript or ONNX."
        )
    operators = contextlib.nullcontext() if fused else standard_ops()
    with operators, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def program(network: Network, fused: bool = False) -> torch.export.ExportedProgram:
    """Trace a network with a free batch dimension; of standard operators only unless `fused`.

    Raises:
        StyleClipError: compiled ops are asked for and not there.
    """
    free = [free_dimensions(port) for port in network.inputs]
    names = {name for dimensions in free for name in dimensions.values()}
    lengths = {
        name: times * torch.export.Dim(name, min=1, max=MAX_LENGTH // times)
        for name in names
        for times in (network.multiples.get(name, 1),)
    }
    shapes = tuple({i: lengths[name] for i, name in port.items()} for port in free)
    with tracing(fused):
        return torch.export.export(
            _Call(traceable(network)), example_inputs(network), dynamic_shapes=(shapes,)
        )
