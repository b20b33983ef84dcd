import math
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.ops import _library
from styleclip_rt.ops.modulated_conv2d import modulated_conv2d_reference

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")

SIDES = ("style", "factor", "noise", "noise_strength", "bias", "rgb_weight", "rgb_style")
SLOPE, GAIN = 0.2, math.sqrt(2)


def problem(n=2, inputs=5, outputs=7, height=3, width=4, k=3, up=False, noises=1, dtype=None):
    dtype = dtype or torch.float64
    scale = 2 if up else 1

    def rand(*shape):
        return torch.randn(shape, dtype=dtype)

    return {
        "x": rand(n, inputs, height, width),
        "weight": rand(outputs, inputs, k, k) / math.sqrt(inputs * k * k),
        "style": rand(n, inputs),
        "factor": rand(n, outputs).abs() + 0.5,
        "noise": rand(noises, 1, scale * height, scale * width),
        "noise_strength": rand(),
        "bias": rand(outputs),
        "rgb_weight": rand(3, outputs),
        "rgb_style": rand(n, outputs),
    }


def compiled(tensors, up, clamp=None):
    op = torch.ops.styleclip_rt.modulated_conv2d
    return op(*(tensors.get(name) for name in ("x", "weight", *SIDES)), up, SLOPE, GAIN, clamp)


def by_reference(tensors, up, clamp=None):
    kernel = ops.resample_kernel(tensors["x"].dtype) if up else None
    return modulated_conv2d_reference(
        **tensors, up_kernel=kernel, slope=SLOPE, gain=GAIN, clamp=clamp
    )


def by_definition(t: dict[str, Tensor], up: bool, clamp: float) -> tuple[Tensor, Tensor]:
    """Loop over every output sample and sum what reaches it."""
    x, weight = t["x"], t["weight"]
    n, _, height, width = x.shape
    outputs, _, k, _ = weight.shape
    taps = [0.25, 0.75, 0.75, 0.25]
    out_height, out_width = height * (1 + up), width * (1 + up)
    y = torch.zeros(n, outputs, out_height, out_width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            for ky in range(k):
                for kx in range(k):
                    part = (x[:, :, i, j] * t["style"]) @ weight[:, :, ky, kx].T
                    if not up:
                        v, u = i + k // 2 - ky, j + k // 2 - kx
                        if 0 <= v < out_height and 0 <= u < out_width:
                            y[:, :, v, u] += part
                        continue
                    for a, row_tap in enumerate(taps):
                        for b, column_tap in enumerate(taps):
                            v, u = 2 * i + ky - a + 1, 2 * j + kx - b + 1
                            if 0 <= v < out_height and 0 <= u < out_width:
                                y[:, :, v, u] += row_tap * column_tap * part
    y = y * t["factor"][:, :, None, None] + t["noise"] * t["noise_strength"]
    y = y + t["bias"][:, None, None]
    y = (torch.where(y > 0, y, SLOPE * y) * GAIN).clamp(-clamp, clamp)
    return y, torch.einsum("nohw,jo,no->njhw", y, t["rgb_weight"], t["rgb_style"])


@given(
    n=st.integers(0, 2), inputs=st.integers(1, 35), outputs=st.integers(1, 35),
    height=st.integers(1, 4), width=st.integers(1, 5), form=st.sampled_from(["1x1", "3x3", "up"]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    per_sample=st.booleans(), view=st.booleans(), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_equals_the_definition_for_any_shape(
    n, inputs, outputs, height, width, form, dtype, per_sample, view, seed
):
    torch.manual_seed(seed)
    up, k = form == "up", 1 if form == "1x1" else 3
    wide = problem(n, inputs, outputs, height, width, k, up, n if per_sample else 1)
    wide["x"] = wide["x"].to(dtype).double()
    expected = by_definition(wide, up, 2.5)
    side = torch.float64 if dtype == torch.float64 else torch.float32
    narrow = {name: tensor.to(side) for name, tensor in wide.items()}
    narrow["x"] = wide["x"].to(dtype)
    if view:
        narrow["x"] = narrow["x"].repeat(1, 2, 1, 2)[:, ::2, :, :width].contiguous()
        narrow["x"] = wide["x"].to(dtype).transpose(2, 3).contiguous().transpose(2, 3)
    y, rgb = compiled(narrow, up, 2.5)
    assert y.dtype == dtype
    # Upsampling rounds differences of neighbours, which are larger than they in this white noise.
    narrow_tolerance = 6e-2 if up else 3e-2
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: narrow_tolerance}[dtype]
    torch.testing.assert_close(y.double(), expected[0], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(rgb.double(), expected[1], rtol=tolerance, atol=4 * tolerance)


@settings(max_examples=40)
@given(
    n=st.integers(0, 2), inputs=st.integers(14, 40), outputs=st.integers(14, 40),
    height=st.integers(1, 20), width=st.integers(200, 300), transposed=st.booleans(),
    up=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_larger_layers_equal_the_reference(
    n, inputs, outputs, height, width, transposed, up, dtype, seed
):
    torch.manual_seed(seed)
    if transposed:
        height, width = width, height
    wide = problem(n, inputs, outputs, height, width, up=up)
    wide["x"] = wide["x"].to(dtype).double()
    expected = by_reference(wide, up, 2.5)
    side = torch.float64 if dtype == torch.float64 else torch.float32
    narrow = {name: tensor.to(side) for name, tensor in wide.items()}
    y, rgb = compiled({**narrow, "x": wide["x"].to(dtype)}, up, 2.5)
    bound = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 2e-2}[dtype]
    for found, wanted in zip((y, rgb), expected, strict=True):
        assert (found.double() - wanted).norm() <= bound * wanted.norm()


def gradients(tensors, up, function, grads, names):
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}
    outputs = function(leaves, up, 3.0)
    grads = [grad.to(output.dtype) for grad, output in zip(grads, outputs, strict=True)]
    return torch.autograd.grad(outputs, [leaves[name] for name in names], grads)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 64, 33, 9, 31), (3, 20, 40, 5, 2), (1, 33, 17, 3, 301), (1, 20, 18, 33, 63)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_gradients_equal_the_reference(up, shape, dtype):
    torch.manual_seed(0)
    wide = problem(*shape, up=up)
    wide["x"] = wide["x"].to(dtype).double()
    names = ["x", "style", "factor", "noise_strength", "rgb_style"]
    made = by_reference(wide, up, 3.0)
    grads = [torch.randn_like(each) for each in made]
    grads[0] += wide["noise"]  # else the gradient of its strength is a sum that cancels out
    expected = gradients(wide, up, by_reference, grads, names)
    side = torch.float64 if dtype == torch.float64 else torch.float32
    narrow = {name: tensor.to(side) for name, tensor in wide.items()}
    narrow["x"] = narrow["x"].to(dtype)
    for name in ("weight", "noise", "bias", "rgb_weight"):
        narrow[name] = narrow[name].detach()

    def kernels(leaves, up, clamp):
        return compiled({**leaves, **{k: narrow[k] for k in narrow if k not in names}}, up, clamp)

    found = gradients(narrow, up, kernels, grads, names)
    # In bfloat16 a few samples round onto the clamp, whose gradient is zero.
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.2}[dtype]
    for name, one, other in zip(names, found, expected, strict=True):
        error = (one.double() - other).norm() / other.norm()
        assert error < tolerance, f"{name}: {error}"


@pytest.mark.parametrize("up", [False, True])
def test_gradcheck_through_the_kernels_and_twice(up):
    torch.manual_seed(1)
    tensors = problem(1, 2, 3, 2, 3, up=up)
    names = ["x", "style", "factor", "noise_strength", "rgb_style"]
    leaves = [tensors[name].requires_grad_() for name in names]

    def function(*values):
        return compiled({**tensors, **dict(zip(names, values, strict=True))}, up)

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_clamped_sample_gets_no_gradient(dtype):
    torch.manual_seed(2)
    tensors = problem(dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    x = (100 * tensors.pop("x")).to(dtype).requires_grad_()
    # 0.7 is not a bfloat16: the nearest lies below.
    y, _ = compiled({**tensors, "x": x, "noise": None, "noise_strength": None}, False, 0.7)
    samples = (y.abs() >= y.abs().max()).to(dtype)
    assert samples.mean() > 0.5
    assert torch.autograd.grad(y, x, samples)[0].abs().max() == 0


def test_weights_get_their_gradient_from_torch_s_own_operators():
    tensors = problem(up=True)
    names = ["x", "weight", "bias", "noise", "rgb_weight", "style"]
    grads = [torch.randn_like(each) for each in by_reference(tensors, True, 3.0)]
    expected = gradients(tensors, True, by_reference, grads, names)
    found = gradients(tensors, True, compiled, grads, names)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_a_changed_weight_is_packed_anew():
    tensors = problem(dtype=torch.float32)
    before = compiled(tensors, False)[0]
    tensors["weight"].mul_(2)
    expected = by_reference(tensors, False)[0]
    after = compiled(tensors, False)[0]
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("up", [False, True])
def test_opcheck(up, dtype):
    tensors = problem(dtype=torch.float32, up=up)
    tensors["x"] = tensors["x"].to(dtype).requires_grad_()
    tensors["style"].requires_grad_()
    op = torch.ops.styleclip_rt.modulated_conv2d.default
    arguments = tuple(tensors[name] for name in ("x", "weight", *SIDES))
    torch.library.opcheck(op, (*arguments, up, SLOPE, GAIN, 5.0))
    torch.library.opcheck(op, (*arguments[:3], *(None,) * 6, up, SLOPE, GAIN, None))


class Layer(torch.nn.Module):
    def __init__(self, up: bool) -> None:
        super().__init__()
        tensors = problem(dtype=torch.float32, up=up)
        self.x = tensors.pop("x")
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.kernel = ops.resample_kernel() if up else None

    def forward(self, x: Tensor) -> Tensor:
        y, rgb = ops.modulated_conv2d(
            x, self.weight, self.style, self.factor, self.noise, self.noise_strength, self.bias,
            self.rgb_weight, self.rgb_style, self.kernel, 0.2, 1.4, None,
        )  # fmt: skip
        return y.mean() + rgb


def test_export_traces_the_op_or_standard_operators():
    layer = Layer(up=True)
    expected = layer(layer.x)
    program = torch.export.export(layer, (layer.x,))
    assert any("styleclip_rt" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(layer.x), expected)
    with ops.standard_ops():
        program = torch.export.export(layer, (layer.x,))
    assert not any("styleclip_rt" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(layer.x), expected)


def test_compiles_whole_and_scripts():
    layer = Layer(up=False)
    x = layer.x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(layer(x).sum(), x)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(whole(x).sum(), x)
    torch.testing.assert_close(found, expected)
    traced = torch.jit.trace(layer, layer.x)
    torch.testing.assert_close(traced(layer.x), layer(layer.x))


def test_autocast_computes_in_bfloat16():
    layer = problem(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, rgb = compiled(layer, False)
    assert y.dtype == torch.bfloat16 and rgb.dtype == torch.float32
    torch.testing.assert_close(rgb, compiled(layer, False)[1], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.ones(2, 5, 3)}, ValueError, "needs activations"),
        ({"x": torch.ones(2, 5, 3, 4, dtype=torch.int32)}, TypeError, "does not take Int"),
        ({"x": torch.ones(2, 5, 3, 4, dtype=torch.half)}, TypeError, "does not take Half"),
        ({"weight": torch.ones(7, 4, 3, 3)}, ValueError, "weight has shape"),
        ({"weight": torch.ones(7, 5, 5, 5)}, ValueError, "takes kernels of 3x3"),
        ({"style": torch.ones(2, 4)}, ValueError, "style has shape"),
        ({"style": torch.ones(2, 5, device="meta")}, ValueError, "style is on meta"),
        ({"noise": torch.ones(1, 1, 3, 5)}, ValueError, "noise has shape"),
        ({"noise_strength": None}, ValueError, "noise and noise_strength together"),
        ({"rgb_style": None}, ValueError, "rgb_weight and rgb_style together"),
        ({"bias": torch.ones(7, dtype=torch.int64)}, TypeError, "bias is Long"),
    ],
)
def test_bad_input_raises_before_a_kernel_starts(change, error, message):
    with pytest.raises(error, match=message):
        compiled({**problem(dtype=torch.float32), **change}, False)


def test_threads_share_the_work():
    tensors = problem(1, 64, 64, 256, 256, dtype=torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compiled(tensors, False)
        begin = time.process_time(), time.thread_time()
        for _ in range(3):
            compiled(tensors, False)
        whole, own = time.process_time() - begin[0], time.thread_time() - begin[1]
    finally:
        torch.set_num_threads(threads)
    assert whole > 1.3 * own, "all was done by one thread"
