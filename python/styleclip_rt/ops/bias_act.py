"""Bias, leaky ReLU, gain and clamp in one pass.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN".
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library

_KERNELS = _library.devices("bias_act")


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


def bias_act_reference(
    x: Tensor,
    bias: Tensor | None = None,
    slope: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """``clamp(gain * leaky_relu(x + bias))`` with torch's own operators.

    x: [N, C, ...]; bias: [C], along dimension 1. ``slope`` is the leaky ReLU's for negative
    values; ``slope=1`` leaves only the bias. ``gain`` sqrt(2) keeps a unit variance about
    constant. ``clamp`` limits the result to [-clamp, clamp] and comes last, after the gain.
    Source: Karras et al. 2020 (He initialisation's gain moved to run time).
    """
    if bias is not None:
        x = x + bias.view(-1, *[1] * (x.ndim - 2))
    if slope != 1:
        x = F.leaky_relu(x, slope)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)
