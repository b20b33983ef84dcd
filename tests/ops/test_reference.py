"""The plain PyTorch operators against definitions written as loops, in float64."""

import importlib
import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.bias_act import bias_act_reference
from styleclip_rt.ops.modulated_conv2d import modulated_conv2d_reference
from styleclip_rt.ops.upfirdn2d import upfirdn2d_reference


def rand(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def upfirdn2d_by_loops(x, kernel, up, down, padding, gain):
    n, c, h, w = x.shape
    left, right, top, bottom = padding
    kh, kw = kernel.shape
    height, width = h * up + top + bottom, w * up + left + right

    def sample(i, j, row, column):
        row, column = row - top, column - left
        inside = 0 <= row < h * up and 0 <= column < w * up
        if not inside or row % up or column % up:
            return 0.0
        return x[i, j, row // up, column // up].item()

    out = torch.zeros(
        n, c, (height - kh) // down + 1, (width - kw) // down + 1, dtype=torch.float64
    )
    for i, j, y, z in torch.cartesian_prod(*(torch.arange(s) for s in out.shape)).tolist():
        out[i, j, y, z] = gain * sum(
            kernel[a, b].item() * sample(i, j, y * down + kh - 1 - a, z * down + kw - 1 - b)
            for a in range(kh)
            for b in range(kw)
        )
    return out


@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(3, 5), st.integers(3, 5)),
    taps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    up=st.integers(1, 3),
    down=st.integers(1, 3),
    padding=st.tuples(*[st.integers(-1, 2)] * 4),
    gain=st.sampled_from([1.0, 4.0]),
)
def test_upfirdn2d_is_its_definition(size, taps, up, down, padding, gain):
    x, kernel = rand(*size), rand(*taps)
    left, right, top, bottom = padding
    if size[2] * up + top + bottom < taps[0] or size[3] * up + left + right < taps[1]:
        with pytest.raises(ValueError, match="smaller than the kernel"):
            upfirdn2d_reference(x, kernel, up, down, padding, gain)
        return
    expected = upfirdn2d_by_loops(x, kernel, up, down, padding, gain)
    torch.testing.assert_close(upfirdn2d_reference(x, kernel, up, down, padding, gain), expected)


def test_upsampling_keeps_a_constant_image_away_from_the_border():
    x = torch.full((1, 1, 6, 6), 0.7, dtype=torch.float64)
    kernel = ops.resample_kernel(torch.float64)
    out = upfirdn2d_reference(x, kernel, up=2, padding=(2, 1, 2, 1), gain=4.0)
    assert out.shape == (1, 1, 12, 12)
    torch.testing.assert_close(out[..., 2:-2, 2:-2], torch.full_like(out[..., 2:-2, 2:-2], 0.7))


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("slope", [0.2, 1.0])
def test_bias_act_is_its_definition(clamp, with_bias, slope):
    x, bias = rand(2, 3, 2, 2), rand(3) if with_bias else None
    out = bias_act_reference(x, bias, slope=slope, gain=1.5, clamp=clamp)
    for i, j, y, z in torch.cartesian_prod(*(torch.arange(s) for s in x.shape)).tolist():
        value = x[i, j, y, z].item() + (bias[j].item() if bias is not None else 0.0)
        value = 1.5 * (value if value >= 0 else slope * value)
        value = value if clamp is None else max(-clamp, min(clamp, value))
        assert out[i, j, y, z].item() == pytest.approx(value, abs=1e-12)


def test_bias_act_takes_vectors():
    x, bias = rand(2, 3), rand(3)
    expected = torch.where(x + bias > 0, x + bias, 0.2 * (x + bias)) * math.sqrt(2)
    torch.testing.assert_close(bias_act_reference(x, bias), expected)


def modulated_by_loops(x, weight, style, demodulate, up):
    """The weight-modulated definition: Karras et al. 2020, eq. 1 and 3, one weight a sample."""
    n, _, h, w = x.shape
    outputs, k = weight.shape[0], weight.shape[-1]
    size = (2 * h + k - 2, 2 * w + k - 2) if up else (h, w)
    out = torch.zeros(n, outputs, *size, dtype=torch.float64)
    for i in range(n):
        modulated = weight * style[i][None, :, None, None]
        if demodulate:
            norm = (modulated.square().sum((1, 2, 3)) + 1e-8).sqrt()
            modulated = modulated / norm[:, None, None, None]
        for y in range(h):
            for z in range(w):
                for a in range(k):
                    for b in range(k):
                        if up:  # every sample scatters the unflipped weight
                            out[i, :, 2 * y + a, 2 * z + b] += modulated[:, :, a, b] @ x[i, :, y, z]
                            continue
                        row, column = y + a - k // 2, z + b - k // 2
                        if 0 <= row < h and 0 <= column < w:
                            out[i, :, y, z] += modulated[:, :, a, b] @ x[i, :, row, column]
    if not up:
        return out
    before, after = (6 - k) // 2, (5 - k) // 2
    kernel = ops.resample_kernel(torch.float64)
    return upfirdn2d_by_loops(out, kernel, 1, 1, (before, after, before, after), 4.0)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("size", [1, 3])
def test_modulated_conv2d_is_the_weight_modulated_definition(up, demodulate, size):
    x, weight, style = rand(2, 3, 3, 4), rand(4, 3, size, size), rand(2, 3)
    factor = ops.demodulation(style, weight.square().sum((2, 3))) if demodulate else None
    kernel = ops.resample_kernel(torch.float64) if up else None
    out = modulated_conv2d_reference(x, weight, style, factor, up_kernel=kernel)[0]
    assert out.shape[2:] == ((6, 8) if up else (3, 4))
    torch.testing.assert_close(out, modulated_by_loops(x, weight, style, demodulate, up))


@pytest.mark.parametrize("up", [False, True])
def test_modulated_layer_is_differentiable(up):
    weight, bias = rand(2, 3, 3, 3), rand(2)
    kernel = ops.resample_kernel(torch.float64) if up else None

    def layer(x, style):
        factor = ops.demodulation(style, weight.square().sum((2, 3)))
        return bias_act_reference(
            modulated_conv2d_reference(x, weight, style, factor, up_kernel=kernel)[0], bias
        )

    assert torch.autograd.gradcheck(
        layer, (rand(2, 3, 3, 3).requires_grad_(), rand(2, 3).requires_grad_())
    )


def test_memory_format_is_kept():
    x = rand(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)
    kernel = ops.resample_kernel(x.dtype)
    out, _ = modulated_conv2d_reference(x, rand(4, 4, 3, 3), rand(2, 4), up_kernel=kernel)
    assert bias_act_reference(out, rand(4)).is_contiguous(memory_format=torch.channels_last)


COMPILED = [
    "area_resample",
    "bias_act",
    "conv2d",
    "haar_dwt2d",
    "haar_idwt2d",
    "linear",
    "modulated_conv2d",
    "separable_conv2d",
    "squeeze_excite",
    "upfirdn2d",
]


def twin(name):
    return getattr(importlib.import_module(getattr(ops, name).__module__), f"{name}_reference")


@pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")
def test_the_list_of_compiled_ops_is_complete():
    names = {name.split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    prefix = "styleclip_rt::"
    registered = {name[len(prefix) :] for name in names if name.startswith(prefix)}
    helpers = {"version", "conv2d_pixels", "area_resample_transpose"}
    forward = {name for name in registered - helpers if not name.endswith("_backward")}
    assert forward == {name.removeprefix("haar_") for name in COMPILED}


@pytest.mark.parametrize("name", COMPILED)
def test_every_compiled_op_is_public_and_has_a_twin_with_its_arguments(name):
    assert name in ops.__all__
    op, reference = inspect.signature(getattr(ops, name)), inspect.signature(twin(name))
    assert list(op.parameters.values()) == list(reference.parameters.values())


ARGUMENTS = {
    "area_resample": lambda: (rand(2, 3, 7, 9).float(), (3, 5), (1, 2, 6, 5), [0.1] * 3, [2.0] * 3),
    "bias_act": lambda: (rand(2, 3, 4, 5), rand(3), 0.3, 1.5, 1.0),
    "conv2d": lambda: (rand(2, 3, 16, 17), rand(4, 3, 3, 3), *(rand(c) for c in (4, 4, 3, 3, 3))),
    "haar_dwt2d": lambda: (rand(2, 3, 4, 6),),
    "haar_idwt2d": lambda: (rand(2, 12, 4, 5),),
    "linear": lambda: (rand(2, 5, 7), rand(4, 7), rand(4)),
    "modulated_conv2d": lambda: (
        *(
            rand(2, 3, 4, 5),
            rand(4, 3, 3, 3),
            rand(2, 3),
            rand(2, 4),
            rand(1, 1, 8, 10),
            rand(1)[0],
        ),
        *(rand(4), rand(3, 4), rand(2, 4), ops.resample_kernel(torch.float64), 0.2, 1.5, 2.0),
    ),
    "separable_conv2d": lambda: (
        *(rand(2, 12, 4, 5), rand(2, 3), rand(2, 12), rand(3, 1, 3, 3), rand(4, 3, 1, 1)),
        *(rand(4), rand(1, 1, 8, 10), 0.3),
    ),
    "squeeze_excite": lambda: (rand(2, 6, 4, 5), rand(2, 6, 4, 5, seed=1), rand(2, 6), rand(6, 2)),
    "upfirdn2d": lambda: (rand(2, 3, 4, 5), rand(3, 4), 2, 3, (2, 1, 0, 3), 1.5),
}


@pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")
@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_op_is_its_twin(name):
    arguments = ARGUMENTS[name]()
    found, expected = getattr(ops, name)(*arguments), twin(name)(*arguments)
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, check_dtype=name == "area_resample")
