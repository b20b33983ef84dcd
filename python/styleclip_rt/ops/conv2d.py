"""Plain 3x3 convolutions whose weights are frozen, with the norms and the PReLU around them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library
from styleclip_rt.ops.linear import narrows
from styleclip_rt.ops.prelu import prelu

_KERNELS = _library.devices("conv2d") & {"cpu", "cuda"}
# From so many pixels on it is faster than PyTorch's own in any precision.
_PIXELS: int = torch.ops.styleclip_rt.conv2d_pixels() if _KERNELS else 0


def conv2d(
    x: Tensor,
    weight: Tensor,
    factor: Tensor | None = None,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    slope: Tensor | None = None,
) -> Tensor:
    """``factor * conv(prelu(scale * x + shift, slope), weight) + bias``, stride 1, "same" padding.

    With frozen weights on a CPU, and where it is faster than PyTorch's own convolution, all of this
    is one pass over the image: images that Winograd's transform serves, and bfloat16, where PyTorch
    would round and lay out the weight anew in every call. On a GPU one pass goes before cuDNN's
    convolution, whose weight is scaled, rounded and laid out once.

    Args:
        x: ``[N, I, H, W]``; fastest in channels-last layout.
        weight: ``[O, I, 3, 3]``.
        factor, bias: ``[O]``.
        scale, shift: ``[I]``; the border that the convolution sees is zero all the same.
        slope: ``[I]``, of what is negative before the convolution.

    Returns:
        ``[N, O, H, W]`` in the dtype of ``x``, or autocast's.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit (compiled op).
    """
    worthwhile = x.is_cuda or x.shape[2] * x.shape[3] >= _PIXELS or narrows(x)
    if worthwhile and not weight.requires_grad and _library.serves(_KERNELS, x):
        y: Tensor = torch.ops.styleclip_rt.conv2d(x, weight, scale, shift, slope, factor, bias)
        return y
    return conv2d_reference(x, weight, factor, bias, scale, shift, slope)


def conv2d_reference(
    x: Tensor,
    weight: Tensor,
    factor: Tensor | None = None,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    slope: Tensor | None = None,
) -> Tensor:
    """Do what `conv2d` does with torch's own operators, in any dtype on any device."""
    x = _affine(x, scale, shift)
    if slope is not None:
        x = prelu(x, slope)
    return _affine(F.conv2d(x, weight, padding=1), factor, bias)


def _affine(x: Tensor, factor: Tensor | None, bias: Tensor | None) -> Tensor:
    if factor is not None:
        x = x * factor[:, None, None]
    return x if bias is None else x + bias[:, None, None]
