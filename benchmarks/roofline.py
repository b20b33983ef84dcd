"""What the machine could do at most, and how close a measurement comes to it.

Williams, Waterman and Patterson 2009 ("Roofline"): work takes at least flops / peak arithmetic
and at least bytes / peak bandwidth.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from styleclip_rt import ops
from styleclip_rt.models.stylegan2 import StyleGAN2Config


@dataclass(frozen=True)
class Peaks:
    """Measured limits.

    Attributes:
        flops: dtype name ("float32", "bfloat16") -> floating-point operations a second in a large
            matrix product, a multiply-add counted as two.
        copy: bytes a second read and written by a large copy, both counted.
    """

    flops: Mapping[str, float]
    copy: float


@dataclass(frozen=True)
class Work:
    """One operation that has to end before the next: its arithmetic and least memory traffic."""

    flops: float
    bytes: float


def measure_peaks(
    dtypes: Iterable[torch.dtype] = (torch.float32, torch.bfloat16),
    device: str = "cpu",
    size: int = 2048,
    megabytes: int = 256,
    repeats: int = 5,
    wait: Callable[[], object] = lambda: None,
) -> Peaks:
    """Time matrix products of ``size`` and copies of ``megabytes``; the best repeat counts."""
    flops: dict[str, float] = {}
    for dtype in dtypes:
        a = torch.randn(size, size, device=device).to(dtype)
        out = torch.empty_like(a)
        seconds = _best(functools.partial(torch.mm, a, a, out=out), repeats, wait)
        flops[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds
    source = torch.ones(megabytes << 18, device=device)
    target = torch.zeros_like(source)
    seconds = _best(lambda: target.copy_(source), repeats, wait)
    return Peaks(flops, 2 * source.nbytes / seconds)


def _best(run: Callable[[], object], repeats: int, wait: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats + 1):
        wait()
        begin = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def floor_seconds(works: Iterable[Work], peaks: Peaks, dtype: str) -> float:
    """The least time for the works, one after another, at the measured peaks."""
    return sum(max(w.flops / peaks.flops[dtype], w.bytes / peaks.copy) for w in works)


def count_flops(run: Callable[[], object]) -> float:
    """Floating-point operations in the convolutions and matrix products of one run.

    Counted on standard operators: the counter cannot look into the fused ones.
    """
    with ops.standard_ops(), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def stylegan2_work(
    config: StyleGAN2Config,
    batch: int,
    element_size: int,
    backward: bool = False,
    winograd: bool = False,
) -> list[Work]:
    """Synthesis where each convolution reads its input and writes its output once, and one fused
    pass between two convolutions does all the rest (filter, demodulation, noise, bias, activation,
    RGB, the next style).

    ``backward`` adds the gradient to the styles: each convolution's gradient to its input, and
    passes that read the gradient and the saved activations and write the next gradient. The
    weights are frozen, so nothing is counted for their gradients.

    ``winograd`` counts the multiplications of ours (docs/KERNELS.md) instead of the definition's:
    36 for 144 in plain layers from 16 px on, 25 for 36 in upsampling ones, 81 for 144 in those
    that make 128 px or more.
    """
    works: list[Work] = []

    def conv(inputs: int, outputs: int, taps: float, size: int, out_size: int) -> None:
        flops = 2 * batch * inputs * outputs * taps * size**2
        moved = batch * (inputs * size**2 + outputs * out_size**2) + inputs * outputs * taps
        works.extend([Work(flops, moved * element_size)] * (2 if backward else 1))

    def passed(channels: int, before: int, after: int) -> None:
        works.append(Work(0, batch * channels * (before**2 + after**2) * element_size))
        if backward:
            moved = batch * channels * (2 * after**2 + before**2)
            works.append(Work(0, moved * element_size))

    for level, outputs in enumerate(config.channels):
        size = 4 * 2**level
        if level:
            inputs = config.channels[level - 1]
            fewer = 81 / 16 if size >= 128 else 25 / 4
            conv(inputs, outputs, fewer if winograd else 9, size // 2, size + 1)
            passed(outputs, size + 1, size)
        conv(outputs, outputs, 36 / 16 if winograd and size >= 16 else 9, size, size)
        passed(outputs, size, size)
        # RGB, made in the same pass: only the float32 images move, the smaller one and this one.
        image = batch * 3 * size**2 * 4
        rgb = Work(2 * batch * outputs * 3 * size**2, 1.25 * image)
        works.extend([rgb] * (2 if backward else 1))
    return works
