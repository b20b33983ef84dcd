"""Upsample, pad, filter and downsample.

Source: the operator that StyleGAN2's official code calls upfirdn_2d; Karras et al. 2020.
"""

import torch
from torch import Tensor

from styleclip_rt.ops import _library
from styleclip_rt.ops.reference import upfirdn2d as upfirdn2d_reference

_KERNELS = _library.devices("upfirdn2d")

__all__ = ["upfirdn2d", "upfirdn2d_reference"]


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
        ValueError: the padded image is smaller than the kernel.
    """
    if _library.serves(_KERNELS, x) and not kernel.requires_grad:
        op = torch.ops.styleclip_rt.upfirdn2d
        y: Tensor = op(x, kernel, up, down, padding, gain, False)
        return y
    return upfirdn2d_reference(x, kernel, up, down, padding, gain)
