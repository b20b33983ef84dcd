import pytest
import torch
from hypothesis import given

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.idwt2d import haar_dwt2d_reference, haar_idwt2d_reference
from tests.ops.images import IMAGES, TOLERANCE, double, image

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")


def kernels():
    return torch.ops.styleclip_rt


@given(**IMAGES)
def test_the_wavelet_equals_the_reference_and_goes_back(**shape):
    bands = image(**{**shape, "channels": 4 * shape["channels"]})
    made = kernels().idwt2d(bands)
    expected = haar_idwt2d_reference(bands.double())
    tolerance = 3 * TOLERANCE[bands.dtype]
    torch.testing.assert_close(made.double(), expected, rtol=tolerance, atol=tolerance)
    back = kernels().dwt2d(made)
    torch.testing.assert_close(back, bands, rtol=2 * tolerance, atol=2 * tolerance)


@given(**IMAGES)
def test_the_twin_of_the_wavelet_is_its_inverse(**shape):
    bands = image(**{**shape, "channels": 4 * shape["channels"]}).double()
    made = haar_idwt2d_reference(bands)
    torch.testing.assert_close(haar_dwt2d_reference(made), bands)
    torch.testing.assert_close(ops.haar_dwt2d(made), bands)


def test_the_wavelet_has_all_gradients():
    torch.manual_seed(0)
    for run, x in ((ops.haar_idwt2d, double(1, 8, 2, 3)), (ops.haar_dwt2d, double(1, 2, 4, 2))):
        assert torch.autograd.gradcheck(run, x)
        assert torch.autograd.gradgradcheck(run, x)
    for run, x in ((kernels().idwt2d, double(1, 8, 2, 3)), (kernels().dwt2d, double(1, 2, 4, 2))):
        assert torch.autograd.gradcheck(run, x)
        assert torch.autograd.gradgradcheck(run, x)


def test_the_wavelet_passes_opcheck():
    x = torch.randn(2, 4, 6, 4, requires_grad=True)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for each in (x, last):
        torch.library.opcheck(kernels().idwt2d.default, (each,))
        torch.library.opcheck(kernels().dwt2d.default, (each,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.haar_idwt2d(torch.ones(1, 6, 2, 2)), ValueError, "four bands"),
        (lambda: kernels().dwt2d(torch.ones(1, 6, 3, 2)), ValueError, "even height"),
        (lambda: kernels().idwt2d(torch.ones(1, 4, 2, 2).half()), TypeError, "does not take"),
    ],
)
def test_the_wavelet_refuses_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()
