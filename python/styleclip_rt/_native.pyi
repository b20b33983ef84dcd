"""The compiled part without torch: how it was built, what the processor offers, and the CPU ops on
arrays.

An array is a NumPy array of float32, float64 or `ml_dtypes.bfloat16`, or an object that speaks
DLPack and that NumPy can read. Arrays are read where they lie, and all of one call have one dtype,
but that images of bfloat16 take all else in float32. Images are [N, C, H, W];
`bias_act`, `upfirdn2d` and `idwt2d` take them contiguous or channels last (a view of [N, H, W, C]),
`area_resample` contiguous, the convolutions channels last, and results lie as what they were made
of. What does not lie so, or does not fit, raises ValueError; another dtype or kind of object
TypeError.

The ops run on OMP_NUM_THREADS threads, or as many as `styleclip_rt.threads.given` found when this
was imported, and release Python's global lock. They have no gradient.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

class _SpeaksDLPack(Protocol):
    def __dlpack__(self) -> Any: ...

Array: TypeAlias = NDArray[Any]
ArrayLike: TypeAlias = Array | _SpeaksDLPack

def build_info() -> dict[str, str | bool]: ...
def cpu_features() -> dict[str, bool]: ...
def bias_act(
    x: ArrayLike,
    bias: ArrayLike | None = None,
    slope: float = 0.2,
    gain: float = ...,
    clamp: float | None = None,
) -> Array:
    """``clamp(gain * leaky_relu(x + bias))``; see `styleclip_rt.ops.bias_act`."""

def upfirdn2d(
    x: ArrayLike,
    kernel: ArrayLike,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Array:
    """Upsample, pad, filter and downsample; see `styleclip_rt.ops.upfirdn2d`."""

def idwt2d(x: ArrayLike) -> Array:
    """Inverse Haar wavelet, [N, 4C, H, W] -> [N, C, 2H, 2W]; see `styleclip_rt.ops.haar_idwt2d`."""

def area_resample(
    image: ArrayLike,
    size: tuple[int, int],
    crop: tuple[int, int, int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Crop, exact area average, normalisation, of float32; see `styleclip_rt.ops.area_resample`."""

class PackedWeight:
    """A copy of a convolution's weight [O, I, k, k], k 1 or 3, which keeps the kernels' own layouts
    of it once they are made."""

    def __init__(self, weight: ArrayLike) -> None: ...
    @property
    def shape(self) -> tuple[int, int, int, int]: ...

def modulated_conv2d(
    x: ArrayLike,
    weight: PackedWeight,
    style: ArrayLike,
    factor: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    noise_strength: float = 0.0,
    bias: ArrayLike | None = None,
    rgb_weight: ArrayLike | None = None,
    rgb_style: ArrayLike | None = None,
    up: bool = False,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> tuple[Array, Array | None]:
    """StyleGAN2's layer and its share of the RGB image; see `styleclip_rt.ops.modulated_conv2d`.
    ``noise`` is one map [1, 1, H', W']; ``up`` upsamples by two with that layer's own filter."""

def separable_conv2d(
    x: ArrayLike,
    style: ArrayLike,
    up_style: ArrayLike | None,
    depthwise: ArrayLike,
    pointwise: PackedWeight,
    bias: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    slope: float = 0.2,
) -> Array:
    """MobileStyleGAN's layer; see `styleclip_rt.ops.separable_conv2d`."""
