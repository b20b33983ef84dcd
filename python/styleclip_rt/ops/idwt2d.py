"""The Haar wavelet, whose inverse MobileStyleGAN upsamples with (Belousov 2021)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library

_KERNELS = _library.devices("idwt2d") & _library.devices("dwt2d")


def haar_idwt2d(x: Tensor) -> Tensor:
    """Inverse 2-D Haar wavelet transform, orthonormal.

    Args:
        x: [N, 4C, H, W]; channels [0, C) are the low-pass band, then the three detail bands
            (vertical, horizontal, diagonal) of each channel beside each other.

    Returns:
        [N, C, 2H, 2W] in the dtype and memory format of ``x``; differentiable any number of times.

    Raises:
        ValueError, TypeError: a shape or dtype that does not fit (compiled op).
    """
    if _library.serves(_KERNELS, x):
        image: Tensor = torch.ops.styleclip_rt.idwt2d(x)
        return image
    return haar_idwt2d_reference(x)


def haar_idwt2d_reference(x: Tensor) -> Tensor:
    """Do what `haar_idwt2d` does with torch's own operators, in any dtype on any device."""
    n, c4, h, w = x.shape
    c = c4 // 4
    low = x[:, :c]
    vertical, horizontal, diagonal = x[:, c:].reshape(n, c, 3, h, w).unbind(2)
    top, bottom = low + vertical, low - vertical
    top_detail, bottom_detail = horizontal + diagonal, horizontal - diagonal
    quads = torch.stack(
        (
            top + top_detail,
            top - top_detail,
            bottom + bottom_detail,
            bottom - bottom_detail,
        ),
        dim=2,
    )
    return F.pixel_shuffle(quads.reshape(n, 4 * c, h, w) * 0.5, 2)


def haar_dwt2d(x: Tensor) -> Tensor:
    """2-D Haar wavelet transform, orthonormal: the inverse and the gradient of `haar_idwt2d`.

    Args:
        x: [N, C, H, W], H and W even.

    Returns:
        [N, 4C, H / 2, W / 2], bands as `haar_idwt2d` takes them, in the dtype and memory format of
        ``x``; differentiable any number of times.

    Raises:
        ValueError, TypeError: a shape or dtype that does not fit (compiled op).
    """
    if _library.serves(_KERNELS, x):
        bands: Tensor = torch.ops.styleclip_rt.dwt2d(x)
        return bands
    return haar_dwt2d_reference(x)


def haar_dwt2d_reference(x: Tensor) -> Tensor:
    """Do what `haar_dwt2d` does with torch's own operators, in any dtype on any device."""
    n, c, h, w = x.shape
    quads = F.pixel_unshuffle(x, 2).reshape(n, c, 4, h // 2, w // 2) * 0.5
    top_left, top_right, bottom_left, bottom_right = quads.unbind(2)
    top, bottom = top_left + top_right, bottom_left + bottom_right
    top_detail, bottom_detail = top_left - top_right, bottom_left - bottom_right
    details = torch.stack((top - bottom, top_detail + bottom_detail, top_detail - bottom_detail), 2)
    return torch.cat((top + bottom, details.flatten(1, 2)), dim=1)
