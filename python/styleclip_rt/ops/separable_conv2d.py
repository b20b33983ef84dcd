"""MobileStyleGAN's layer as one operator.

Source: Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for
High-Fidelity Image Synthesis".
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library
from styleclip_rt.ops.idwt2d import haar_idwt2d_reference

_KERNELS = _library.devices("separable_conv2d")


def separable_conv2d(
    x: Tensor,
    style: Tensor,
    up_style: Tensor | None,
    depthwise: Tensor,
    pointwise: Tensor,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
    slope: float = 0.2,
) -> Tensor:
    """``leaky_relu(pointwise(depthwise(z * style)) + bias + noise)``.

    Args:
        x: ``[N, C, H, W]``, and z is x; fastest in channels-last layout.
        style: ``[N, C]``, scale of each channel.
        up_style: ``[N, 4 C]`` to upsample: x is ``[N, 4 C, H, W]`` and z is
            ``haar_idwt2d(x * up_style)``.
        depthwise: ``[C, 1, 3, 3]``, correlated with "same" padding.
        pointwise: ``[O, C, 1, 1]``.
        bias: ``[O]``.
        noise: ``[1, 1, H', W']``, already scaled.
        slope: of the leaky ReLU for negative values.

    Returns:
        ``[N, O, H', W']`` in the dtype of ``x``; H' is H, or 2 H with ``up_style``.
        Differentiable twice in every tensor; the compiled kernels serve x and the styles, torch's
        own operators the others.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that do not fit (compiled op).
    """
    if _library.serves(_KERNELS, x):
        y: Tensor = torch.ops.styleclip_rt.separable_conv2d(
            x, style, up_style, depthwise, pointwise, bias, noise, slope
        )
        return y
    return separable_conv2d_reference(x, style, up_style, depthwise, pointwise, bias, noise, slope)


def separable_conv2d_reference(
    x: Tensor,
    style: Tensor,
    up_style: Tensor | None,
    depthwise: Tensor,
    pointwise: Tensor,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
    slope: float = 0.2,
) -> Tensor:
    """Do what `separable_conv2d` does with torch's own operators, in any dtype on any device."""
    if up_style is not None:
        x = haar_idwt2d_reference(x * up_style[:, :, None, None])
    x = F.conv2d(x * style[:, :, None, None], depthwise, padding=1, groups=depthwise.shape[0])
    x = F.conv2d(x, pointwise, bias)
    if noise is not None:
        x = x.add_(noise)
    # In place is safe: leaky ReLU's gradient needs only the sign of its result.
    return F.leaky_relu_(x, slope)
