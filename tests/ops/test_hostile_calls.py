"""What every op does with types that no kernel is for, with empty images and with odd addresses."""

import pytest
import torch
from torch import Tensor

from styleclip_rt.ops import _library

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")


def kernels():
    return torch.ops.styleclip_rt


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape).to(dtype)


def layer(n, i, o, h, w, x):
    """Arguments of modulated_conv2d, all of them."""
    noise = (torch.ones(1, 1, h, w), torch.ones(()))
    sides = (torch.ones(n, o), *noise, torch.ones(o), torch.ones(3, o), torch.ones(n, o))
    return (x(n, i, h, w), torch.ones(o, i, 3, 3), torch.ones(n, i), *sides, False, 0.2, 1.0, None)


def separable(n, c, o, h, w, x):
    return (x(n, 4 * c, h, w), torch.ones(n, c), torch.ones(n, 4 * c), torch.ones(c, 1, 3, 3),
            torch.ones(o, c, 1, 1))  # fmt: skip


# Each op on images of any type.
CALLS = {
    "area_resample": lambda x: kernels().area_resample(
        x(1, 3, 4, 4), (0, 0, 4, 4), (2, 2), [], []
    ),
    "area_resample_transpose": lambda x: kernels().area_resample_transpose(
        x(1, 3, 2, 2), (4, 4), (0, 0, 4, 4), []
    ),
    "bias_act": lambda x: kernels().bias_act(x(2, 3, 4, 5), None, 0.2, 1.0, None),
    "bias_act_backward": lambda x: kernels().bias_act_backward(
        ones(2, 3, 4, 5), x(2, 3, 4, 5), 0.2, 1.0, None
    ),
    "conv2d": lambda x: kernels().conv2d(x(1, 3, 4, 4), ones(5, 3, 3, 3), *[None] * 5),
    "conv2d_backward": lambda x: kernels().conv2d_backward(
        x(1, 5, 4, 4), None, ones(5, 3, 3, 3), *[None] * 5
    ),
    "dwt2d": lambda x: kernels().dwt2d(x(1, 3, 4, 4)),
    "idwt2d": lambda x: kernels().idwt2d(x(1, 8, 4, 4)),
    "linear": lambda x: kernels().linear(x(3, 4), ones(5, 4), None, False),
    "modulated_conv2d": lambda x: kernels().modulated_conv2d(*layer(1, 3, 4, 5, 6, x)),
    "modulated_conv2d_backward": lambda x: kernels().modulated_conv2d_backward(
        x(1, 4, 5, 6), ones(1, 3, 5, 6), x(1, 4, 5, 6), *layer(1, 3, 4, 5, 6, x), True
    ),
    "separable_conv2d": lambda x: kernels().separable_conv2d(
        *separable(1, 3, 4, 5, 6, x), None, None, 0.2
    ),
    "separable_conv2d_backward": lambda x: kernels().separable_conv2d_backward(
        x(1, 4, 10, 12), separable(1, 3, 4, 5, 6, x)[0], x(1, 4, 10, 12),
        *separable(1, 3, 4, 5, 6, x)[1:], 0.2, True
    ),
    "squeeze_excite": lambda x: kernels().squeeze_excite(
        x(1, 4, 3, 3), x(1, 4, 3, 3), ones(2, 4), ones(4, 2)
    ),
    "squeeze_excite_backward": lambda x: kernels().squeeze_excite_backward(
        x(1, 4, 3, 3), x(1, 4, 3, 3), ones(1, 4), ones(2, 4), ones(4, 2)
    ),
    "upfirdn2d": lambda x: kernels().upfirdn2d(
        x(1, 3, 4, 4), ones(2, 2), 1, 1, (0, 0, 0, 0), 1.0, False
    ),
}  # fmt: skip
each_op = pytest.mark.parametrize("op", CALLS)


def test_all_ops_are_called_here():
    names = {name.split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    prefix = "styleclip_rt::"
    registered = {name[len(prefix) :] for name in names if name.startswith(prefix)}
    assert registered - {"version", "conv2d_pixels"} == set(CALLS)


@each_op
@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
        *(torch.float16, torch.int8, torch.int64, torch.bool, torch.complex64),
    ],
)
def test_types_without_a_kernel_are_refused(op, dtype):
    with pytest.raises(TypeError, match="does not take"):
        CALLS[op](lambda *shape: ones(*shape, dtype=dtype))


@each_op
def test_odd_addresses_change_nothing(op):
    def misaligned(*shape):
        memory = bytearray(b"\0" + ones(*shape).numpy().tobytes())
        return torch.frombuffer(memory, dtype=torch.float32, offset=1).reshape(shape)

    found, expected = CALLS[op](misaligned), CALLS[op](ones)
    for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (found, expected)),
                          strict=True):  # fmt: skip
        assert torch.equal(one, other)


EMPTY = [(0, 3, 4, 5, 6), (2, 3, 4, 0, 6), (2, 3, 4, 5, 0), (2, 3, 0, 5, 6), (2, 0, 4, 5, 6)]


@pytest.mark.parametrize("sizes", EMPTY)
def test_gradients_of_empty_layers_are_sums_of_nothing(sizes):
    n, i, o, h, w = sizes
    arguments = layer(*sizes, ones)
    y, rgb = kernels().modulated_conv2d(*arguments)
    assert y.shape == (n, o, h, w)
    assert rgb.shape == (n, 3, h, w)
    if o == 0:
        assert not rgb.any()
    x, style, factor, strength, rgb_style = kernels().modulated_conv2d_backward(
        torch.ones_like(y), torch.ones_like(rgb), y, *arguments, True
    )
    assert x.shape == (n, i, h, w)
    assert style.shape == (n, i)
    if y.numel() == 0:
        assert not any(sum.any() for sum in (x, style, factor, strength, rgb_style))
    else:
        # Without inputs a layer is noise and bias alone.
        assert strength.item() == pytest.approx(n * o * h * w * 4)
        assert not factor.any()
        assert torch.equal(rgb_style, y.sum((2, 3)) * 3)


@pytest.mark.parametrize("sizes", EMPTY)
def test_gradients_of_empty_separable_layers_are_sums_of_nothing(sizes):
    arguments = separable(*sizes, ones)
    y = kernels().separable_conv2d(*arguments, torch.ones(sizes[2]), None, 0.2)
    assert torch.equal(y, torch.ones_like(y))
    gradients = kernels().separable_conv2d_backward(
        torch.ones_like(y), arguments[0], y, *arguments[1:], 0.2, True
    )
    assert [x.shape for x in gradients] == [x.shape for x in arguments[:3]]
    assert not any(x.any() for x in gradients)


@pytest.mark.parametrize("sizes", [(0, 4, 3, 3), (2, 0, 3, 3), (2, 4, 0, 3), (2, 4, 3, 0)])
def test_gradients_of_empty_images_are_empty(sizes):
    x = torch.ones(sizes, requires_grad=True)
    c = sizes[1]
    for y in (
        kernels().bias_act(x, torch.ones(c), 0.2, 1.0, None),
        kernels().conv2d(x, ones(5, c, 3, 3), *[None] * 5),
        kernels().linear(x, ones(5, sizes[3]), ones(5), False),
        kernels().squeeze_excite(x, x, ones(2, c), ones(c, 2))[0],
        kernels().upfirdn2d(x, ones(2, 2), 2, 1, (2, 1, 2, 1), 1.0, False),
    ):
        assert torch.isfinite(y).all()
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert grad.shape == x.shape


@pytest.mark.parametrize("sizes", EMPTY)
def test_all_gradients_of_empty_layers_are_there(sizes):
    *tensors, up, slope, gain, clamp = layer(*sizes, ones)
    tensors = [x.requires_grad_() for x in tensors]
    y, rgb = kernels().modulated_conv2d(*tensors, up, slope, gain, clamp)
    found = torch.autograd.grad(y.sum() + rgb.sum(), tensors)
    assert [x.shape for x in found] == [x.shape for x in tensors]
    assert all(torch.isfinite(x).all() for x in found)
    tensors = [x.requires_grad_() for x in separable(*sizes, ones)]
    found = torch.autograd.grad(
        kernels().separable_conv2d(*tensors, None, None, 0.2).sum(), tensors
    )
    assert [x.shape for x in found] == [x.shape for x in tensors]


def test_a_gradient_of_the_image_s_weight_alone():
    tensors = list(layer(1, 3, 4, 5, 6, ones))
    tensors[7].requires_grad_()
    y, rgb = kernels().modulated_conv2d(*tensors)
    (found,) = torch.autograd.grad((y, rgb), tensors[7], (ones(*y.shape), ones(*rgb.shape)))
    assert torch.equal(found, y.sum((0, 2, 3)).expand(3, 4))


@pytest.mark.parametrize("length", [0, 3, 5])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_lists_of_another_length_are_refused(length, device):
    x = torch.ones(1, 3, 4, 4, device=device)
    numbers = [1] * length
    for call in (
        lambda: kernels().upfirdn2d(x, torch.ones(2, 2, device=device), 1, 1, numbers, 1.0, False),
        lambda: kernels().area_resample(x, numbers, (2, 2), [], []),
        lambda: kernels().area_resample(x, (0, 0, 4, 4), numbers, [], []),
        lambda: kernels().area_resample_transpose(x, (8, 8), numbers, []),
        lambda: kernels().area_resample_transpose(x, numbers, (0, 0, 4, 4), []),
    ):
        with pytest.raises(ValueError, match="needs"):
            call()
