import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt.errors import StyleClipError
from styleclip_rt.ops import _library, standard_ops
from styleclip_rt.ops.area_resample import area_resample, area_resample_reference

BOTH = pytest.mark.parametrize("resample", [area_resample, area_resample_reference])


def by_definition(image, size, crop, mean, std):
    """Loop over the output, weigh every pixel by the area it shares: the meaning, in float64."""
    top, left, height, width = crop
    out = torch.zeros(*image.shape[:2], *size, dtype=torch.float64)
    for y in range(size[0]):
        for x in range(size[1]):
            y0, y1 = y * height / size[0], (y + 1) * height / size[0]
            x0, x1 = x * width / size[1], (x + 1) * width / size[1]
            for i in range(int(y0), min(math.ceil(y1), height)):
                for j in range(int(x0), min(math.ceil(x1), width)):
                    area = (min(i + 1, y1) - max(i, y0)) * (min(j + 1, x1) - max(j, x0))
                    out[:, :, y, x] += image[:, :, top + i, left + j].double() * area
            out[:, :, y, x] /= (y1 - y0) * (x1 - x0)
    channel = (slice(None), None, None)
    return (out - torch.tensor(mean, dtype=torch.float64)[channel]) / torch.tensor(std)[channel]


@st.composite
def problems(draw):
    height, width = draw(st.integers(1, 13)), draw(st.integers(1, 13))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    crop = (top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))
    size = (draw(st.integers(1, 17)), draw(st.integers(1, 17)))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    return torch.randn(draw(st.integers(1, 2)), 2, height, width), size, crop


@BOTH
@given(problem=problems())
def test_equals_the_definition_for_any_shape(resample, problem):
    image, size, crop = problem
    mean, std = [0.3, -0.2], [0.5, 2.0]
    got = resample(image, size, crop, mean, std)
    expected = by_definition(image, size, crop, mean, std)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_ratios_are_average_pooling(resample, dtype):
    image = torch.randn(2, 3, 64, 96, dtype=dtype)
    expected = torch.nn.functional.avg_pool2d(image, (4, 3))
    torch.testing.assert_close(resample(image, (16, 32)), expected)


@BOTH
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_in_any_layout_and_its_gradient(resample, layout):
    image = torch.randn(2, 3, 29, 31).bfloat16().contiguous(memory_format=layout).requires_grad_()
    wide = image.detach().double().requires_grad_()
    found, expected = (resample(each, (7, 40), (1, 2, 25, 29)) for each in (image, wide))
    torch.testing.assert_close(found, expected.bfloat16(), rtol=0.01, atol=1e-5)
    gradients = [
        torch.autograd.grad(y.square().sum(), x)[0] for y, x in ((found, image), (expected, wide))
    ]
    assert gradients[0].dtype == torch.bfloat16
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=0.03, atol=0.02)


@BOTH
def test_equals_enlarging_then_pooling(resample):
    image = torch.rand(1, 3, 64, 64)
    enlarged = torch.nn.functional.interpolate(image, scale_factor=7, mode="nearest")
    expected = torch.nn.functional.avg_pool2d(enlarged, 32)
    torch.testing.assert_close(resample(image, 14), expected)


@BOTH
def test_large_image_with_more_than_one_thread_of_work(resample):
    image = torch.rand(2, 3, 300, 260)
    crop = (10, 7, 280, 250)
    cropped = image[:, :, 10:290, 7:257].double()
    rows = torch.nn.functional.adaptive_avg_pool2d(cropped, (140, 50))
    torch.testing.assert_close(
        resample(image, (140, 50), crop).double(), rows, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(dtype):
    image = torch.rand(1, 3, 40, 40).to(dtype)
    expected = area_resample(image.double(), 11).to(dtype)
    torch.testing.assert_close(area_resample(image, 11), expected)


def test_any_memory_layout_gives_the_same():
    image = torch.rand(2, 3, 20, 24)
    expected = area_resample(image, (7, 9))
    torch.testing.assert_close(
        area_resample(image.to(memory_format=torch.channels_last), (7, 9)), expected
    )
    assert area_resample(image[:0], (7, 9)).shape == (0, 3, 7, 9)


@given(problem=problems())
def test_gradient_is_the_transpose(problem):
    image, size, crop = problem
    std = [0.5, 2.0]
    grads = []
    for resample in (area_resample, area_resample_reference):
        leaf = image.clone().requires_grad_()
        out = resample(leaf, size, crop, [0.1, 0.2], std)
        weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
        (grad,) = torch.autograd.grad((out * weights).sum(), leaf)
        grads.append(grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_gradient_and_second_gradient_numerically():
    image = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)

    def resample(x):
        return area_resample(x, (4, 7), (1, 0, 4, 5), [0.1, 0.2], [0.5, 2.0]) ** 2

    assert torch.autograd.gradcheck(resample, image)
    assert torch.autograd.gradgradcheck(resample, image)


def test_second_gradient_of_the_compiled_op_equals_the_reference():
    image = torch.randn(1, 2, 9, 8)
    seconds = []
    for resample in (area_resample, area_resample_reference):
        leaf = image.clone().requires_grad_()
        out = resample(leaf, (4, 11), (1, 0, 7, 8), None, [0.5, 2.0])
        (first,) = torch.autograd.grad((out**3).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), leaf)
        seconds.append(second)
    torch.testing.assert_close(seconds[0], seconds[1], rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not _library.load(), reason="needs the compiled ops")
def test_compiled_op_is_registered_soundly():
    image = torch.randn(2, 3, 10, 12, requires_grad=True)
    ops = torch.ops.styleclip_rt
    torch.library.opcheck(
        ops.area_resample.default,
        (image, (1, 2, 8, 9), (5, 4), [0.1, 0.2, 0.3], [1.0, 2.0, 3.0]),
    )
    torch.library.opcheck(
        ops.area_resample_transpose.default,
        (torch.randn(2, 3, 5, 4, requires_grad=True), (10, 12), (1, 2, 8, 9), [1.0, 2.0, 3.0]),
    )


@pytest.mark.skipif(not _library.load(), reason="needs the compiled ops")
@pytest.mark.parametrize(
    ("image", "crop", "size", "mean", "error", "message"),
    [
        (torch.zeros(3, 4, 4), (0, 0, 4, 4), (2, 2), [], ValueError, "needs an image"),
        (
            torch.zeros(1, 3, 4, 4).double(),
            (0, 0, 4, 4),
            (2, 2),
            [],
            TypeError,
            "does not take Double",
        ),
        (torch.zeros(1, 3, 4, 4), (0, 1, 4, 4), (2, 2), [], ValueError, "crop"),
        (torch.zeros(1, 3, 4, 4), (0, 0, 4, 4), (0, 2), [], ValueError, "output size"),
        (torch.zeros(1, 3, 4, 4), (0, 0, 4, 4), (2, 2), [0.0], ValueError, "one mean per channel"),
    ],
)
def test_compiled_op_guards_itself(image, crop, size, mean, error, message):
    with pytest.raises(error, match=message):
        torch.ops.styleclip_rt.area_resample(image, crop, size, mean, [])


HUGE = 2**63 - 1
OUTSIDE = [
    (HUGE, 0, 1, 1),
    (HUGE, 0, 2, 1),
    (1, 0, HUGE, 1),
    (0, HUGE - 1, 1, 3),
    (0, 1, 1, HUGE),
    (-HUGE, 0, HUGE, 1),
    (-1 - HUGE, 0, 4, 4),
    (2**62, 2**62, 2**62, 2**62),
]


@pytest.mark.skipif(not _library.load(), reason="needs the compiled ops")
@pytest.mark.parametrize("crop", OUTSIDE)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_crop_wraps_round_into_the_image(crop, device):
    image = torch.zeros(1, 3, 4, 4, device=device)
    kernels = torch.ops.styleclip_rt
    with pytest.raises(ValueError, match="inside the image of 4x4"):
        kernels.area_resample(image, crop, (2, 2), [], [])
    with pytest.raises(ValueError, match="inside the image of 4x4"):
        kernels.area_resample_transpose(image, (4, 4), crop, [])
    with pytest.raises(StyleClipError, match="inside the image of 4x4"):
        area_resample(image, (2, 2), crop)


@pytest.mark.skipif(not _library.load(), reason="needs the compiled ops")
@pytest.mark.parametrize("side", [2**31, 2**62, HUGE])
def test_no_side_is_too_long_to_multiply(side):
    kernels = torch.ops.styleclip_rt
    with pytest.raises(ValueError, match="below 2\\^31"):
        kernels.area_resample(torch.zeros(0, 3, 4, 4), (0, 0, 4, 4), (side, 1), [], [])
    with pytest.raises(ValueError, match="below 2\\^31"):
        kernels.area_resample_transpose(torch.zeros(0, 3, 4, 4), (side, 4), (0, 0, 4, 4), [])


@BOTH
@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (torch.zeros(3, 4, 4), {"size": 2}, r"shape \[N, C, H, W\]"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), {"size": 2}, "floating-point"),
        (torch.zeros(1, 3, 4, 4), {"size": 0}, "output size"),
        (torch.zeros(1, 3, 4, 4), {"size": 2, "crop": (1, 0, 4, 4)}, "inside the image of 4x4"),
        (torch.zeros(1, 3, 4, 4), {"size": 2, "crop": (0, -1, 2, 2)}, "inside the image"),
        (torch.zeros(1, 3, 4, 4), {"size": 2, "mean": [0.0]}, "one mean for each of the 3"),
        (torch.zeros(1, 3, 4, 4), {"size": 2, "std": [1.0] * 4}, "one std for each"),
    ],
)
def test_bad_input_is_named(resample, image, arguments, message):
    with pytest.raises(StyleClipError, match=message):
        resample(image, **arguments)


def test_standard_ops_call_no_compiled_op():
    image = torch.rand(1, 3, 30, 30)
    expected = area_resample(image, 13)
    with standard_ops():
        graph = torch.export.export(_Resample(), (image,)).graph
        torch.testing.assert_close(area_resample(image, 13), expected)
    assert not any("styleclip_rt" in str(node.target) for node in graph.nodes)


class _Resample(torch.nn.Module):
    def forward(self, image):
        return area_resample(image, 13)
