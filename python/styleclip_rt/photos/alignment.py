"""FFHQ's alignment: the square of a photograph in which the generator expects a face.

Karras et al. 2019 (arXiv:1812.04948), `recreate_aligned_images` of NVlabs/ffhq-dataset: a square
upright in the face, from the centres of the eyes and the corners of the mouth.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.engine import PhotoEngine
from styleclip_rt.photos.faces import Box, Face
from styleclip_rt.photos.picture import Picture, Pixels
from styleclip_rt.photos.resampling import Affine, Planes, apply, invert, sample

WHOLE: Box = (0, 0, 1, 1)
"""The square."""

Window = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass(frozen=True)
class Alignment:
    """A square in a picture, by its centre and the vector from there to the middle of its right
    side; pixels, (0, 0) the outer corner of the first.

    Coordinates in the square run from (0, 0), its upper left corner in the upright face, to (1, 1).
    """

    centre: tuple[float, float]
    right: tuple[float, float]

    @classmethod
    def of(cls, face: Face) -> "Alignment":
        """FFHQ's square for a face."""
        left_eye, right_eye = (eye.astype(np.float64) for eye in face.eyes)
        eyes, across = (left_eye + right_eye) / 2, right_eye - left_eye
        mouth = np.mean(face.mouth, axis=0, dtype=np.float64)
        down = mouth - eyes
        # What points right in the face: across the eyes, and a quarter turn from down.
        x = across + np.array([down[1], -down[0]])
        x *= max(2 * np.hypot(*across), 1.8 * np.hypot(*down)) / np.hypot(*x)
        centre = eyes + 0.1 * down
        return cls((float(centre[0]), float(centre[1])), (float(x[0]), float(x[1])))

    @property
    def side(self) -> float:
        """Of the square, in pixels of the picture."""
        return 2 * math.hypot(*self.right)

    @property
    def quad(self) -> NDArray[np.float64]:
        """The corners [4, 2]: upper left, lower left, lower right, upper right."""
        return self.to_picture(np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float64))

    def affine(self, size: float = 1) -> Affine:
        """Maps a crop of `size` pixels a side to the picture."""
        x, y = self.right
        matrix = np.array([[x, -y], [y, x]]) * (2 / size)
        middle = np.array(self.centre) - matrix @ np.full(2, size / 2)
        return np.concatenate([matrix, middle[:, None]], 1)

    def to_picture(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points [..., 2] of the square, in the picture."""
        return apply(self.affine(), points)

    def to_square(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points [..., 2] of the picture, in the square."""
        return apply(invert(self.affine()), points)

    def crop(
        self, picture: Picture | Pixels | Planes, size: int, engine: PhotoEngine | None = None
    ) -> Planes:
        """What the square shows, [3, size, size] in [0, 1], mirrored beyond the picture's border.

        picture: as `read_picture` gives it, [H, W, 3] uint8, or [C, H, W] float32 in [0, 1], whose
        channels then are the crop's.
        """
        source = picture.pixels if isinstance(picture, Picture) else picture
        seen = sample(source, self.affine(size), (size, size), engine)
        return np.clip(seen, 0, 1, out=seen)

    def window(self, size: tuple[int, int], part: Box = WHOLE) -> Window:
        """The rows and columns of a picture [H, W] = `size` in which a part of the square lies."""
        left, top, right, bottom = part
        corners = [[left, top], [left, bottom], [right, bottom], [right, top]]
        quad = self.to_picture(np.array(corners, np.float64))
        low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
        height, width = size
        return (
            slice(int(np.clip(low[1], 0, height)), int(np.clip(high[1], 0, height))),
            slice(int(np.clip(low[0], 0, width)), int(np.clip(high[0], 0, width))),
        )

    def inverse(
        self,
        patch: Planes,
        size: tuple[int, int],
        part: Box = WHOLE,
        engine: PhotoEngine | None = None,
    ) -> Planes:
        """A crop put back to where it came from.

        Args:
            patch: [C, S, S] of the square: colours, a mask, or a difference; not clipped.
            size: height and width of the picture.
            part: of the square, that is wanted.
            engine: that computes; PyTorch's, if none is given.

        Returns:
            [C, h, w] in the picture's pixels of `window(size, part)`. Beyond the square it is
            mirrored; `coverage` tells how far it counts.
        """
        rows, columns = self.window(size, part)
        to_patch = invert(self.affine(patch.shape[-1]))
        # The window's coordinates, not the picture's.
        to_patch[:, 2] += to_patch[:, :2] @ np.array([columns.start, rows.start], np.float64)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return sample(patch, to_patch, shape, engine)

    def coverage(
        self, size: tuple[int, int], feather: float = 0, part: Box = WHOLE
    ) -> NDArray[np.float32]:
        """How far each pixel of `window(size, part)` lies in the square, [h, w] in [0, 1].

        0 outside; rises to 1 within `feather` of the square's side from its edge, smoothly.
        """
        rows, columns = self.window(size, part)
        x = np.arange(columns.start, columns.stop) + 0.5
        y = np.arange(rows.start, rows.stop)[:, None] + 0.5
        # A pixel's width at least: the square's edge is not a staircase.
        edge = max(feather, 1 / self.side)
        rise: NDArray[np.float32] | None = None
        for at_x, at_y, start in invert(self.affine()):
            # Half the square's side less the way from its middle is the way from its edge.
            across, down = at_x * x / edge, (at_y * y + start - 0.5) / edge
            way = across.astype(np.float32) + down.astype(np.float32)
            np.abs(way, out=way)
            np.subtract(np.float32(0.5 / edge), way, out=way)
            rise = way if rise is None else np.minimum(rise, way, out=rise)
        assert rise is not None
        np.clip(rise, 0, 1, out=rise)
        covered: NDArray[np.float32] = rise * rise * (3 - 2 * rise)
        return covered
