"""Pictures seen through an affine map: sub-pixel, without aliasing, mirrored beyond their border.

Coordinates are continuous: (0, 0) is the outer corner of the first pixel, its middle (0.5, 0.5).
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from styleclip_rt.photos.picture import Pixels

Affine = NDArray[np.float64]
"""[2, 3]: maps (x, y, 1) to (x, y)."""


def apply(affine: Affine, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """The map of points [..., 2]."""
    return points @ affine[:, :2].T + affine[:, 2]


def invert(affine: Affine) -> Affine:
    """The map back."""
    matrix = np.linalg.inv(affine[:, :2])
    return np.concatenate([matrix, -matrix @ affine[:, 2:]], 1)


def sample(source: Pixels | Tensor, affine: Affine, size: tuple[int, int]) -> Tensor:
    """`source` seen through `affine`, which maps the result's coordinates to the source's.

    What is made smaller is averaged first, what is made larger interpolated by cubics.

    Args:
        source: [H, W, C] uint8, or [C, H, W] float.
        size: height and width of the result.

    Returns:
        [C, *size] float32; uint8 sources are scaled to [0, 1], cubics may overshoot a little.
    """
    height, width = source.shape[:2] if isinstance(source, np.ndarray) else source.shape[1:]
    if 0 in size:
        return torch.zeros(source.shape[2 if isinstance(source, np.ndarray) else 0], *size)
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
    # is made finer by cubics first (Keys' own, which keep straight lines straight; grid_sample's
    # do not), so that between its pixels a line will do; an odd number of times, which leaves what
    # was there as it was.
    samples, finer = (2, 1) if step > 1 else (1, 3 if step > 0.3 else 5)
    if finer > 1:
        region = F.interpolate(region, scale_factor=finer, mode="bicubic", antialias=True)
    y, x = ((torch.arange(n * samples, dtype=torch.float64) + 0.5) / samples for n in size)
    extents = np.array([region.shape[3], region.shape[2]])
    matrix = affine[:, :2] * (finer / factor * 2 / extents)[:, None]
    start = (affine[:, 2] - low) * (finer / factor * 2 / extents) - 1
    across, down, start = (torch.from_numpy(v) for v in (matrix[:, 0], matrix[:, 1], start))
    grid = (x[None, :, None] * across + y[:, None, None] * down + start).float()
    sampled = F.grid_sample(region, grid[None], "bilinear", "border", align_corners=False)
    return F.avg_pool2d(sampled, samples)[0] if samples > 1 else sampled[0]


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices beyond either end reflected about it, as often as it takes."""
    index = np.mod(index, 2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _reduced(
    source: Pixels | Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64], factor: int
) -> Tensor:
    """Some rows and columns, averaged in squares of `factor` pixels: [1, C, h, w] float32."""
    if isinstance(source, Tensor):
        region = source.float()[None][:, :, torch.from_numpy(rows)][..., torch.from_numpy(columns)]
        return F.avg_pool2d(region, factor) if factor > 1 else region
    if _is_range(rows) and _is_range(columns):
        pixels = source[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    else:
        pixels = source[rows[:, None], columns]
    if factor > 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce(factor))
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255


def _is_range(index: NDArray[np.int64]) -> bool:
    return bool(index[-1] - index[0] == len(index) - 1 and np.all(np.diff(index) == 1))
