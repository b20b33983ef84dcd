"""Scaled dot-product attention."""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops.linear import narrows


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """``softmax(q @ k.T / sqrt(D)) @ v``, without what comes later in a causal sequence.

    PyTorch's fused form, but for bfloat16 on a CPU: the gradient of that takes three times as long
    as that of the plain products.

    Args:
        q, k, v: ``[N, heads, T, D]``.
        causal: see above.

    Returns:
        ``[N, heads, T, D]``.
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    else:
        if q.device.type == "cpu" and narrows(q) and not causal:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            return torch.softmax(scores, dim=-1) @ v
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
