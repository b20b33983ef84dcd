"""Calls the compiled ops with random and hostile arguments; see test_ops.py, which runs this.

    python tests/fuzz/ops_driver.py torch libstyleclip_ops.so --seed 0 --calls 1000 [--first 0]
    python tests/fuzz/ops_driver.py native _native.so --seed 0 --calls 1000 [--first 0]

A call follows from the seed and its number alone. The last one that began stands in --log, so that
a process that a sanitizer ended can be asked for it: --first N --calls 1 makes it again, and
--show prints its arguments. An op must raise ValueError or TypeError, or give numbers: memory
that an op leaves unwritten is full of NaN, if the sanitizer's runtime was told to fill it.
"""

import argparse
import importlib.util
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HOSTILE_INTS = (-(2**63), -(2**31), -1, 0, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1)
HOSTILE_FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, 5e-324)
REFUSALS = (ValueError, TypeError)
NOT_OURS = (
    # Of sizes that no machine has memory for.
    "can't allocate memory",
    "Unable to allocate",
    "array is too big",
    "integer multiplication overflow",
    "Storage size calculation overflowed",
    "maximum supported dimension",
    # Of arguments that do not match the schema.
    "Expected a value of type",
)
"""What torch and NumPy say before an op is reached, or while it asks for memory."""


class Draw(random.Random):
    """Random numbers as shapes and arguments need them."""

    def chance(self, share: float) -> bool:
        return self.random() < share

    def side(self) -> int:
        """Mostly small; empty at times, about a register's width, or enough for large tiles."""
        return self.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 17, 20))

    def channels(self) -> int:
        return self.choice((0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 20, 31, 33))

    def slope(self) -> float:
        return self.choice((0.2, 1.0, 0.05))

    def clamp(self) -> float | None:
        return self.choice((None, None, 0.5, 256.0))


# --- calls that fit ---


def images(draw: Draw) -> tuple[int, int, int, int]:
    return draw.choice((0, 1, 1, 1, 2)), draw.channels(), draw.side(), draw.side()


def area_resample(draw: Draw, make: Any) -> list[Any]:
    n, c, h, w = (max(1, side) for side in images(draw))
    top, left = draw.randrange(h), draw.randrange(w)
    crop = [top, left, draw.randint(1, h - top), draw.randint(1, w - left)]
    size = [draw.randint(1, 20), draw.randint(1, 20)]
    constants = [[draw.uniform(0.1, 2) for _ in range(c)] if draw.chance(0.5) else [] for _ in "ms"]
    return [make.image(n * draw.choice((0, 1, 1)), c, h, w), crop, size, *constants]


def area_resample_transpose(draw: Draw, make: Any) -> list[Any]:
    image, crop, size, _, std = area_resample(draw, make)
    n, c, h, w = image.shape
    return [make.image(n, c, *size), [h, w], crop, std]


def bias_act(draw: Draw, make: Any) -> list[Any]:
    shape = images(draw)
    shape = draw.choice((shape, shape[:2], shape[:3], (*shape, 2)))
    bias = make.side(shape[1]) if draw.chance(0.6) else None
    return [make.image(*shape), bias, draw.slope(), 1.5, draw.clamp()]


def bias_act_backward(draw: Draw, make: Any) -> list[Any]:
    y, _, *rest = bias_act(draw, make)
    return [make.image(*y.shape), y, *rest]


def upfirdn2d(draw: Draw, make: Any) -> list[Any]:
    padding = [draw.randint(-2, 4) for _ in range(4)]
    kernel = make.side(draw.randint(1, 5), draw.randint(1, 5))
    factors = [draw.choice((1, 1, 2, 3, 7)) for _ in "ud"]
    return [make.image(*images(draw)), kernel, *factors, padding, 4.0, draw.chance(0.5)]


def idwt2d(draw: Draw, make: Any) -> list[Any]:
    n, c, h, w = images(draw)
    return [make.image(n, 4 * c, h, w)]


def dwt2d(draw: Draw, make: Any) -> list[Any]:
    n, c, h, w = images(draw)
    return [make.image(n, c, 2 * h, 2 * w)]


def linear(draw: Draw, make: Any) -> list[Any]:
    inputs, outputs, transposed = draw.channels(), draw.channels(), draw.chance(0.3)
    shape = (outputs, inputs) if not transposed else (inputs, outputs)
    rows = draw.choice(((), (3,), (2, 5), (0,), (130,)))
    bias = make.side(outputs) if draw.chance(0.5) else None
    return [make.image(*rows, inputs), make.side(*shape), bias, transposed]


def _maybe(draw: Draw, make: Any, *shape: int) -> Any:
    return make.side(*shape) if draw.chance(0.6) else None


def conv2d(draw: Draw, make: Any) -> list[Any]:
    n, i, h, w = images(draw)
    o = draw.channels()
    sides = [_maybe(draw, make, c) for c in (i, i, i, o, o)]
    return [make.image(n, i, h, w), make.side(o, i, 3, 3), *sides]


def conv2d_backward(draw: Draw, make: Any) -> list[Any]:
    x, weight, *sides = conv2d(draw, make)
    grad = make.image(x.shape[0], weight.shape[0], *x.shape[2:])
    return [grad, None if sides[2] is None else x, weight, *sides]


def modulated_conv2d(draw: Draw, make: Any) -> list[Any]:
    n, i, h, w = images(draw)
    o, up = draw.channels(), draw.chance(0.4)
    k = 3 if up else draw.choice((1, 3))
    scale = 2 if up else 1
    noise = [None, None]
    if draw.chance(0.5):
        maps = draw.choice((1, n)) if make.batches_noise else 1
        noise = [make.side(maps, 1, scale * h, scale * w), make.strength()]
    rgb = [make.side(3, o), make.side(n, o)] if draw.chance(0.5) else [None, None]
    arguments = [make.image(n, i, h, w), make.side(o, i, k, k), make.side(n, i)]
    arguments += [_maybe(draw, make, n, o), *noise, _maybe(draw, make, o), *rgb]
    return [*arguments, up, draw.slope(), 1.5, draw.clamp()]


def modulated_conv2d_backward(draw: Draw, make: Any) -> list[Any]:
    layer = modulated_conv2d(draw, make)
    x, weight, up = layer[0], layer[1], layer[9]
    h, w = (side * (2 if up else 1) for side in x.shape[2:])
    n, o = x.shape[0], weight.shape[0]
    grad_rgb = None if layer[7] is None or draw.chance(0.3) else make.side(n, 3, h, w)
    grad_y = None if grad_rgb is not None and draw.chance(0.3) else make.image(n, o, h, w)
    return [grad_y, grad_rgb, make.image(n, o, h, w), *layer, draw.chance(0.7)]


def separable_conv2d(draw: Draw, make: Any) -> list[Any]:
    n, c, h, w = images(draw)
    o, up = draw.channels(), draw.chance(0.5)
    scale = 2 if up else 1
    x = make.image(n, c * (4 if up else 1), h, w)
    up_style = make.side(n, 4 * c) if up else None
    weights = [make.side(c, 1, 3, 3), make.side(o, c, 1, 1)]
    sides = [_maybe(draw, make, o), _maybe(draw, make, 1, 1, scale * h, scale * w)]
    return [x, make.side(n, c), up_style, *weights, *sides, draw.slope()]


def separable_conv2d_backward(draw: Draw, make: Any) -> list[Any]:
    x, style, up_style, depthwise, pointwise, *_, slope = separable_conv2d(draw, make)
    scale = 1 if up_style is None else 2
    shape = (x.shape[0], pointwise.shape[0], scale * x.shape[2], scale * x.shape[3])
    images_of_y = [make.image(*shape), x, make.image(*shape)]
    return [*images_of_y, style, up_style, depthwise, pointwise, slope, draw.chance(0.7)]


def squeeze_excite(draw: Draw, make: Any) -> list[Any]:
    shape = images(draw)
    hidden, c = draw.channels(), shape[1]
    return [make.image(*shape), make.image(*shape), make.side(hidden, c), make.side(c, hidden)]


def squeeze_excite_backward(draw: Draw, make: Any) -> list[Any]:
    x, grad, squeeze, excite = squeeze_excite(draw, make)
    return [grad, x, make.side(*x.shape[:2]), squeeze, excite]


# --- torch ---


class TorchTensors:
    """Makes the tensors of one call: all images of one dtype, side inputs of what goes with it."""

    batches_noise = True

    def __init__(self, draw: Draw) -> None:
        import torch

        self.torch, self.draw = torch, draw
        self.dtype = draw.choice((torch.float32, torch.float32, torch.bfloat16, torch.float64))
        self.wide = torch.promote_types(self.dtype, torch.float32)

    def image(self, *shape: int) -> Any:
        torch, draw = self.torch, self.draw
        x = (torch.rand(shape) * 2 - 1).to(self.dtype)
        layout = draw.choice(("dense", "last", "last", "strided", "misaligned"))
        if layout == "last" and x.dim() == 4:
            return x.contiguous(memory_format=torch.channels_last)
        if layout == "strided" and x.dim() > 1:
            return x.transpose(-1, -2).contiguous().transpose(-1, -2)
        return self.misaligned(x) if layout == "misaligned" else x

    def side(self, *shape: int) -> Any:
        x = self.torch.rand(shape).to(self.wide) + 0.1
        return self.misaligned(x) if self.draw.chance(0.05) else x

    def strength(self) -> Any:
        return self.torch.rand((), dtype=self.wide)

    def misaligned(self, x: Any) -> Any:
        size = x.numel() * x.element_size()
        if size == 0:
            return x
        buffer = bytearray(size + 1)
        buffer[1:] = x.contiguous().reshape(-1).view(self.torch.uint8).numpy().tobytes()
        flat = self.torch.frombuffer(buffer, dtype=x.dtype, count=x.numel(), offset=1)
        return flat.reshape(x.shape)

    def hostile(self, x: Any) -> Any:
        """A tensor that is not quite what was asked for."""
        torch, draw = self.torch, self.draw
        if x is None or not isinstance(x, torch.Tensor):
            return self.side(*(draw.side() for _ in range(draw.randint(0, 5))))
        if x.numel() > 10**6 or x.is_meta or x.layout != torch.strided:  # made so before
            return x
        dtypes = (
            *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn),
            *(torch.float8_e5m2, torch.int8, torch.int64, torch.bool, torch.complex64),
        )
        shape = list(x.shape)
        if shape:
            shape[draw.randrange(len(shape))] = draw.choice((0, 1, draw.side(), draw.channels()))
        huge = (draw.choice((2**31 - 1, 2**31, 2**40)), *(1 for _ in x.shape[1:]))
        changes: dict[str, Callable[[], Any]] = {
            "dtype": lambda: x.to(draw.choice(dtypes)),
            "resized": lambda: x.new_ones(shape),
            "empty, huge": lambda: x.new_empty((0, draw.choice((2**31, 2**40)), *x.shape[2:])),
            "fewer dimensions": lambda: x[0] if x.dim() and x.shape[0] else x.reshape(-1),
            "more dimensions": lambda: x[None],
            "expanded": lambda: x.new_ones(()).expand(shape),
            "expanded, huge": lambda: x.new_ones(()).expand(huge),
            "strided": lambda: torch.stack((x, x), -1)[..., 0],
            "offset": lambda: torch.cat((x.new_ones(1), x.reshape(-1)))[1:].reshape(x.shape),
            "meta": lambda: x.to("meta"),
            "sparse": lambda: x.to_sparse(),
            "not finite": lambda: x * draw.choice((math.nan, math.inf)),
            "large": lambda: x * 1e30,
        }
        return made_or(x, changes[draw.choice(list(changes))])


def by_schema(draw: Draw, make: TorchTensors, schema: Any) -> list[Any]:
    """Arguments of the types that a schema names, of any shape: hardly ever do they fit."""
    shape = tuple(draw.side() for _ in range(draw.choice((0, 1, 2, 3, 4, 4, 4, 5))))

    def value(kind: str) -> Any:
        if kind.startswith("Optional["):
            return None if draw.chance(0.5) else value(kind[len("Optional[") : -1])
        if kind.startswith("List["):
            return [value(kind[len("List[") : -1]) for _ in range(draw.choice((0, 2, 4, 4)))]
        if kind == "Tensor":
            return make.image(*shape) if draw.chance(0.7) else make.side(*shape[:2])
        if kind == "bool":
            return draw.chance(0.5)
        if kind == "float":
            return draw.choice((1.0, 0.5, *HOSTILE_FLOATS))
        return draw.choice((1, 2, 3, *HOSTILE_INTS))

    arguments = []
    for argument in schema.arguments:
        kind = str(argument.type).replace("SymInt", "int")
        arguments.append(value(kind))
    return arguments


def vary(draw: Draw, arguments: list[Any], hostile: Callable[[Any], Any]) -> bool:
    """Change an argument or a few to what may not fit; returns whether numbers may overflow."""
    wild = False
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not arguments:
            break
        at = draw.randrange(len(arguments))
        old = arguments[at]
        if isinstance(old, bool):
            arguments[at] = not old
        elif isinstance(old, float) or (old is None and draw.chance(0.2)):
            arguments[at], wild = draw.choice(HOSTILE_FLOATS), True
        elif isinstance(old, int):
            arguments[at] = draw.choice(HOSTILE_INTS)
        elif isinstance(old, list):
            numbers = HOSTILE_FLOATS if old and isinstance(old[0], float) else HOSTILE_INTS
            wild = wild or numbers is HOSTILE_FLOATS
            arguments[at] = [
                draw.choice(numbers) if draw.chance(0.4) else number for number in old
            ] + [1] * draw.choice((0, 0, 0, 1))
        else:
            arguments[at], wild = hostile(old), True
    return wild


class Torch:
    """The ops that torch sees, forward and backward."""

    def __init__(self, library: Path) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(2)
        torch.ops.load_library(library)
        names = {name.split(".")[0] for name in torch._C._dispatch_get_all_op_names()}
        self.ops = [
            getattr(torch.ops.styleclip_rt, name.split("::")[1]).default
            for name in sorted(names)
            if name.startswith("styleclip_rt::")
        ]

    def run(self, draw: Draw, show: bool) -> int:
        """One drawn call, and those of its gradients; returns how many there were."""
        torch = self.torch
        torch.manual_seed(draw.getrandbits(62))
        op = draw.choice(self.ops)
        make = TorchTensors(draw)
        schema = op._schema
        build = globals().get(schema.name.split("::")[1])
        fitting = build is not None and not draw.chance(0.1)
        arguments = build(draw, make) if fitting else by_schema(draw, make, schema)
        wild = not fitting
        if draw.chance(0.5):
            wild = vary(draw, arguments, make.hostile) or wild
        differentiated = []
        if draw.chance(0.5):
            tensors = [x for x in arguments if isinstance(x, torch.Tensor) and x.is_leaf]
            floats = [x for x in tensors if x.is_floating_point() and not x.is_inference()]
            differentiated = [x.requires_grad_() for x in floats if draw.chance(0.5)]
        if show:
            print(op, *(describe(x) for x in arguments), sep="\n  ")
        expected = self.meta(op, arguments)
        made = attempt(lambda: op(*arguments))
        if isinstance(made, Exception):
            return 1
        outputs = [x for x in (made if isinstance(made, tuple) else (made,)) if tensor(x)]
        if expected is not None and outputs and not outputs[0].is_meta:
            assert [(x.shape, x.dtype) for x in outputs] == expected, f"{op} differs from Meta"
        self.check(op, outputs, wild)
        graded = [x for x in outputs if x.requires_grad]
        if not differentiated or not graded:
            return 1
        grads = [self.gradient(draw, make, x) for x in graded]
        twice = draw.chance(0.2)
        found = attempt(
            lambda: torch.autograd.grad(
                graded, differentiated, grads, create_graph=twice, allow_unused=True
            )
        )
        if isinstance(found, Exception):
            return 2
        gradients = [x for x in found if x is not None]
        self.check(op, gradients, wild)
        further = [x for x in gradients if x.requires_grad]
        if not further:
            return 2
        again = sum(x.double().sum() for x in further)
        attempt(lambda: torch.autograd.grad(again, differentiated, allow_unused=True))
        return 3

    def gradient(self, draw: Draw, make: TorchTensors, y: Any) -> Any:
        torch = self.torch
        if draw.chance(0.3):
            return torch.ones((), dtype=y.dtype, device=y.device).expand(y.shape)
        grad = torch.rand(y.shape, device=y.device).to(y.dtype)
        return grad if draw.chance(0.8) or y.is_meta else make.misaligned(grad)

    def meta(self, op: Any, arguments: list[Any]) -> list[Any] | None:
        """Shapes and dtypes that the op's Meta kernel promises for arguments on a CPU."""
        tensors = [x for x in arguments if tensor(x)]
        if not tensors or any(x.layout != self.torch.strided or x.is_meta for x in tensors):
            return None
        on_meta = [x.detach().to("meta") if tensor(x) else x for x in arguments]
        promised = attempt(lambda: op(*on_meta))
        if isinstance(promised, Exception):
            return None
        return [
            (x.shape, x.dtype) for x in (promised if isinstance(promised, tuple) else [promised])
        ]

    def check(self, op: Any, tensors: list[Any], wild: bool) -> None:
        for x in tensors:
            finite = x.is_meta or wild or bool(self.torch.isfinite(x.detach()).all())
            assert finite, f"{op} left numbers unwritten, or made what is none"


def tensor(x: object) -> bool:
    return type(x).__module__.split(".")[0] == "torch" and hasattr(x, "dtype")


# --- NumPy ---


class Arrays:
    """Makes the arrays of one call."""

    batches_noise = False

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.dtype = draw.choice(("float32", "float32", "float64"))

    def image(self, *shape: int) -> Any:
        x = (np.random.default_rng(self.draw.getrandbits(32)).random(shape) * 2 - 1).astype(
            self.dtype
        )
        if len(shape) == 4 and self.draw.chance(0.8):
            return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return x

    def side(self, *shape: int) -> Any:
        return (np.random.default_rng(self.draw.getrandbits(32)).random(shape) + 0.1).astype(
            self.dtype
        )

    def strength(self) -> float:
        return self.draw.random()

    def hostile(self, x: Any) -> Any:
        draw = self.draw
        if not isinstance(x, np.ndarray):
            return draw.choice((None, 1.0, "x", [1.0], self.side(2, 3), np.zeros((2, 2), ">f4")))
        if x.size > 10**6 or x.dtype == object:  # made so before
            return x
        shape = list(x.shape)
        if shape:
            shape[draw.randrange(len(shape))] = draw.choice((0, 1, draw.side()))
        bytes_of = x.tobytes()
        odd = np.frombuffer(b"\\0" + bytes_of, x.dtype, x.size, 1).reshape(x.shape)
        kinds = ("float16", "int32", "complex64", "bool", "float64", "float32", ">f4", "object")
        changes: dict[str, Callable[[], Any]] = {
            "dtype": lambda: x.astype(draw.choice(kinds)),
            "resized": lambda: np.ones(shape, x.dtype),
            "empty, huge": lambda: np.empty((0, 2**40, *x.shape[2:]), x.dtype),
            "broadcast": lambda: np.broadcast_to(x.dtype.type(1), shape),
            "broadcast, huge": lambda: np.broadcast_to(
                x.dtype.type(1), (draw.choice((2**31 - 1, 2**31, 2**40)), *(1 for _ in x.shape[1:]))
            ),
            "misaligned": lambda: odd,
            "backwards": lambda: x[..., ::-1] if x.ndim else x,
            "strided": lambda: np.stack((x, x), -1)[..., 0],
            "read-only": lambda: np.frombuffer(bytes_of, x.dtype).reshape(x.shape),
            "not finite": lambda: x * x.dtype.type(math.nan),
        }
        return made_or(x, changes[draw.choice(list(changes))])


class Native:
    """The ops on arrays."""

    def __init__(self, module: Path) -> None:
        spec = importlib.util.spec_from_file_location("_native", module)
        assert spec is not None and spec.loader is not None
        self.native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.native)
        self.ops = ("area_resample", "bias_act", "upfirdn2d", "idwt2d")
        self.ops += ("modulated_conv2d", "separable_conv2d")

    def run(self, draw: Draw, show: bool) -> int:
        name = draw.choice(self.ops)
        make = Arrays(draw)
        arguments = globals()[name](draw, make)
        wild = draw.chance(0.5) and (vary(draw, arguments, make.hostile) or True)
        if name == "area_resample":
            image, crop, size, mean, std = arguments
            arguments = [image, size, crop, mean or None, std or None]
        elif name == "upfirdn2d":
            arguments = arguments[:6]
        if show:
            print(name, *(describe(x) for x in arguments), sep="\n  ")
        made = attempt(lambda: self.call(name, arguments))
        if not isinstance(made, Exception) and not wild:
            for x in made if isinstance(made, tuple) else (made,):
                assert x is None or np.isfinite(x).all(), f"{name} left numbers unwritten"
        return 1

    def call(self, name: str, arguments: list[Any]) -> Any:
        weight = {"modulated_conv2d": 1, "separable_conv2d": 4}.get(name)
        if weight is not None and not isinstance(arguments[weight], str):
            arguments[weight] = self.native.PackedWeight(arguments[weight])
        if name == "modulated_conv2d" and arguments[5] is None:
            arguments[5] = 0.0
        return getattr(self.native, name)(*arguments)


def made_or(x: Any, change: Callable[[], Any]) -> Any:
    """What a change makes of an argument, or the argument, where torch or NumPy cannot."""
    try:
        return change()
    except (RuntimeError, ValueError, MemoryError):
        return x


def attempt(call: Callable[[], Any]) -> Any:
    """What a call makes, or the exception by which it refused; any other one is raised."""
    try:
        return call()
    except REFUSALS as refusal:
        return refusal
    except (RuntimeError, MemoryError, NotImplementedError) as error:
        if isinstance(error, NotImplementedError) or any(text in str(error) for text in NOT_OURS):
            return error
        raise


def describe(x: object) -> str:
    if isinstance(x, np.ndarray):
        return f"array {x.dtype} {x.shape} strides {x.strides}"
    if tensor(x):
        place = "meta" if x.is_meta else x.layout  # type: ignore[attr-defined]
        return f"tensor {x.dtype} {tuple(x.shape)} {place} grad {x.requires_grad}"  # type: ignore[attr-defined]
    return repr(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("torch", "native"))
    parser.add_argument("library", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--calls", type=int, required=True, help="at least so many, gradients too")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--show", action="store_true")
    chosen = parser.parse_args()
    ops = Torch(chosen.library) if chosen.kind == "torch" else Native(chosen.library)
    log = chosen.log.open("w") if chosen.log else None
    number, made = chosen.first, 0
    while made < chosen.calls:
        if log:
            log.seek(0)
            log.write(f"{number}\n")
            log.flush()
        made += ops.run(Draw(f"{chosen.seed}/{chosen.kind}/{number}"), chosen.show)
        number += 1
    print(f"{made} calls from {number - chosen.first} draws")


if __name__ == "__main__":
    sys.exit(main())
