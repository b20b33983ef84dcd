"""Frozen linear layers and attention: the kernels against loops and PyTorch's own operators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.ops import _library

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

BOUNDS = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 4e-3}
"""Of the error's norm over the result's; bfloat16 rounds the result once, to 2^-9."""


def problem(*rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    # Numbers that bfloat16 holds, so that only sums and results are rounded.
    x, weight, bias = (
        torch.randn(shape).bfloat16().to(torch.float64)
        for shape in ((*rows, inputs), (outputs, inputs), (outputs,))
    )
    side = torch.promote_types(dtype, torch.float32)
    return x.to(dtype), weight.to(side), bias.to(side)


def assert_near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    assert found.shape == expected.shape
    error = (found.double() - expected).norm()
    assert error <= BOUNDS[dtype] * expected.norm() + 1e-30


@given(
    rows=st.integers(0, 130),
    inputs=st.integers(0, 70),
    outputs=st.integers(1, 70),
    dtype=st.sampled_from(list(BOUNDS)),
    biased=st.booleans(),
    strided=st.booleans(),
)
def test_linear_is_its_definition(
    rows: int, inputs: int, outputs: int, dtype: torch.dtype, biased: bool, strided: bool
) -> None:
    x, weight, bias = problem(rows, inputs=inputs, outputs=outputs, dtype=dtype)
    if strided:
        x = x.t().contiguous().t()
    found = torch.ops.styleclip_rt.linear(x, weight, bias if biased else None, False)
    expected = torch.stack(
        [(x.double() * row.double()).sum(1) for row in weight] or [x.double().sum(1)], dim=1
    )
    assert_near(found, expected + bias.double() if biased else expected, dtype)
    grad = torch.randn(rows, outputs).to(dtype)
    back = torch.ops.styleclip_rt.linear(grad, weight, None, True)
    assert_near(back, grad.double() @ weight.double(), dtype)


def test_linear_has_all_gradients() -> None:
    x, weight, bias = (
        t.requires_grad_() for t in problem(2, 3, inputs=5, outputs=4, dtype=torch.float64)
    )
    for transposed in (False, True):
        w = weight.t() if transposed else weight

        def call(x: Tensor, w: Tensor, b: Tensor, transposed: bool = transposed) -> Tensor:
            # gradcheck changes numbers where no version counter sees it: the clone is packed anew.
            y: Tensor = torch.ops.styleclip_rt.linear(x, w.clone(), b, transposed)
            return y

        assert torch.autograd.gradcheck(call, (x, w, bias))
        assert torch.autograd.gradgradcheck(call, (x, w, bias))


def test_linear_passes_opcheck() -> None:
    x, weight, bias = problem(3, 5, inputs=6, outputs=7, dtype=torch.float32)
    for args in ((x.requires_grad_(), weight, bias, False), (x[..., :6], weight.t(), None, True)):
        torch.library.opcheck(torch.ops.styleclip_rt.linear.default, args)


def test_linear_sees_a_changed_weight() -> None:
    x, weight, _ = problem(3, inputs=8, outputs=8, dtype=torch.bfloat16)
    before = ops.linear(x, weight)
    weight.mul_(2)
    assert torch.equal(ops.linear(x, weight), before * 2)


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [
        (torch.ones(2, 3), torch.ones(4, 5), None),
        (torch.ones(2, 3), torch.ones(4, 3, 1), None),
        (torch.ones(2, 3), torch.ones(4, 3), torch.ones(3)),
        (torch.ones(()), torch.ones(4, 3), None),
    ],
)
def test_linear_refuses_what_does_not_fit(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    with pytest.raises(ValueError, match="linear"):
        torch.ops.styleclip_rt.linear(x, weight, bias, False)


def test_linear_refuses_integers() -> None:
    with pytest.raises(TypeError, match="does not take"):
        torch.ops.styleclip_rt.linear(torch.ones(2, 3).long(), torch.ones(4, 3), None, False)


def test_autocast_narrows_only_products() -> None:
    x, weight, bias = problem(9, inputs=40, outputs=33, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = ops.linear(x.requires_grad_(), weight, bias)
    (grad,) = torch.autograd.grad(found.float().square().sum() / 2, x)
    expected = x.detach().double() @ weight.double().t() + bias.double()
    assert_near(found.detach(), expected, torch.bfloat16)
    assert_near(grad.bfloat16(), expected @ weight.double(), torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_its_definition(dtype: torch.dtype) -> None:
    q, k, v = torch.randn(3, 2, 4, 9, 16).to(dtype)
    scores = q.double() @ k.double().transpose(-1, -2) / 4
    for causal in (False, True):
        if causal:
            scores = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), float("-inf"))
        expected = torch.softmax(scores, -1) @ v.double()
        error = (ops.attention(q, k, v, causal).double() - expected).norm()
        assert error < (1e-2 if dtype is torch.bfloat16 else 1e-6) * expected.norm()
