"""Linear layers whose weights are frozen."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library

_KERNELS = _library.devices("linear") & {"cpu", "cuda"}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, as `torch.nn.functional.linear`.

    A frozen weight that is multiplied in bfloat16, or in float16 on a GPU (an input of that dtype,
    or under autocast to it), is rounded at its first use and kept, on a CPU packed, once for each
    direction; PyTorch would round it anew in every call. The gradient of the input runs through
    the same kernel. All else is PyTorch's own.

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
        return linear_reference(x, weight, bias)
    else:
        if narrows(x) and not weight.requires_grad and _library.serves(_KERNELS, x):
            y: Tensor = torch.ops.styleclip_rt.linear(x, weight, bias, False)
            return y
        return linear_reference(x, weight, bias)


def linear_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Do what `linear` does with torch's own operator, in any dtype on any device."""
    return F.linear(x, weight, bias)


def narrows(x: Tensor) -> bool:
    """Whether a product with ``x`` is one of the two-byte numbers that its device has kernels for.

    These are bfloat16 and, on a GPU, float16.
    """
    device = x.device.type
    if device not in ("cpu", "cuda"):
        return False
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return dtype in (torch.bfloat16, _library.HALVES[device])
