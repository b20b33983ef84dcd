"""Spell a gradient out as operators that every runtime has.

PyTorch's backward operators have no counterpart elsewhere. The networks are frozen, so what is left
of them is small: the gradient of a convolution to its input is a convolution, that of a sampling a
scatter, that of a mean or a slice a padding.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel

aten = torch.ops.aten


def trace_gradient(
    module: nn.Module, inputs: tuple[Tensor, ...], free: Sequence[Collection[int]]
) -> fx.GraphModule:
    """The operators that `module` runs on tensors shaped like `inputs`, gradient and all.

    `free` names for each input the dimensions whose length is chosen at run time; all other lengths
    become constants.
    """
    shapes = ShapeEnv()
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    symbolic = [
        mode.from_tensor(
            x,
            source=ConstantSource(f"input_{i}"),
            symbolic_context=StatelessSymbolicContext(
                [DimDynamic.DYNAMIC if d in dims else DimDynamic.STATIC for d in range(x.dim())]
            ),
        )
        for i, (x, dims) in enumerate(zip(inputs, free, strict=True))
    ]
    table = (
        core_aten_decompositions()
        | get_decompositions([aten.native_layer_norm_backward])
        | DECOMPOSITIONS
    )
    # Fused attention has a backward operator that no other runtime has.
    with mode, sdpa_kernel(SDPBackend.MATH):
        traced = make_fx(module, table, _allow_non_fake_inputs=True)(*symbolic)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Only to the input: weights are frozen."""
    assert list(output_mask) == [True, False, False]
    if transposed:
        to_input = aten.convolution(
            gradient, weight, None, stride, padding, dilation, False, [0, 0], groups
        )
        return to_input, None, None
    # What the stride left over at the end of the input is padding of the output here.
    left_over = [
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) % stride[i]
        for i in range(2)
    ]
    to_input = aten.convolution(
        gradient, weight, None, stride, padding, dilation, True, left_over, groups
    )
    return to_input, None, None


def _batch_norm_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    saved_mean: Tensor | None,
    saved_inverse: Tensor | None,
    training: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Only to the input: statistics and weights are frozen."""
    assert not training and list(output_mask) == [True, False, False] and variance is not None
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    return gradient * scale.view(-1, *[1] * (x.dim() - 2)), None, None


def _window_means(length: int, outputs: int, like: Tensor) -> Tensor:
    """[outputs, length]: row i averages what adaptive average pooling does for output i."""
    pixel = torch.arange(length, device=like.device)
    output = torch.arange(outputs, device=like.device)[:, None]
    begin = output * length // outputs
    end = ((output + 1) * length + outputs - 1) // outputs
    inside = (pixel >= begin) & (pixel < end)
    return inside.to(like.dtype) / (end - begin).to(like.dtype)


def _adaptive_avg_pool2d(x: Tensor, size: Sequence[int]) -> Tensor:
    rows = _window_means(x.shape[2], size[0], x)
    columns = _window_means(x.shape[3], size[1], x)
    return rows @ x @ columns.T


def _adaptive_avg_pool2d_backward(gradient: Tensor, x: Tensor) -> Tensor:
    rows = _window_means(x.shape[2], gradient.shape[2], x)
    columns = _window_means(x.shape[3], gradient.shape[3], x)
    return rows.T @ gradient @ columns


def _bilinear_corners(grid: Tensor, height: int, width: int) -> list[tuple[Tensor, Tensor]]:
    """The four pixels that each point of a grid [N, h, w, 2] lies between: flat indices and shares
    [N, h * w] each, for align_corners=False and reflection at the border."""

    def position(unit: Tensor, length: int) -> Tensor:
        x = ((unit + 1) * length - 1) / 2
        # Reflect at -1/2 and length - 1/2.
        x = (x + 0.5).abs()
        turns = torch.floor(x / length)
        x = x - turns * length
        odd = turns - 2 * torch.floor(turns / 2)
        x = torch.where(odd == 0, x, length - x) - 0.5
        return x.clamp(0, length - 1)

    x, y = position(grid[..., 0], width).flatten(1), position(grid[..., 1], height).flatten(1)
    left, top = torch.floor(x), torch.floor(y)
    corners = []
    for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
            # Beyond the border the share is zero, so any pixel does.
            flat = row.clamp(max=height - 1) * width + column.clamp(max=width - 1)
            corners.append((flat.long(), share_x * share_y))
    return corners


def _check_grid(interpolation: int, padding: int, align_corners: bool) -> None:
    assert (interpolation, padding, align_corners) == (0, 2, False), "only what views.py does"


def _grid_sampler_2d(
    x: Tensor, grid: Tensor, interpolation: int, padding: int, align_corners: bool
) -> Tensor:
    _check_grid(interpolation, padding, align_corners)
    n, channels, height, width = x.shape
    flat = x.reshape(n, channels, height * width)
    total = torch.zeros_like(flat[:, :, :1])
    for index, share in _bilinear_corners(grid, height, width):
        picked = flat.gather(2, index[:, None].expand(-1, channels, -1))
        total = total + picked * share[:, None]
    return total.reshape(n, channels, *grid.shape[1:3])


def _grid_sampler_2d_backward(
    gradient: Tensor,
    x: Tensor,
    grid: Tensor,
    interpolation: int,
    padding: int,
    align_corners: bool,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Only to the image: the grid is given."""
    assert list(output_mask) == [True, False]
    _check_grid(interpolation, padding, align_corners)
    n, channels, height, width = x.shape
    total = torch.zeros_like(x).reshape(n, channels, height * width)
    flat = gradient.reshape(n, channels, -1)
    for index, share in _bilinear_corners(grid, height, width):
        where = index[:, None].expand(-1, channels, -1)
        total = total.scatter_add(2, where, flat * share[:, None])
    return total.reshape(x.shape), None


def _pad(x: Tensor, dim: int, before: int, after: int, value: float = 0.0) -> Tensor:
    """Fill up, or cut where negative, both ends of a dimension."""
    cut = [max(0, -before), max(0, -after)]
    if any(cut):
        x = x.narrow(dim, cut[0], x.shape[dim] - sum(cut))
    ends = [
        x.new_full([*x.shape[:dim], length, *x.shape[dim + 1 :]], value)
        for length in (max(0, before), max(0, after))
    ]
    return torch.cat((ends[0], x, ends[1]), dim)


def _constant_pad_nd(x: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    # PyTorch's own rule for this operator makes a constant of a free batch.
    for i in range(0, len(pad), 2):
        if pad[i] or pad[i + 1]:
            x = _pad(x, x.dim() - 1 - i // 2, pad[i], pad[i + 1], value)
    return x


def _slice_backward(
    gradient: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    length = sizes[dim]
    start = start + length if start < 0 else min(start, length)
    if step != 1:
        gradient = _pad(gradient.unsqueeze(dim + 1), dim + 1, 0, step - 1).flatten(dim, dim + 1)
        gradient = gradient.narrow(dim, 0, gradient.shape[dim] - (step - 1))
    return _pad(gradient, dim, start, length - start - gradient.shape[dim])


def _select_backward(gradient: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    dim, index = dim % len(sizes), index % sizes[dim]
    return _pad(gradient.unsqueeze(dim), dim, index, sizes[dim] - index - 1)


def _leaky_relu_backward(gradient: Tensor, x: Tensor, slope: float, is_result: bool) -> Tensor:
    return torch.where(x > 0, gradient, gradient * slope)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.convolution_backward.default: _convolution_backward,
    aten.constant_pad_nd.default: _constant_pad_nd,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten._adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
    aten._adaptive_avg_pool2d_backward.default: _adaptive_avg_pool2d_backward,
    aten.grid_sampler_2d.default: _grid_sampler_2d,
    aten.grid_sampler_2d_backward.default: _grid_sampler_2d_backward,
    aten.slice_backward.default: _slice_backward,
    aten.select_backward.default: _select_backward,
    aten.leaky_relu_backward.default: _leaky_relu_backward,
}
"""Beside PyTorch's own core decompositions."""
