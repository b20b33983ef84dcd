"""The gated end of a residual unit: the kernels against its definition in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.ops import _library

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 4e-3}
"""Of the error's norm over the result's; bfloat16 rounds the result once, to 2^-9."""


def problem(
    batch: int, channels: int, hidden: int, height: int, width: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    wide = torch.promote_types(dtype, torch.float32)
    x, shortcut = torch.randn(2, batch, channels, height, width).to(dtype)
    squeeze = torch.randn(hidden, channels, dtype=wide) / channels**0.5
    return x + 0.3, shortcut, squeeze, torch.randn(channels, hidden, dtype=wide)


def definition(x: Tensor, shortcut: Tensor, squeeze: Tensor, excite: Tensor) -> Tensor:
    hidden = (x.mean(dim=(2, 3)) @ squeeze.double().T).clamp(min=0)
    gate = 1 / (1 + torch.exp(-hidden @ excite.double().T))
    return x * gate[:, :, None, None] + shortcut


@given(
    batch=st.integers(0, 2),
    channels=st.integers(1, 80),
    hidden=st.integers(1, 20),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dtype=st.sampled_from(list(BOUNDS)),
    channels_last=st.booleans(),
)
def test_squeeze_excite_and_its_gradients_are_their_definition(
    batch: int,
    channels: int,
    hidden: int,
    height: int,
    width: int,
    dtype: torch.dtype,
    channels_last: bool,
) -> None:
    x, shortcut, *weights = problem(batch, channels, hidden, height, width, dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    leaves = [image.requires_grad_() for image in (x, shortcut)]
    out = torch.ops.styleclip_rt.squeeze_excite(*leaves, *weights)[0]
    exact_leaves = [image.detach().double().requires_grad_() for image in leaves]
    exact = definition(*exact_leaves, *weights)
    grad = torch.randn(exact.shape).to(dtype)
    found = torch.autograd.grad(out, leaves, grad)
    expected = torch.autograd.grad(exact, exact_leaves, grad.double())
    for ours, theirs in zip((out, *found), (exact, *expected), strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).norm() <= BOUNDS[dtype] * theirs.norm() + 1e-30


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_images_are_parted(dtype: torch.dtype) -> None:
    x, shortcut, squeeze, excite = problem(1, 64, 4, 40, 41, dtype)
    found = ops.squeeze_excite(x, shortcut, squeeze, excite)
    exact = definition(x.double(), shortcut.double(), squeeze, excite)
    assert (found.double() - exact).norm() <= BOUNDS[dtype] * exact.norm()


def test_squeeze_excite_has_all_gradients() -> None:
    torch.manual_seed(0)
    leaves = [t.requires_grad_() for t in problem(2, 3, 2, 3, 2, torch.float64)]

    def run(*args: Tensor) -> Tensor:
        out: Tensor = torch.ops.styleclip_rt.squeeze_excite(*args)[0]
        return out

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)
    weights = [leaf.detach() for leaf in leaves[2:]]
    assert torch.autograd.gradcheck(lambda x, shortcut: run(x, shortcut, *weights), leaves[:2])


def test_squeeze_excite_passes_opcheck() -> None:
    x, shortcut, squeeze, excite = problem(2, 5, 3, 4, 3, torch.float32)
    library = torch.ops.styleclip_rt
    for leaf in (x, x.clone().requires_grad_()):
        torch.library.opcheck(library.squeeze_excite.default, (leaf, shortcut, squeeze, excite))
    pooled = x.mean(dim=(2, 3))
    torch.library.opcheck(
        library.squeeze_excite_backward.default, (shortcut, x, pooled, squeeze, excite)
    )


def test_squeeze_excite_refuses_what_does_not_fit() -> None:
    x, shortcut, squeeze, excite = problem(2, 5, 3, 4, 3, torch.float32)
    for args in (
        (x, shortcut[:1], squeeze, excite),
        (x, shortcut, excite, squeeze),
        (x[0], shortcut, squeeze, excite),
    ):
        with pytest.raises(ValueError, match="squeeze_excite"):
            torch.ops.styleclip_rt.squeeze_excite(*args)
    with pytest.raises(TypeError, match="shortcut"):
        torch.ops.styleclip_rt.squeeze_excite(x, shortcut.double(), squeeze, excite)
