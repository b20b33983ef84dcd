"""Small image filters on [H, W] arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def box_mean(values: NDArray[Any], radius: int) -> NDArray[np.float64]:
    """Mean over the square of 2 radius + 1 around each pixel, edges repeated."""
    width = 2 * radius + 1
    padded = np.pad(values.astype(np.float64), ((radius + 1, radius),) * 2, mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    rows = sums[width:] - sums[:-width]
    return np.asarray((rows[:, width:] - rows[:, :-width]) / width**2)


def grow(mask: Mask, pixels: int) -> Mask:
    """Dilate by a square of `pixels` each way; a negative number erodes."""
    share = box_mean(mask, abs(pixels))
    edge = 0.5 / (2 * abs(pixels) + 1) ** 2
    return np.asarray(share > edge if pixels > 0 else share > 1 - edge)


def blur(values: Array, sigma: float) -> Array:
    """Gaussian blur, cut off at three sigma, edges repeated."""
    reach = int(3 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        size = values.shape[axis]
        padding = [(0, 0), (0, 0)]
        padding[axis] = (reach, reach)
        padded = np.pad(values, padding, mode="edge")
        moved = (
            padded[(slice(None),) * axis + (slice(i, i + size),)] for i in range(2 * reach + 1)
        )
        values = np.asarray(
            sum(k * m for k, m in zip(kernel.astype(np.float32), moved, strict=True))
        )
    return values
