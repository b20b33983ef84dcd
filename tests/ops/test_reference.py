"""The plain PyTorch operators against definitions written as loops, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt.ops import reference as ops


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
            ops.upfirdn2d(x, kernel, up, down, padding, gain)
        return
    expected = upfirdn2d_by_loops(x, kernel, up, down, padding, gain)
    torch.testing.assert_close(ops.upfirdn2d(x, kernel, up, down, padding, gain), expected)


def test_upsampling_keeps_a_constant_image_away_from_the_border():
    x = torch.full((1, 1, 6, 6), 0.7, dtype=torch.float64)
    kernel = ops.resample_kernel(torch.float64)
    out = ops.upfirdn2d(x, kernel, up=2, padding=(2, 1, 2, 1), gain=4.0)
    assert out.shape == (1, 1, 12, 12)
    torch.testing.assert_close(out[..., 2:-2, 2:-2], torch.full_like(out[..., 2:-2, 2:-2], 0.7))


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("slope", [0.2, 1.0])
def test_bias_act_is_its_definition(clamp, with_bias, slope):
    x, bias = rand(2, 3, 2, 2), rand(3) if with_bias else None
    out = ops.bias_act(x, bias, slope=slope, gain=1.5, clamp=clamp)
    for i, j, y, z in torch.cartesian_prod(*(torch.arange(s) for s in x.shape)).tolist():
        value = x[i, j, y, z].item() + (bias[j].item() if bias is not None else 0.0)
        value = 1.5 * (value if value >= 0 else slope * value)
        value = value if clamp is None else max(-clamp, min(clamp, value))
        assert out[i, j, y, z].item() == pytest.approx(value, abs=1e-12)


def test_bias_act_takes_vectors():
    x, bias = rand(2, 3), rand(3)
    expected = torch.where(x + bias > 0, x + bias, 0.2 * (x + bias)) * math.sqrt(2)
    torch.testing.assert_close(ops.bias_act(x, bias), expected)


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
    out = ops.modulated_conv2d(x, weight, style, factor, kernel)
    assert out.shape[2:] == ((6, 8) if up else (3, 4))
    torch.testing.assert_close(out, modulated_by_loops(x, weight, style, demodulate, up))


@pytest.mark.parametrize("up", [False, True])
def test_modulated_layer_is_differentiable(up):
    weight, bias = rand(2, 3, 3, 3), rand(2)
    kernel = ops.resample_kernel(torch.float64) if up else None

    def layer(x, style):
        factor = ops.demodulation(style, weight.square().sum((2, 3)))
        return ops.bias_act(ops.modulated_conv2d(x, weight, style, factor, kernel), bias)

    assert torch.autograd.gradcheck(
        layer, (rand(2, 3, 3, 3).requires_grad_(), rand(2, 3).requires_grad_())
    )


def test_memory_format_is_kept():
    x = rand(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)
    out = ops.modulated_conv2d(x, rand(4, 4, 3, 3), rand(2, 4), None, ops.resample_kernel(x.dtype))
    assert ops.bias_act(out, rand(4)).is_contiguous(memory_format=torch.channels_last)
