"""The leaky ReLU with a slope for each channel."""

import torch
from torch import Tensor
from torch.nn import functional as F


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """`torch.nn.functional.prelu`, whose gradient is slow in bfloat16, in other words there.

    Args:
        x: ``[N, C, H, W]``.
        slope: ``[C]``.

    Returns:
        ``[N, C, H, W]`` in the dtype of ``x``.
    """
    if x.dtype is not torch.bfloat16:
        return F.prelu(x, slope)
    positive = torch.relu(x)
    return positive + slope.to(x.dtype)[:, None, None] * (x - positive)
