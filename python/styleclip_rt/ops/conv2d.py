"""Plain 3x3 convolutions whose weights are frozen."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops.linear import narrows
from styleclip_rt.ops.modulated_conv2d import compiled, modulated_conv2d

_WINOGRAD_PIXELS = 256


def conv2d(
    x: Tensor, weight: Tensor, factor: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """``factor * conv(x, weight) + bias``, stride 1 and "same" padding.

    With frozen weights, and where it is faster than PyTorch's own convolution, this is
    `modulated_conv2d` without a style: images that Winograd's transform serves, and bfloat16 on a
    CPU, where PyTorch would round and lay out the weight anew in every call.

    Args:
        x: ``[N, I, H, W]``; fastest in channels-last layout.
        weight: ``[O, I, 3, 3]``.
        factor, bias: ``[O]``.

    Returns:
        ``[N, O, H, W]`` in the dtype of ``x``, or autocast's.
    """
    worthwhile = x.shape[2] * x.shape[3] >= _WINOGRAD_PIXELS or narrows(x)
    if worthwhile and x.device.type == "cpu" and not weight.requires_grad and compiled(x):
        batch = x.shape[0]
        style = torch.ones(batch, x.shape[1], device=x.device)
        wide_factor = None if factor is None else factor.expand(batch, -1)
        return modulated_conv2d(x, weight, style, wide_factor, bias=bias)[0]
    y = F.conv2d(x, weight, padding=1)
    if factor is not None:
        y = y * factor[:, None, None]
    return y if bias is None else y + bias[:, None, None]
