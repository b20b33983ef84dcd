import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.separable_conv2d import separable_conv2d_reference

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

NAMES = ("x", "style", "up_style", "depthwise", "pointwise", "bias", "noise")
LATENT = ("x", "style", "up_style")
SLOPE = 0.2


def problem(n=2, channels=5, outputs=7, height=3, width=4, up=True, dtype=torch.float64):
    def rand(*shape):
        return torch.randn(shape, dtype=dtype)

    scale = 2 if up else 1
    return {
        "x": rand(n, channels * scale**2, height, width),
        "style": rand(n, channels),
        "up_style": rand(n, 4 * channels) if up else None,
        "depthwise": rand(channels, 1, 3, 3) / 3,
        "pointwise": rand(outputs, channels, 1, 1) / channels**0.5,
        "bias": rand(outputs),
        "noise": rand(1, 1, scale * height, scale * width),
    }


def cast_sides(tensors, dtype):
    side = torch.float64 if dtype == torch.float64 else torch.float32
    cast = {name: None if t is None else t.to(side) for name, t in tensors.items()}
    return {**cast, "x": tensors["x"].to(dtype)}


def compiled(tensors):
    return torch.ops.styleclip_rt.separable_conv2d(*(tensors[name] for name in NAMES), SLOPE)


def by_reference(tensors):
    return separable_conv2d_reference(*(tensors[name] for name in NAMES), SLOPE)


def by_definition(t: dict[str, Tensor]) -> Tensor:
    """Loop over every sample of the wavelet's image and add what it gives to the output."""
    x, c = t["x"], t["style"].shape[1]
    n, _, height, width = x.shape
    z = x
    if t["up_style"] is not None:
        x = x * t["up_style"][:, :, None, None]
        z = torch.zeros(n, c, 2 * height, 2 * width, dtype=x.dtype)
        for channel in range(c):
            for band in range(4):
                plane = x[:, channel] if band == 0 else x[:, c + 3 * channel + band - 1]
                for i in range(2):
                    for j in range(2):
                        sign = (-1) ** ((band in (1, 3)) * i + (band in (2, 3)) * j)
                        z[:, channel, i::2, j::2] += 0.5 * sign * plane
    height, width = z.shape[2:]
    mixed = torch.zeros_like(z)
    for i in range(height):
        for j in range(width):
            for ky in range(3):
                for kx in range(3):
                    v, u = i + 1 - ky, j + 1 - kx
                    if 0 <= v < height and 0 <= u < width:
                        tap = t["style"] * t["depthwise"][:, 0, ky, kx]
                        mixed[:, :, v, u] += z[:, :, i, j] * tap
    y = torch.einsum("nchw,oc->nohw", mixed, t["pointwise"][:, :, 0, 0])
    y = y + t["bias"][:, None, None] + t["noise"]
    return torch.where(y > 0, y, SLOPE * y)


@given(
    n=st.integers(0, 2), channels=st.integers(1, 35), outputs=st.integers(1, 35),
    height=st.integers(1, 4), width=st.integers(1, 5), up=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    view=st.booleans(), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_equals_the_definition_for_any_shape(
    n, channels, outputs, height, width, up, dtype, view, seed
):
    torch.manual_seed(seed)
    wide = problem(n, channels, outputs, height, width, up)
    wide["x"] = wide["x"].to(dtype).double()
    narrow = cast_sides(wide, dtype)
    if view:
        narrow["x"] = narrow["x"].transpose(2, 3).contiguous().transpose(2, 3)
    y = compiled(narrow)
    assert y.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(y.double(), by_definition(wide), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 33, 9, 31), (3, 20, 40, 5, 2), (1, 3, 1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_gradients_equal_the_reference(up, shape, dtype):
    torch.manual_seed(0)
    wide = problem(*shape, up=up)
    wide["x"] = wide["x"].to(dtype).double()
    names = [name for name in LATENT if wide[name] is not None]
    grad = torch.randn_like(by_reference(wide))

    def gradients(tensors, function):
        leaves = dict(tensors)
        for name in names:
            leaves[name] = tensors[name].detach().requires_grad_()
        y = function(leaves)
        return torch.autograd.grad(y, [leaves[name] for name in names], grad.to(y.dtype))

    found = gradients(cast_sides(wide, dtype), compiled)
    # In bfloat16 a few samples round to the other side of the leaky ReLU's kink.
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.15}[dtype]
    for name, one, other in zip(names, found, gradients(wide, by_reference), strict=True):
        error = (one.double() - other).norm() / other.norm()
        assert error < tolerance, f"{name}: {error}"


@pytest.mark.parametrize("up", [False, True])
def test_gradcheck_through_the_kernels_and_twice(up):
    torch.manual_seed(1)
    tensors = problem(1, 2, 3, 2, 3, up)
    names = [name for name in LATENT if tensors[name] is not None]
    leaves = [tensors[name].requires_grad_() for name in names]

    def function(*values):
        return compiled({**tensors, **dict(zip(names, values, strict=True))})

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


def test_weights_get_their_gradient_from_torch_s_own_operators():
    tensors = problem()
    names = [name for name in NAMES if name != "x"]
    leaves = {**tensors, **{name: tensors[name].requires_grad_() for name in names}}
    inputs = [leaves[name] for name in names]
    grad = torch.randn_like(by_reference(tensors))
    expected = torch.autograd.grad(by_reference(leaves), inputs, grad)
    torch.testing.assert_close(torch.autograd.grad(compiled(leaves), inputs, grad), expected)


@pytest.mark.parametrize("up", [False, True])
def test_opcheck(up):
    tensors = problem(up=up, dtype=torch.float32)
    tensors["x"].requires_grad_()
    tensors["style"].requires_grad_()
    arguments = (*(tensors[name] for name in NAMES), SLOPE)
    torch.library.opcheck(torch.ops.styleclip_rt.separable_conv2d.default, arguments)


def test_autocast_computes_in_bfloat16():
    tensors = problem(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = compiled(tensors)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), compiled(tensors), rtol=0.05, atol=0.05)


def test_standard_ops_leave_the_kernels_out():
    tensors = problem(dtype=torch.float32)
    arguments = [tensors[name] for name in NAMES]
    with ops.standard_ops(), torch.profiler.profile() as profile:
        ops.separable_conv2d(*arguments, SLOPE)
    assert not any("styleclip_rt" in event.key for event in profile.key_averages())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.ones(2, 20, 3)}, ValueError, "needs activations"),
        ({"x": torch.ones(2, 20, 3, 4, dtype=torch.int32)}, TypeError, "does not take Int"),
        ({"x": torch.ones(2, 5, 3, 4)}, ValueError, "got 5 channels"),
        ({"style": torch.ones(2, 4)}, ValueError, "style has shape"),
        ({"style": torch.ones(2, 5, device="meta")}, ValueError, "style is on meta"),
        ({"up_style": torch.ones(2, 5)}, ValueError, "up_style has shape"),
        ({"depthwise": torch.ones(5, 1, 1, 1)}, ValueError, "depthwise has shape"),
        ({"pointwise": torch.ones(7, 4, 1, 1)}, ValueError, "pointwise has shape"),
        ({"noise": torch.ones(1, 1, 3, 4)}, ValueError, "noise has shape"),
        ({"bias": torch.ones(7, dtype=torch.int64)}, TypeError, "bias is Long"),
    ],
)
def test_bad_input_raises_before_a_kernel_starts(change, error, message):
    with pytest.raises(error, match=message):
        compiled({**problem(dtype=torch.float32), **change})
