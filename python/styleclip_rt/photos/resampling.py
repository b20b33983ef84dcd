"""Pictures seen through an affine map: sub-pixel, without aliasing, mirrored beyond their border.

Coordinates are continuous: (0, 0) is the outer corner of the first pixel, its middle (0.5, 0.5).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.picture import Pixels

Affine = NDArray[np.float64]
"""[2, 3]: maps (x, y, 1) to (x, y)."""

Planes = NDArray[np.float32]
"""[C, H, W]."""


def apply(affine: Affine, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """The map of points [..., 2]."""
    return points @ affine[:, :2].T + affine[:, 2]


def invert(affine: Affine) -> Affine:
    """The map back."""
    matrix = np.linalg.inv(affine[:, :2])
    return np.concatenate([matrix, -matrix @ affine[:, 2:]], 1)


def sample(
    source: Pixels | Planes,
    affine: Affine,
    size: tuple[int, int],
    engine: PhotoEngine | None = None,
) -> Planes:
    """`source` seen through `affine`, which maps the result's coordinates to the source's.

    What is made smaller is averaged first, what is made larger interpolated by cubics.

    Args:
        source: [H, W, C] uint8, or [C, H, W] float32.
        size: height and width of the result.
        engine: that computes; PyTorch's, if none is given.

    Returns:
        [C, *size] float32; uint8 sources are scaled to [0, 1], cubics may overshoot a little.
    """
    in_bytes = source.dtype == np.uint8
    height, width = source.shape[:2] if in_bytes else source.shape[1:]
    if 0 in size:
        return np.zeros((source.shape[2 if in_bytes else 0], *size), np.float32)
    # Source pixels a step of the result at most: the larger singular value.
    step = float(np.linalg.norm(affine[:, :2], 2))
    factor = max(1, int(step))
    corners = apply(affine, np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]))
    low = np.floor(corners.min(0)).astype(int) - 3 * factor
    count = -(-(np.ceil(corners.max(0)).astype(int) + 3 * factor - low) // factor) * factor
    columns, rows = (
        _mirrored(first + np.arange(n), extent)
        for first, n, extent in zip(low, count, (width, height), strict=True)
    )
    region = _reduced(source, rows, columns, factor)

    # What is averaged is now less than 2 pixels a step: twice as many samples do. What is enlarged
    # is made finer by cubics first, so that between its pixels a line will do; an odd number of
    # times, which leaves what was there as it was.
    samples, finer = (2, 1) if step > 1 else (1, 3 if step > 0.3 else 5)
    y, x = (((np.arange(n * samples) + 0.5) / samples).reshape(n, samples) for n in size)
    unit = 2 / (factor * np.array([region.shape[2], region.shape[1]]))
    matrix = np.concatenate([affine[:, :2], affine[:, 2:] - low[:, None]], 1) * unit[:, None]
    matrix[:, 2] -= 1
    inputs = {"source": region, "finer": np.array(finer), "y": y, "x": x, "matrix": matrix}
    seen: Planes = chosen(engine).run("resample", **inputs)["pixels"]
    return seen


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices beyond either end reflected about it, as often as it takes."""
    index = np.mod(index, 2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _reduced(
    source: Pixels | Planes, rows: NDArray[np.int64], columns: NDArray[np.int64], factor: int
) -> Planes:
    """Some rows and columns, averaged in squares of `factor` pixels: [C, h, w]."""
    in_bytes = source.dtype == np.uint8
    axis = 0 if in_bytes else 1
    if _is_range(rows) and _is_range(columns):
        both = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        region = source[(slice(None),) * axis + both]
    else:
        region = source.take(rows, axis).take(columns, axis + 1)
    if not in_bytes:
        if factor == 1:
            return np.ascontiguousarray(region, np.float32)
        height, width = len(rows) // factor, len(columns) // factor
        mean: Planes = region.reshape(-1, height, factor, width, factor).mean((2, 4))
        return mean
    if factor > 1:
        region = np.asarray(Image.fromarray(np.ascontiguousarray(region)).reduce(factor))
    planes = np.ascontiguousarray(region.transpose(2, 0, 1))
    scaled: Planes = np.divide(planes, 255, dtype=np.float32)
    return scaled


def _is_range(index: NDArray[np.int64]) -> bool:
    return bool(index[-1] - index[0] == len(index) - 1 and np.all(np.diff(index) == 1))


def resized(planes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Planes [..., H, W] at another height and width, by lines, or means where it is smaller."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    bilinear = Image.Resampling.BILINEAR
    scaled = [Image.fromarray(plane).resize((size[1], size[0]), bilinear) for plane in flat]
    return np.stack([np.asarray(p) for p in scaled]).reshape(*planes.shape[:-2], *size)
