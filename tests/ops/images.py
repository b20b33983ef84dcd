"""Images that the ops are tried on: odd sizes, empty batches, strided views, each dtype."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}
IMAGES: dict[str, Any] = {
    "n": st.integers(0, 2),
    "channels": st.integers(1, 19),
    "height": st.integers(1, 6),
    "width": st.integers(1, 19),
    "dtype": st.sampled_from(list(TOLERANCE)),
    "layout": st.sampled_from([*FORMATS, "view"]),
    "seed": st.integers(0, 2**16),
}


def image(
    n: int, channels: int, height: int, width: int, dtype: torch.dtype, layout: str, seed: int
) -> Tensor:
    torch.manual_seed(seed)
    x = torch.randn(n, channels, height, width).to(dtype)
    if layout == "view":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    return x.contiguous(memory_format=FORMATS[layout])


def assert_same(got: Tensor, x: Tensor, expected: Tensor) -> None:
    assert got.dtype == x.dtype
    tolerance = TOLERANCE[x.dtype]
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)
