"""Upsample, pad, filter and downsample.

Source: the operator that StyleGAN2's official code calls upfirdn_2d; Karras et al. 2020.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library

_KERNELS = _library.devices("upfirdn2d")


def resample_kernel(dtype: torch.dtype = torch.float32) -> Tensor:
    """StyleGAN2's FIR low-pass filter: the outer product of [1, 3, 3, 1] / 8 with itself.

    Returns [4, 4], with sum 1; every entry is exact in float16 and wider.
    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", app. B.
    """
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype) / 8
    return taps[:, None] * taps[None, :]


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Filter every channel for itself; what the arguments mean stands in `upfirdn2d_reference`.

    Args:
        x: ``[N, C, H, W]``.
        kernel: ``[kh, kw]``, convolved (flipped against PyTorch's conv2d).
        up, down: zeros are put between samples, and samples left out, to these factors.
        padding: (left, right, top, bottom) samples of the upsampled image; negative ones crop.
        gain: factor of the kernel.

    Returns:
        ``[N, C, H', W']`` in the dtype and memory format of ``x``; H' is
        ``(H * up + top + bottom - kh) // down + 1``. Differentiable any number of times in x;
        in the kernel through torch's own operators.

    Raises:
        ValueError, TypeError: the padded image is smaller than the kernel, or sizes, factors and
            dtypes do not fit (compiled op).
    """
    if _library.serves(_KERNELS, x) and not kernel.requires_grad:
        op = torch.ops.styleclip_rt.upfirdn2d
        y: Tensor = op(x, kernel, up, down, padding, gain, False)
        return y
    return upfirdn2d_reference(x, kernel, up, down, padding, gain)


def upfirdn2d_reference(
    x: Tensor,
    kernel: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Upsample, pad, filter and downsample, each channel for itself, with torch's own operators.

    1. Insert ``up - 1`` zeros after every sample, along both axes (also after the last).
    2. Pad with zeros by ``padding`` = (left, right, top, bottom), counted in samples of the
       upsampled image; a negative number crops.
    3. *Convolve* with ``gain * kernel`` [kh, kw], valid positions only. This is a true
       convolution: the kernel is flipped against PyTorch's conv2d, which correlates.
       Upsampling with unit brightness takes ``gain = up ** 2`` for a kernel of sum 1.
    4. Keep every ``down``-th sample, the first included.

    Returns [N, C, H', W'] with H' = (H * up + top + bottom - kh) // down + 1, W' alike.

    Raises ValueError if the padded image is smaller than the kernel.
    Source: the operator that StyleGAN2's official code calls upfirdn_2d; Karras et al. 2020.
    """
    n, channels, height, width = x.shape
    left, right, top, bottom = padding
    if height * up + top + bottom < kernel.shape[0] or width * up + left + right < kernel.shape[1]:
        raise ValueError("upfirdn2d: the padded image is smaller than the kernel")
    if up > 1:
        spread = x.new_zeros(n, channels, height * up, width * up)
        spread[:, :, ::up, ::up] = x
        x = spread
    if left == right >= 0 and top == bottom >= 0:
        # The convolution pads for free; F.pad would copy the image.
        border = (top, left)
    else:
        x, border = F.pad(x, (left, right, top, bottom)), (0, 0)
    taps = (kernel.to(x.dtype) * gain).flip(0, 1)
    weight = taps.expand(channels, 1, *taps.shape)
    return F.conv2d(x, weight, stride=down, padding=border, groups=channels)
