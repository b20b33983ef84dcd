"""Linear layers whose weights are frozen."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library

_KERNELS = _library.devices("linear") & {"cpu"}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, as `torch.nn.functional.linear`.

    A frozen weight that is multiplied in bfloat16 on a CPU (an input of that dtype, or under
    autocast to it) is packed at its first use, once for each direction, and kept; PyTorch would
    round it anew in every call and lay it out anew in every product. The gradient of the input runs
    through the same kernel. All else is PyTorch's own.

    Args:
        x: ``[..., I]``.
        weight: ``[O, I]``, of any floating-point dtype.
        bias: ``[O]``.

    Returns:
        ``[..., O]`` in the dtype of ``x``, or autocast's. Differentiable any number of times.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit (compiled op).
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return F.linear(x, weight, bias)
    else:
        if narrows(x) and not weight.requires_grad and _library.serves(_KERNELS, x):
            y: Tensor = torch.ops.styleclip_rt.linear(x, weight, bias, False)
            return y
        return F.linear(x, weight, bias)


def narrows(x: Tensor) -> bool:
    """Whether a product with ``x`` is one of bfloat16 numbers on a CPU."""
    if x.device.type != "cpu":
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") is torch.bfloat16
    return x.dtype is torch.bfloat16
