import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.bias_act import bias_act_reference
from styleclip_rt.ops.idwt2d import haar_idwt2d_reference
from styleclip_rt.ops.upfirdn2d import upfirdn2d_reference

# The references are held to loop-written definitions in test_reference and test_mobile_stylegan.
pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}
IMAGES = {
    "n": st.integers(0, 2),
    "channels": st.integers(1, 19),
    "height": st.integers(1, 6),
    "width": st.integers(1, 19),
    "dtype": st.sampled_from(list(TOLERANCE)),
    "layout": st.sampled_from([*FORMATS, "view"]),
    "seed": st.integers(0, 2**16),
}


def kernels():
    return torch.ops.styleclip_rt


def image(n, channels, height, width, dtype, layout, seed):
    torch.manual_seed(seed)
    x = torch.randn(n, channels, height, width).to(dtype)
    if layout == "view":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    return x.contiguous(memory_format=FORMATS[layout])


def assert_same(got, x, expected):
    assert got.dtype == x.dtype
    tolerance = TOLERANCE[x.dtype]
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


@given(**IMAGES, biased=st.booleans(), clamp=st.sampled_from([None, 0.75]))
def test_bias_act_equals_the_reference(biased, clamp, **shape):
    x = image(**shape)
    bias = torch.randn(x.shape[1]) if biased else None
    wide = None if bias is None else bias.double()
    expected = bias_act_reference(x.double(), wide, 0.3, 1.5, clamp)
    assert_same(kernels().bias_act(x, bias, 0.3, 1.5, clamp), x, expected)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_bias_act_gives_a_clamped_sample_no_gradient(dtype):
    x = torch.tensor([[[[-9.0, 0.1, 9.0]]]], dtype=dtype, requires_grad=True)
    # 0.7 is not a bfloat16: the nearest lies below.
    y = kernels().bias_act(x, None, 0.5, 1.0, 0.7)
    gradient = torch.autograd.grad(y.sum(), x)[0]
    assert gradient.flatten().tolist() == [0, 1, 0]


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


@given(**IMAGES)
def test_the_wavelet_equals_the_reference_and_goes_back(**shape):
    bands = image(**{**shape, "channels": 4 * shape["channels"]})
    made = kernels().idwt2d(bands)
    expected = haar_idwt2d_reference(bands.double())
    tolerance = 3 * TOLERANCE[bands.dtype]
    torch.testing.assert_close(made.double(), expected, rtol=tolerance, atol=tolerance)
    back = kernels().dwt2d(made)
    torch.testing.assert_close(back, bands, rtol=2 * tolerance, atol=2 * tolerance)


def double(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def test_gradcheck_once_and_twice():
    torch.manual_seed(0)
    kernel = torch.randn(3, 4, dtype=torch.float64)
    problems = [
        (lambda x, b: kernels().bias_act(x, b, 0.2, 1.4, 2.0), (double(2, 3, 2, 2), double(3))),
        (
            lambda x: kernels().upfirdn2d(x, kernel, 2, 3, (2, 1, 0, 3), 1.5, False),
            (double(1, 2, 4, 5),),
        ),
        (lambda x: kernels().idwt2d(x), (double(1, 8, 2, 3),)),
        (lambda x: kernels().dwt2d(x), (double(1, 2, 4, 2),)),
    ]
    for function, inputs in problems:
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_opcheck():
    x = torch.randn(2, 4, 6, 4, requires_grad=True)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for each in (x, last):
        torch.library.opcheck(kernels().bias_act.default, (each, torch.ones(4), 0.2, 1.4, None))
        torch.library.opcheck(kernels().idwt2d.default, (each,))
        torch.library.opcheck(kernels().dwt2d.default, (each,))
        torch.library.opcheck(
            kernels().upfirdn2d.default, (each, torch.ones(4, 4), 2, 1, (2, 1, 2, 1), 4.0, False)
        )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kernels().bias_act(torch.ones(3), None, 1, 1, None), ValueError, "activations"),
        (lambda: ops.bias_act(torch.ones(2, 3), torch.ones(2)), ValueError, "bias has shape"),
        (
            lambda: ops.bias_act(torch.ones(2, 3), torch.ones(3, device="meta")),
            ValueError,
            "bias is on meta",
        ),
        (
            lambda: ops.upfirdn2d(torch.ones(1, 1, 2, 2), torch.ones(3, 3)),
            ValueError,
            "smaller than the kernel",
        ),
        (lambda: ops.haar_idwt2d(torch.ones(1, 6, 2, 2)), ValueError, "four bands"),
        (lambda: kernels().dwt2d(torch.ones(1, 6, 3, 2)), ValueError, "even height"),
    ],
)
def test_bad_input_raises_before_a_kernel_starts(call, error, message):
    with pytest.raises(error, match=message):
        call()
