"""The leaky ReLU with a slope for each channel."""

import torch
from torch import Tensor
from torch.nn import functional as F


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """`torch.nn.functional.prelu`; in other words where its gradient is slow: bfloat16 on a CPU.

    Args:
        x: ``[N, C, H, W]``.
        slope: ``[C]``.

    Returns:
        ``[N, C, H, W]`` in the dtype of ``x``.
    """
    if x.dtype is not torch.bfloat16 or x.is_cuda:
        return F.prelu(x, slope.to(x.dtype))
    positive = torch.relu(x)
    return positive + slope.to(x.dtype)[:, None, None] * (x - positive)
