"""The ops on a GPU against their definitions in float64, and inside a CUDA graph.

Without a GPU the same registrations can run on emulated kernels: `make cuda-check` sets
STYLECLIP_EMULATED_CUDA to a library that puts them in the place of the CPU's.
"""

import os

import pytest
import torch
from torch import Tensor

from styleclip_rt.ops import _library, haar_idwt2d, resample_kernel
from styleclip_rt.ops.area_resample import area_resample_reference
from styleclip_rt.ops.bias_act import bias_act_reference
from styleclip_rt.ops.modulated_conv2d import modulated_conv2d_reference
from styleclip_rt.ops.upfirdn2d import upfirdn2d_reference

EMULATED = os.environ.get("STYLECLIP_EMULATED_CUDA")
DEVICE = "cpu" if EMULATED else "cuda"
HALVES = [torch.bfloat16] if EMULATED else [torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
# Where rounding turns a sign, the leaky ReLU has another slope, and rightly.
GRADIENT_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 8e-2}

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not EMULATED and not torch.cuda.is_available(), reason="needs a GPU"),
]
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, *HALVES])


@pytest.fixture(scope="module", autouse=True)
def exact() -> None:
    assert _library.load(), "the compiled ops are missing"
    if EMULATED:
        torch.ops.load_library(EMULATED)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Ops:
    """torch.ops.styleclip_rt; an op that this build does not define skips the test."""

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        if not hasattr(torch.ops.styleclip_rt, name):
            pytest.skip(f"this build defines no op {name}")
        return getattr(torch.ops.styleclip_rt, name)


def ops() -> Ops:
    return Ops()


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(DEVICE, dtype)


def close(
    got: Tensor,
    expected: Tensor,
    dtype: torch.dtype,
    tolerance: dict[torch.dtype, float] = TOLERANCE,
) -> None:
    """Within what the dtype rounds, as a whole."""
    assert got.shape == expected.shape
    if expected.numel() == 0:
        return
    error = (got.double() - expected).norm() / expected.norm().clamp_min(1e-6)
    assert error <= tolerance[dtype], f"{float(error):.2e} off"


def same_with_gradients(op, definition, inputs, dtype) -> None:  # type: ignore[no-untyped-def]
    """Outputs and gradients of `op` equal those of the float64 `definition`."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    exact = [each.detach().double().requires_grad_() for each in inputs]
    got, expected = op(*leaves), definition(*exact)
    got = [got] if isinstance(got, Tensor) else [each for each in got if each.numel()]
    expected = [expected] if isinstance(expected, Tensor) else expected
    # Of one sign, so that sums of gradients do not cancel to nothing but rounding.
    weights = [torch.rand_like(each) for each in expected]
    for one, two in zip(got, expected, strict=True):
        close(one, two, dtype)
    grads = torch.autograd.grad(
        sum((a.double() * w).sum() for a, w in zip(got, weights, strict=True)), leaves
    )
    exact_grads = torch.autograd.grad(
        sum((a * w).sum() for a, w in zip(expected, weights, strict=True)), exact
    )
    for one, two in zip(grads, exact_grads, strict=True):
        close(one, two, dtype, GRADIENT_TOLERANCE)


@each_dtype
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_bias_act(dtype: torch.dtype, channels_last: bool, clamp: float | None) -> None:
    x = draw(2, 24, 7, 5, dtype=dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    bias = draw(24)
    same_with_gradients(
        lambda x: ops().bias_act(x, bias, 0.2, 1.5, clamp),
        lambda x: bias_act_reference(x, bias.double(), 0.2, 1.5, clamp),
        [x],
        dtype,
    )


@each_dtype
@pytest.mark.parametrize(
    ("up", "down", "padding", "taps"),
    [
        (2, 1, (2, 1, 2, 1), 4),
        (1, 1, (1, 1, 1, 1), 4),
        (1, 2, (1, 1, 1, 1), 4),
        (3, 2, (-1, 2, 0, 3), 5),
    ],
)
def test_upfirdn2d(dtype: torch.dtype, up: int, down: int, padding, taps: int) -> None:  # type: ignore[no-untyped-def]
    kernel = draw(taps, taps) if taps == 5 else resample_kernel().to(DEVICE)
    same_with_gradients(
        lambda x: ops().upfirdn2d(x, kernel, up, down, list(padding), 2.0, False),
        lambda x: upfirdn2d_reference(x, kernel.double(), up, down, padding, 2.0),
        [draw(2, 8, 9, 12, dtype=dtype).contiguous(memory_format=torch.channels_last)],
        dtype,
    )


@each_dtype
@pytest.mark.parametrize("channels", [3, 16])
def test_idwt2d(dtype: torch.dtype, channels: int) -> None:
    same_with_gradients(
        lambda x: ops().idwt2d(x), haar_idwt2d, [draw(2, 4 * channels, 5, 6, dtype=dtype)], dtype
    )


@pytest.mark.parametrize("size", [(7, 9), (2, 3), (40, 50)])
def test_area_resample(size: tuple[int, int]) -> None:
    mean, std, crop = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0], (2, 1, 30, 32)
    same_with_gradients(
        lambda x: ops().area_resample(x, crop, size, mean, std),
        lambda x: area_resample_reference(x, size, crop, mean, std),
        [draw(2, 3, 33, 40)],
        torch.float32,
    )


def layer(x, style, factor, strength, rgb_style, weight, noise, bias, rgb_weight, up, clamp):  # type: ignore[no-untyped-def]
    kernel = resample_kernel(x.dtype).to(x.device) if up else None
    c = modulated_conv2d_reference(x, weight, style, factor, up_kernel=kernel)[0]
    y = bias_act_reference(c + noise * strength, bias, 0.2, 1.5, clamp)
    return y, torch.einsum("nohw,jo,no->njhw", y, rgb_weight, rgb_style)


@each_dtype
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 32), (5, 7)])
def test_modulated_conv2d(
    dtype: torch.dtype, batch: int, up: bool, inputs: int, outputs: int
) -> None:
    size = 12
    constants = [
        draw(outputs, inputs, 3, 3, dtype=dtype),
        draw(batch, 1, size * (1 + up), size * (1 + up)).abs(),
        draw(outputs),
        draw(3, outputs),
    ]
    exact = [each.double() for each in constants]
    clamp = 8.0
    same_with_gradients(
        lambda x, style, factor, strength, rgb_style: ops().modulated_conv2d(
            x,
            constants[0],
            style,
            factor,
            constants[1],
            strength,
            constants[2],
            constants[3],
            rgb_style,
            up,
            0.2,
            1.5,
            clamp,
        ),
        lambda *moving: layer(*moving, *exact, up, clamp),
        [
            draw(batch, inputs, size, size, dtype=dtype),
            draw(batch, inputs),
            draw(batch, outputs).abs() * 0.1 + 0.05,
            draw(),
            draw(batch, outputs),
        ],
        dtype,
    )


@each_dtype
@pytest.mark.parametrize("up", [False, True])
def test_separable_conv2d(dtype: torch.dtype, up: bool) -> None:
    channels, outputs, size = 8, 12, 6
    depthwise, pointwise = draw(channels, 1, 3, 3), draw(outputs, channels, 1, 1)
    bias, noise = draw(outputs), draw(1, 1, size * (1 + up), size * (1 + up))

    def definition(x: Tensor, style: Tensor, *up_style: Tensor) -> Tensor:
        if up:
            x = haar_idwt2d(x * up_style[0][:, :, None, None])
        x = x * style[:, :, None, None]
        x = torch.nn.functional.conv2d(x, depthwise.double(), padding=1, groups=channels)
        x = torch.nn.functional.conv2d(x, pointwise.double(), bias.double()) + noise.double()
        return torch.nn.functional.leaky_relu(x, 0.2)

    moving = [draw(2, channels * (4 if up else 1), size, size, dtype=dtype), draw(2, channels)]
    if up:
        moving.append(draw(2, 4 * channels))
    same_with_gradients(
        lambda x, style, *up_style: ops().separable_conv2d(
            x, style, *(up_style or (None,)), depthwise, pointwise, bias, noise, 0.2
        ),
        definition,
        moving,
        dtype,
    )


@each_dtype
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_linear(dtype: torch.dtype, biased: bool, transposed: bool) -> None:
    # A wide weight, kept in the input's type, and one that is written to in between.
    weight, bias = draw(20, 12), draw(12 if transposed else 20)
    for _ in range(3):
        same_with_gradients(
            lambda x: ops().linear(x, weight, bias if biased else None, transposed),
            lambda x: (
                x @ (weight if transposed else weight.t()).double() + (bias.double() * biased)
            ),
            [draw(2, 3, 20 if transposed else 12, dtype=dtype)],
            dtype,
        )
        weight.mul_(-1.5)


SIDES = ["scale", "shift", "slope", "factor", "bias"]


@each_dtype
@pytest.mark.parametrize("inputs", [16, 5])
@pytest.mark.parametrize("sides", [SIDES, ["scale", "shift"], ["slope", "factor", "bias"], []])
def test_conv2d(dtype: torch.dtype, inputs: int, sides: list[str]) -> None:
    outputs = 24
    weight = draw(outputs, inputs, 3, 3)
    sizes = dict(zip(SIDES, [inputs, inputs, inputs, outputs, outputs], strict=True))
    given = {name: draw(sizes[name]) for name in sides}
    exact = {name: side.double()[:, None, None] for name, side in given.items()}

    def definition(x: Tensor) -> Tensor:
        x = x * exact.get("scale", 1.0) + exact.get("shift", 0.0)
        x = torch.where(x > 0, x, x * exact.get("slope", 1.0))
        x = torch.nn.functional.conv2d(x, weight.double(), padding=1)
        return x * exact.get("factor", 1.0) + exact.get("bias", 0.0)

    for _ in range(2):
        same_with_gradients(
            lambda x: ops().conv2d(x, weight, *(given.get(name) for name in SIDES)),
            definition,
            [draw(2, inputs, 7, 9, dtype=dtype)],
            dtype,
        )
        if "factor" in given:
            # What is kept of weight and factor has to follow.
            given["factor"].neg_()
            exact["factor"] = -exact["factor"]


def test_batch_of_none() -> None:
    weight, style = draw(4, 3, 3, 3), draw(0, 3)
    arguments = (None, None, None, None, None, None, True, 0.2, 1.0, None)
    y, _ = ops().modulated_conv2d(draw(0, 3, 5, 5), weight, style, *arguments)
    assert y.shape == (0, 4, 10, 10)


@pytest.mark.skipif(bool(EMULATED), reason="the dispatcher's keys are the GPU's")
def test_registrations_are_sound() -> None:
    x, weight, style = draw(1, 8, 6, 6), draw(8, 8, 3, 3), draw(1, 8)
    torch.library.opcheck(
        ops().modulated_conv2d.default,
        (x.requires_grad_(), weight, style.requires_grad_(), None, None, None, None, None, None,
         True, 0.2, 1.0, None),
    )  # fmt: skip
    torch.library.opcheck(ops().bias_act.default, (draw(1, 8, 4, 4), draw(8), 0.2, 1.0, None))
    torch.library.opcheck(ops().idwt2d.default, (draw(1, 8, 4, 4),))
    torch.library.opcheck(
        ops().upfirdn2d.default, (draw(1, 3, 8, 8), draw(4, 4), 2, 1, [2, 1, 2, 1], 4.0, False)
    )
    torch.library.opcheck(
        ops().area_resample.default, (draw(1, 3, 8, 8), (0, 0, 8, 8), (3, 3), [], [])
    )


@pytest.mark.skipif(bool(EMULATED), reason="needs a GPU")
def test_a_stream_of_its_own_and_a_graph_give_the_same() -> None:
    x, weight = draw(1, 16, 16, 16), draw(16, 16, 3, 3)
    style, factor = draw(1, 16), draw(1, 16).abs()

    def run() -> Tensor:
        y, _ = ops().modulated_conv2d(
            x, weight, style, factor, None, None, None, None, None, True, 0.2, 1.0, None
        )
        return ops().area_resample(y[:, :3].float(), (0, 0, 32, 32), (7, 7), [], [])

    expected = run()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        beside = run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert torch.equal(beside, expected)
    assert torch.equal(captured, run())
