"""Areas and lines as masks, and colours laid on by them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from styleclip_rt.paint.head import Places
from styleclip_rt.photos.regions import Plane
from styleclip_rt.photos.resampling import Planes

Colour = NDArray[np.float32]
"""[3] in Oklab."""

_FINE = 3
"""Times as many pixels edges are drawn with."""


class Canvas:
    """A mask, drawn with lines and areas.

    Args:
        size: height and width, in pixels; places are (x, y) in them.
    """

    def __init__(self, size: tuple[int, ...]) -> None:
        self._size = size[1], size[0]
        self._image = Image.new("L", (size[1] * _FINE, size[0] * _FINE))
        self._draw = ImageDraw.Draw(self._image)

    def area(self, outline: Places, value: int = 255) -> None:
        """Fill an outline [K, 2]."""
        self._draw.polygon((outline * _FINE).ravel().tolist(), fill=value)

    def stroke(self, line: Places, widths: NDArray[np.float64] | float) -> None:
        """A line [K, 2] that is that wide at each of its points."""
        self.strokes(line[None], np.broadcast_to(widths, len(line))[None], [255])

    def strokes(self, lines: Places, widths: NDArray[np.float64], values: list[int]) -> None:
        """Lines [N, K, 2], the later on top, each that wide [N, K] and of a value in 0 to 255."""
        along = np.gradient(lines, axis=1)
        normal = np.stack([-along[..., 1], along[..., 0]], -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-9)
        half = normal * widths[..., None] / 2
        outlines = np.concatenate([lines + half, (lines - half)[:, ::-1]], 1)
        flat = (outlines * _FINE).reshape(len(lines), -1).tolist()
        for outline, value in zip(flat, values, strict=True):
            self._draw.polygon(outline, fill=value)

    def mask(self) -> Plane:
        """[H, W] in [0, 1]."""
        small = self._image.resize(self._size, Image.Resampling.BOX)
        covered: Plane = np.divide(np.asarray(small), 255, dtype=np.float32)
        return covered


def filled(outline: Places, size: tuple[int, ...]) -> Plane:
    """The inside of an outline [K, 2], as a mask [H, W] = `size` in [0, 1]."""
    canvas = Canvas(size)
    canvas.area(outline)
    return canvas.mask()


def curve(points: Places, count: int) -> Places:
    """[count, 2] through points [K, 2]: Catmull and Rom's (1974) spline."""
    ends = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    padded = np.concatenate([ends[0], points, ends[1]])
    at = np.linspace(0, len(points) - 1 - 1e-9, count)
    k, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = (padded[k + i] for i in range(4))
    cubic = (3 * b - a - 3 * c + d) * t**3 + (2 * a - 5 * b + 4 * c - d) * t**2
    line: Places = b + (cubic + (c - a) * t) / 2
    return line


def soft(mask: Plane, radius: float) -> Plane:
    """A mask, blurred."""
    grey = Image.fromarray((mask.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(radius)))
    softened: Plane = np.divide(blurred, 255, dtype=np.float32)
    return softened


def towards(colours: Planes, goal: NDArray[np.float32], mask: Plane) -> Planes:
    """Oklab colours [3, H, W] as far on to a goal, [3] or [3, H, W], as a mask [H, W] says."""
    whole = goal[:, None, None] if goal.ndim == 1 else goal
    there: Planes = colours + mask * (whole - colours)
    return there
