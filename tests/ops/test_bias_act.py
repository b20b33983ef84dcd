import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.bias_act import bias_act_reference
from tests.ops.images import IMAGES, TOLERANCE, assert_same, double, image

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")


def kernels():
    return torch.ops.styleclip_rt


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


def test_bias_act_has_all_gradients():
    torch.manual_seed(0)
    arguments = (double(2, 3, 2, 2), double(3))

    def run(x, bias):
        return kernels().bias_act(x, bias, 0.2, 1.4, 2.0)

    assert torch.autograd.gradcheck(run, arguments)
    assert torch.autograd.gradgradcheck(run, arguments)


def test_bias_act_passes_opcheck():
    x = torch.randn(2, 4, 6, 4, requires_grad=True)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for each in (x, last):
        torch.library.opcheck(kernels().bias_act.default, (each, torch.ones(4), 0.2, 1.4, None))


FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2]


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
    ],
)
def test_bias_act_refuses_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [*FLOAT8, torch.float16, torch.int32, torch.complex64])
def test_bias_act_takes_the_types_that_it_has_kernels_for(dtype):
    x = torch.ones(2, 3, 4, 5).to(dtype)
    with pytest.raises(TypeError, match="does not take"):
        kernels().bias_act(x, None, 0.2, 1.0, None)
    with pytest.raises(TypeError, match=r"does not take|not floating-point"):
        kernels().bias_act_backward(x, x, 0.2, 1.0, None)
