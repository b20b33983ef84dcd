"""A network as a program of tensor operators, which all exporters start from."""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from styleclip_rt.export.derivatives import trace_gradient
from styleclip_rt.export.networks import Network
from torch import Tensor, nn

from styleclip_rt.ops import standard_ops

MAX_LENGTH = 4096
"""Of a free dimension."""


def example_inputs(network: Network) -> tuple[Tensor, ...]:
    """Inputs to trace with. Two of a batch, where it is free: torch.export takes one for a
    constant."""
    return network.sample(2 if network.free_batch else 1, torch.Generator().manual_seed(0))


class _Call(nn.Module):
    """Takes its inputs as one tuple, so that every network's shapes can be given alike."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs: Tensor | tuple[Tensor, ...] = self.module(*inputs)
        return outputs


def traceable(network: Network) -> nn.Module:
    """The module, its gradient (if it takes one) spelled out as operators."""
    inputs = example_inputs(network)
    module = trace_gradient(network.module, inputs) if network.has_gradient else network.module
    return _Call(module)


@contextlib.contextmanager
def tracing(fused: bool) -> Iterator[None]:
    """Inside, models run on standard operators only unless `fused`, and tracers say less."""
    operators = contextlib.nullcontext() if fused else standard_ops()
    with operators, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def program(network: Network, fused: bool = False) -> torch.export.ExportedProgram:
    """Trace a network with a free batch dimension; of standard operators only unless `fused`."""
    names = {d for port in network.inputs for d in port.shape if isinstance(d, str)}
    free = {name: torch.export.Dim(name, min=1, max=MAX_LENGTH) for name in names}
    shapes = tuple(
        {i: free[length] for i, length in enumerate(port.shape) if isinstance(length, str)}
        for port in network.inputs
    )
    with tracing(fused):
        return torch.export.export(
            traceable(network), example_inputs(network), dynamic_shapes=(shapes,)
        )
