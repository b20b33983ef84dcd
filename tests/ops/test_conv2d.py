"""Frozen 3x3 convolutions: the kernels against PyTorch's own operators in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt import ops
from styleclip_rt.ops import _library

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 2e-2}
"""Of the error's norm over the result's, as of layers with Winograd's transforms in general."""


def sides(inputs: int, outputs: int, dtype: torch.dtype) -> dict[str, Tensor]:
    wide = torch.promote_types(dtype, torch.float32)
    return {
        "weight": torch.randn(outputs, inputs, 3, 3, dtype=wide) / (9 * inputs) ** 0.5,
        "scale": torch.rand(inputs, dtype=wide) + 0.5,
        "shift": torch.randn(inputs, dtype=wide) / 2,
        # A trained PReLU may have slopes of either sign.
        "slope": torch.rand(inputs, dtype=wide) - 0.5,
        "factor": torch.rand(outputs, dtype=wide) + 0.5,
        "bias": torch.randn(outputs, dtype=wide),
    }


def definition(x: Tensor, weight: Tensor, **side: Tensor) -> Tensor:
    column = {name: tensor.double()[:, None, None] for name, tensor in side.items()}
    x = x * column.get("scale", 1) + column.get("shift", 0)
    if "slope" in column:
        x = torch.where(x > 0, x, x * column["slope"])
    y = F.conv2d(x, weight.double(), padding=1)
    return y * column.get("factor", 1) + column.get("bias", 0)


def call(x: Tensor, weight: Tensor, **side: Tensor) -> Tensor:
    names = ("scale", "shift", "slope", "factor", "bias")
    y: Tensor = torch.ops.styleclip_rt.conv2d(x, weight, *(side.get(name) for name in names))
    return y


@given(
    batch=st.integers(0, 2),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    height=st.integers(1, 18),
    width=st.integers(1, 18),
    dtype=st.sampled_from(list(BOUNDS)),
    missing=st.sets(st.sampled_from(["scale", "shift", "slope", "factor", "bias"])),
    strided=st.booleans(),
)
def test_conv2d_and_its_gradient_are_their_definition(
    batch: int,
    inputs: int,
    outputs: int,
    height: int,
    width: int,
    dtype: torch.dtype,
    missing: set[str],
    strided: bool,
) -> None:
    given_sides = {k: v for k, v in sides(inputs, outputs, dtype).items() if k not in missing}
    x = torch.randn(batch, inputs, height, width).to(dtype).requires_grad_()
    seen = x if strided else x.contiguous(memory_format=torch.channels_last)
    y = call(seen, **given_sides)
    exact_x = x.detach().double().requires_grad_()
    exact = definition(exact_x, **given_sides)
    grad = torch.randn(exact.shape).to(dtype)
    (found,) = torch.autograd.grad(y, x, grad)
    (expected,) = torch.autograd.grad(exact, exact_x, grad.double())
    assert y.dtype == found.dtype == dtype
    assert (y.double() - exact).norm() <= BOUNDS[dtype] * exact.norm() + 1e-30
    assert (found.double() - expected).norm() <= BOUNDS[dtype] * expected.norm() + 1e-30


@pytest.mark.parametrize("size", [(16, 17), (14, 14), (5, 4)])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_every_method_is_within_its_bound(dtype: torch.dtype, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 20, *size).to(dtype, memory_format=torch.channels_last)
    side = sides(20, 18, dtype)
    exact = definition(x.double(), **side)
    for found in (call(x, **side), ops.conv2d(x, **side)):
        assert found.dtype == dtype
        assert (found.double() - exact).norm() < BOUNDS[dtype] * exact.norm()


def test_conv2d_has_all_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    side = {k: v.requires_grad_() for k, v in sides(2, 3, torch.float64).items()}

    def run(x: Tensor, weight: Tensor, *rest: Tensor) -> Tensor:
        # gradcheck changes numbers where no version counter sees it: the clone is packed anew.
        return call(x, weight.clone(), **dict(zip(list(side)[1:], rest, strict=True)))

    assert torch.autograd.gradcheck(run, (x, *side.values()))
    assert torch.autograd.gradgradcheck(run, (x, *side.values()))
    frozen = [tensor.detach() for tensor in side.values()]
    assert torch.autograd.gradcheck(lambda x: run(x, *frozen), (x,))


def test_conv2d_passes_opcheck() -> None:
    side = sides(4, 5, torch.float32)
    weight = side.pop("weight")
    names = ("scale", "shift", "slope", "factor", "bias")
    x, grad = torch.randn(2, 4, 6, 5), torch.randn(2, 5, 6, 5)
    all_sides = (weight, *(side[name] for name in names))
    library = torch.ops.styleclip_rt
    for leaf in (x, x.clone().requires_grad_()):
        torch.library.opcheck(library.conv2d.default, (leaf, *all_sides))
        torch.library.opcheck(library.conv2d.default, (leaf, weight, None, None, None, None, None))
    torch.library.opcheck(library.conv2d_backward.default, (grad, x, *all_sides))


@pytest.mark.parametrize(
    "change",
    [
        {"x": torch.ones(2, 3, 4, 4)},
        {"weight": torch.ones(5, 4, 1, 1)},
        {"weight": torch.ones(5, 4)},
        {"shift": torch.ones(5)},
        {"bias": torch.ones(4)},
    ],
)
def test_conv2d_refuses_what_does_not_fit(change: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="conv2d"):
        call(**({"x": torch.ones(2, 4, 4, 4)} | sides(4, 5, torch.float32) | change))


def test_conv2d_refuses_integers() -> None:
    with pytest.raises(TypeError, match="does not take"):
        call(torch.ones(2, 4, 4, 4).long(), **sides(4, 5, torch.float32))
