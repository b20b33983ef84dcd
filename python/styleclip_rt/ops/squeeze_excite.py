"""The end of a residual unit whose channels are gated by what the whole image shows."""

import torch
from torch import Tensor

from styleclip_rt.ops import _library
from styleclip_rt.ops.linear import linear

_KERNELS = _library.devices("squeeze_excite") & {"cpu"}


def squeeze_excite(x: Tensor, shortcut: Tensor, squeeze: Tensor, excite: Tensor) -> Tensor:
    """``x * gate + shortcut``; ``gate = sigmoid(excite @ relu(squeeze @ mean of x over pixels))``.

    Source: Hu et al. 2018, "Squeeze-and-Excitation Networks". With frozen weights on a CPU the
    image is read twice, forward and backward, and written once.

    Args:
        x, shortcut: ``[N, C, H, W]``; fastest in channels-last layout.
        squeeze: ``[R, C]``.
        excite: ``[C, R]``.

    Returns:
        ``[N, C, H, W]`` in the dtype of ``x``, or autocast's.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit (compiled op).
    """
    frozen = not (squeeze.requires_grad or excite.requires_grad)
    if frozen and _library.serves(_KERNELS, x):
        out: Tensor = torch.ops.styleclip_rt.squeeze_excite(x, shortcut, squeeze, excite)[0]
        return out
    return squeeze_excite_reference(x, shortcut, squeeze, excite)


def squeeze_excite_reference(
    x: Tensor, shortcut: Tensor, squeeze: Tensor, excite: Tensor
) -> Tensor:
    """Do what `squeeze_excite` does with single operators, in any dtype on any device."""
    gate = torch.sigmoid(linear(torch.relu(linear(x.mean(dim=(2, 3)), squeeze)), excite))
    return x * gate[:, :, None, None] + shortcut
