"""Bias, leaky ReLU, gain and clamp in one pass.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN".
"""

import math

import torch
from torch import Tensor

from styleclip_rt.ops import _library
from styleclip_rt.ops.reference import bias_act as bias_act_reference

_KERNELS = _library.devices("bias_act")

__all__ = ["bias_act", "bias_act_reference"]


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    slope: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """``clamp(gain * leaky_relu(x + bias))``, see `bias_act_reference`.

    Args:
        x: ``[N, C, ...]``.
        bias: ``[C]``.
        slope: of the leaky ReLU for negative values; 1 leaves only the bias.
        gain: positive factor after it.
        clamp: limit of the result on either side, last.

    Returns:
        As ``x``, in its dtype and memory format; differentiable twice.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that do not fit (compiled op).
    """
    if slope == 1 and gain == 1 and clamp is None:
        # PyTorch's sum keeps nothing for its gradient and copies none.
        return x if bias is None else bias_act_reference(x, bias.to(x.dtype), slope, gain)
    if _library.serves(_KERNELS, x):
        y: Tensor = torch.ops.styleclip_rt.bias_act(x, bias, slope, gain, clamp)
        return y
    return bias_act_reference(x, bias, slope, gain, clamp)
