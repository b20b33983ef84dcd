"""The CPU ops on NumPy arrays, against the operators that torch sees."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from styleclip_rt import ops
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.ops.modulated_conv2d import modulated_conv2d_reference
from styleclip_rt.ops.separable_conv2d import separable_conv2d_reference

native = pytest.importorskip("styleclip_rt._native")

TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-4}, "float64": {"rtol": 1e-11, "atol": 1e-11}}
TYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LAYOUTS = pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def images(*shape: int, dtype: str = "float32", last: bool = False) -> np.ndarray:
    x = numbers(*shape, dtype=dtype)
    return channels_last(x) if last else x


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def agree(found: np.ndarray, expected: torch.Tensor, last: bool = False) -> None:
    assert (channels_last(found) if last else np.ascontiguousarray(found)).strides == found.strides
    np.testing.assert_allclose(found, expected.numpy(), **TOLERANCE[str(found.dtype)])


@TYPES
@LAYOUTS
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_bias_act(dtype: str, last: bool, clamp: float | None) -> None:
    x, bias = images(2, 5, 7, 3, dtype=dtype, last=last), numbers(5, dtype=dtype)
    found = native.bias_act(x, bias, clamp=clamp)
    agree(found, ops.bias_act(tensor(x), tensor(bias), clamp=clamp), last)
    rows = numbers(4, 6, dtype=dtype)
    agree(native.bias_act(rows, slope=1.0, gain=2.0), tensor(2 * rows))


@TYPES
@LAYOUTS
def test_upfirdn2d(dtype: str, last: bool) -> None:
    x, kernel = images(2, 3, 6, 5, dtype=dtype, last=last), numbers(4, 3, dtype=dtype)
    arguments: dict[str, Any] = {"up": 2, "down": 3, "padding": (2, 1, 0, 3), "gain": 4.0}
    expected = ops.upfirdn2d(tensor(x), tensor(kernel), **arguments)
    agree(native.upfirdn2d(x, kernel, **arguments), expected, last)


@TYPES
@LAYOUTS
def test_idwt2d(dtype: str, last: bool) -> None:
    x = images(2, 12, 5, 4, dtype=dtype, last=last)
    agree(native.idwt2d(x), ops.haar_idwt2d(tensor(x)), last)


@pytest.mark.parametrize("size", [(3, 4), (20, 9)])
def test_area_resample(size: tuple[int, int]) -> None:
    image, mean, std = numbers(2, 3, 11, 13), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    for arguments in ((), ((1, 2, 9, 8), mean, std)):
        expected = area_resample(tensor(image), size, *arguments)
        agree(native.area_resample(image, size, *arguments), expected)


@TYPES
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_conv2d(dtype: str, up: bool, kernel: int) -> None:
    if up and kernel == 1:
        with pytest.raises(ValueError, match="upsamples with 3x3 kernels only"):
            weight = native.PackedWeight(numbers(4, 4, 1, 1))
            native.modulated_conv2d(images(1, 4, 2, 2, last=True), weight, numbers(1, 4), up=True)
        return
    n, inputs, outputs, height, width = 3, 5, 7, 6, 9
    x = images(n, inputs, height, width, dtype=dtype, last=True)
    weight = numbers(outputs, inputs, kernel, kernel, dtype=dtype)
    scale = 2 if up else 1
    sides = {
        "style": numbers(n, inputs, dtype=dtype),
        "factor": numbers(n, outputs, dtype=dtype),
        "noise": numbers(1, 1, scale * height, scale * width, dtype=dtype),
        "bias": numbers(outputs, dtype=dtype),
        "rgb_weight": numbers(3, outputs, dtype=dtype),
        "rgb_style": numbers(n, outputs, dtype=dtype),
    }
    rest = {"slope": 0.2, "gain": 1.5, "clamp": 4.0}
    packed = native.PackedWeight(weight)
    assert packed.shape == weight.shape
    y, rgb = native.modulated_conv2d(x, packed, noise_strength=0.3, up=up, **sides, **rest)
    expected, image = modulated_conv2d_reference(
        tensor(x),
        tensor(weight),
        noise_strength=torch.tensor(0.3, dtype=tensor(x).dtype),
        up_kernel=ops.resample_kernel(tensor(x).dtype) if up else None,
        **{name: tensor(side) for name, side in sides.items()},
        **rest,
    )
    agree(y, expected, last=True)
    agree(rgb, image)


def narrow(x: np.ndarray) -> np.ndarray:
    return x.astype(ml_dtypes.bfloat16)


def test_bfloat16_is_what_torch_makes_of_it() -> None:
    x, kernel, bias = images(2, 8, 6, 5, last=True), numbers(3, 3), numbers(8)
    weight, style, depthwise = numbers(7, 8, 3, 3), numbers(2, 8), numbers(8, 1, 3, 3)
    pointwise = numbers(7, 8, 1, 1)
    packed, image = native.PackedWeight(weight), torch.from_numpy(x).bfloat16()
    pairs = [
        (native.bias_act(narrow(x), bias), ops.bias_act(image, torch.from_numpy(bias))),
        (
            native.upfirdn2d(narrow(x), kernel, 2),
            ops.upfirdn2d(image, torch.from_numpy(kernel), up=2),
        ),
        (native.idwt2d(narrow(x)), ops.haar_idwt2d(image)),
        (
            native.modulated_conv2d(narrow(x), packed, style)[0],
            ops.modulated_conv2d(image, torch.from_numpy(weight), torch.from_numpy(style))[0],
        ),
        (
            native.separable_conv2d(
                narrow(x), style, None, depthwise, native.PackedWeight(pointwise)
            ),
            ops.separable_conv2d(
                image,
                torch.from_numpy(style),
                None,
                torch.from_numpy(depthwise),
                torch.from_numpy(pointwise),
            ),
        ),
    ]
    for found, expected in pairs:
        assert found.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(found.astype("float32"), expected.float().numpy())
    # One weight serves both precisions.
    y, _ = native.modulated_conv2d(x, packed, style)
    assert y.dtype == np.float32


def test_one_weight_serves_small_and_large_images() -> None:
    weight, style = numbers(18, 17, 3, 3), numbers(1, 17)
    packed = native.PackedWeight(weight)
    for size in (5, 24, 5):
        x = images(1, 17, size, size + 1, last=True)
        y, rgb = native.modulated_conv2d(x, packed, style)
        assert rgb is None
        expected, _ = modulated_conv2d_reference(tensor(x), tensor(weight), tensor(style))
        agree(y, expected, last=True)


@TYPES
@pytest.mark.parametrize("up", [False, True])
def test_separable_conv2d(dtype: str, up: bool) -> None:
    n, channels, outputs, height, width = 2, 6, 5, 4, 7
    scale = 2 if up else 1
    x = images(n, (4 if up else 1) * channels, height, width, dtype=dtype, last=True)
    style, depthwise = numbers(n, channels, dtype=dtype), numbers(channels, 1, 3, 3, dtype=dtype)
    up_style = numbers(n, 4 * channels, dtype=dtype) if up else None
    pointwise, bias = numbers(outputs, channels, 1, 1, dtype=dtype), numbers(outputs, dtype=dtype)
    noise = numbers(1, 1, scale * height, scale * width, dtype=dtype)
    found = native.separable_conv2d(
        x, style, up_style, depthwise, native.PackedWeight(pointwise), bias, noise, 0.3
    )
    expected = separable_conv2d_reference(
        tensor(x),
        tensor(style),
        None if up_style is None else tensor(up_style),
        tensor(depthwise),
        tensor(pointwise),
        tensor(bias),
        tensor(noise),
        0.3,
    )
    agree(found, expected, last=True)


def test_whatever_speaks_dlpack_is_taken_where_it_lies() -> None:
    x = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last)
    agree(native.idwt2d(x), ops.haar_idwt2d(x), last=True)
    readonly = numbers(2, 4, 3, 5)
    readonly.flags.writeable = False
    agree(native.bias_act(readonly), ops.bias_act(tensor(readonly.copy())))


def test_empty_batches() -> None:
    weight = native.PackedWeight(numbers(5, 4, 3, 3))
    y, _ = native.modulated_conv2d(images(0, 4, 6, 6, last=True), weight, numbers(0, 4), up=True)
    assert y.shape == (0, 5, 12, 12)
    assert native.area_resample(numbers(0, 3, 8, 8), (2, 2)).shape == (0, 3, 2, 2)
    assert native.bias_act(numbers(0, 3)).shape == (0, 3)


def conv(x: Any, style: Any = None, **sides: Any) -> object:
    weight = native.PackedWeight(numbers(5, 4, 3, 3))
    style = numbers(1, 4) if style is None else style
    return native.modulated_conv2d(x, weight, style, **sides)


LAST = images(1, 4, 6, 6, last=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv(numbers(1, 4, 6, 6)), ValueError, r"give numpy.ascontiguousarray\(x.transp"),
        (lambda: conv(numbers(4, 6, 6)), ValueError, r"x \[N, I, H, W\], got 3 dimensions"),
        (lambda: conv(LAST[:, :3]), ValueError, "not lie channels last"),
        (lambda: conv(images(1, 3, 6, 6, last=True)), ValueError, "3 channels, the weight takes 4"),
        (lambda: conv(LAST, numbers(1, 5)), ValueError, r"style has shape \[1, 5\] where \[1, 4\]"),
        (
            lambda: conv(LAST, numbers(1, 8)[:, ::2]),
            ValueError,
            r"ascontiguousarray\(style\)",
        ),
        (
            lambda: conv(LAST, numbers(1, 4).astype("float64")),
            TypeError,
            "style is float64 where float32",
        ),
        (lambda: conv(LAST.astype("float64")), TypeError, "weight is not of the type"),
        (
            lambda: conv(narrow(LAST), narrow(numbers(1, 4))),
            TypeError,
            "style is bfloat16 where fl",
        ),
        (lambda: native.PackedWeight(narrow(numbers(5, 4, 3, 3))), TypeError, "weight is bfloat16"),
        (lambda: conv(LAST, rgb_style=numbers(1, 5)), ValueError, "rgb_weight and rgb_style tog"),
        (lambda: conv(LAST, slope=0.0), ValueError, "positive slope"),
        (lambda: native.PackedWeight(numbers(5, 4, 5, 5)), ValueError, "1x1 and 3x3, got 5x5"),
        (
            lambda: native.bias_act([1.0]),
            TypeError,
            "must be a NumPy array or speak DLPack, not",
        ),
        (lambda: native.bias_act(np.zeros((2, 2), "int32")), TypeError, "x is int32, not float32"),
        (lambda: native.bias_act(np.zeros((2, 2), ">f4")), TypeError, "x is >f4, not float32"),
        (lambda: native.bias_act(numbers(4, 4)[:, ::2]), ValueError, "x is not contiguous"),
        (lambda: native.bias_act(numbers(4)), ValueError, r"needs x \[N, C, ...\], got 1"),
        (lambda: native.idwt2d(numbers(1, 6, 2, 2)), ValueError, "four bands a channel, got 6"),
        (
            lambda: native.upfirdn2d(numbers(1, 1, 2, 2), numbers(3, 3)),
            ValueError,
            "smaller than the kernel",
        ),
        (
            lambda: native.area_resample(numbers(1, 3, 4, 4), (2, 2), (0, 0, 5, 4)),
            ValueError,
            "inside the image of 4x4",
        ),
        (
            lambda: native.area_resample(numbers(1, 3, 4, 4, dtype="float64"), (2, 2)),
            TypeError,
            "image is not float32",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    "crop",
    [(HUGE, 0, 1, 1), (0, HUGE, 1, 2), (1, 0, HUGE, 1), (0, 0, 1, HUGE), (-HUGE, 0, HUGE, 1)],
)
def test_no_crop_wraps_round_into_the_image(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="inside the image of 4x4"):
        native.area_resample(numbers(1, 3, 4, 4), (2, 2), crop)


@pytest.mark.parametrize(
    "arguments",
    [
        {"up": 2**32},
        {"down": 2**32},
        {"up": HUGE, "down": HUGE},
        {"padding": (HUGE, 1, 0, 0)},
        {"padding": (0, 0, -HUGE, 1)},
    ],
)
def test_no_factor_or_padding_overflows(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"below 2\^31"):
        native.upfirdn2d(numbers(1, 1, 2, 2), numbers(1, 1), **arguments)


def test_no_array_is_read_beside_its_type() -> None:
    x = np.frombuffer(b"\0" + numbers(2, 4, 3, 5).tobytes(), np.float32, 120, 1).reshape(2, 4, 3, 5)
    with pytest.raises(ValueError, match=r"give x.copy\(\)"):
        native.bias_act(x)
    with pytest.raises(ValueError, match=r"2\^31 or more"):
        native.PackedWeight(np.zeros((0, 0, 2**32 + 3, 3), np.float32))


def test_an_image_of_no_outputs_is_black() -> None:
    weight, sides = native.PackedWeight(numbers(0, 4, 3, 3)), (numbers(3, 0), numbers(2, 0))
    x = images(2, 4, 60, 60, last=True)
    _, rgb = native.modulated_conv2d(
        x, weight, numbers(2, 4), rgb_weight=sides[0], rgb_style=sides[1]
    )
    assert rgb.shape == (2, 3, 60, 60)
    assert not rgb.any()


def test_without_torch_and_on_several_threads() -> None:
    script = (
        "import sys, numpy as np; from styleclip_rt import _native as native;"
        "x = np.ones((1, 4, 512, 512), np.float32); y = native.idwt2d(x);"
        "print(float(y.sum()), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["524288.0", "False"], done.stderr
