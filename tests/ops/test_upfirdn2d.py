import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.upfirdn2d import upfirdn2d_reference
from tests.ops.images import IMAGES, TOLERANCE, double, image

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")


def kernels():
    return torch.ops.styleclip_rt


@given(
    **IMAGES, up=st.integers(1, 3), down=st.integers(1, 3), rows=st.integers(1, 4),
    columns=st.integers(1, 4), padding=st.tuples(*[st.integers(-1, 4)] * 4),
)  # fmt: skip
def test_upfirdn2d_and_its_gradient_equal_the_reference(up, down, rows, columns, padding, **shape):
    x = image(**shape)
    left, right, top, bottom = padding
    enough_rows = x.shape[2] * up + top + bottom >= rows
    if not enough_rows or x.shape[3] * up + left + right < columns:
        return
    kernel = torch.randn(rows, columns)
    wide = x.double().requires_grad_()
    expected = upfirdn2d_reference(wide, kernel.double(), up, down, padding, 2.0)
    x.requires_grad_()
    got = kernels().upfirdn2d(x, kernel, up, down, padding, 2.0, False)
    assert got.dtype == x.dtype
    scale = TOLERANCE[x.dtype] * 20
    torch.testing.assert_close(got.double(), expected, rtol=scale, atol=scale)
    grad = torch.randn_like(got)
    (found,) = torch.autograd.grad(got, x, grad)
    (true,) = torch.autograd.grad(expected, wide, grad.double())
    torch.testing.assert_close(found.double(), true, rtol=scale, atol=scale)


def test_upfirdn2d_has_all_gradients_of_the_image():
    torch.manual_seed(0)
    kernel = torch.randn(3, 4, dtype=torch.float64)

    def run(x):
        return kernels().upfirdn2d(x, kernel, 2, 3, (2, 1, 0, 3), 1.5, False)

    assert torch.autograd.gradcheck(run, double(1, 2, 4, 5))
    assert torch.autograd.gradgradcheck(run, double(1, 2, 4, 5))


def test_upfirdn2d_passes_opcheck():
    x = torch.randn(2, 4, 6, 4, requires_grad=True)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for each in (x, last):
        torch.library.opcheck(
            kernels().upfirdn2d.default, (each, torch.ones(4, 4), 2, 1, (2, 1, 2, 1), 4.0, False)
        )


HUGE = [2**31, 2**32, 2**62, 2**63 - 1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"up": 0},
        {"down": -1},
        {"padding": (-2, -3, 0, 0)},
        *({"up": huge} for huge in HUGE),
        *({"down": huge} for huge in HUGE),
        *({"padding": (0, huge, 0, 0)} for huge in HUGE),
        *({"padding": (0, 0, -huge, huge)} for huge in HUGE),
    ],
)
def test_upfirdn2d_refuses_what_does_not_fit(arguments):
    for x in (torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2, device="meta")):
        with pytest.raises(ValueError, match="upfirdn2d"):
            ops.upfirdn2d(x, torch.ones(1, 1, device=x.device), **arguments)


@pytest.mark.parametrize("shape", [(3, 3), (0, 1)])
def test_upfirdn2d_needs_a_kernel_that_fits(shape):
    with pytest.raises(ValueError, match=r"smaller than the kernel|at least one tap"):
        ops.upfirdn2d(torch.ones(1, 1, 2, 2), torch.ones(shape))


def test_large_factors_are_the_definition():
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    kernel = torch.ones(1, 1, dtype=torch.float64)
    kept = kernels().upfirdn2d(x, kernel, 1, 2**31 - 1, (0, 0, 0, 0), 1.0, False)
    assert torch.equal(kept, x[..., :1, :1])
    spread = kernels().upfirdn2d(x, kernel, 2**20, 2**20, (0, 0, 0, 0), 1.0, False)
    assert torch.equal(spread, x)
