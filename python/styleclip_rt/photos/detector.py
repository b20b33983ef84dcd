"""Where in a picture faces are: BlazeFace over a pyramid of sizes, upright and on its sides.

The network sees faces of some 20 to 200 px, tilted by 40 degrees at most; it is convolutional, so
that a level of the pyramid may have any size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.picture import Pixels

_Points = NDArray[np.floating]

# Stride and number of anchors in each cell of the network's two grids.
_ANCHORS = ((16, 2), (32, 6))
# A face of this many pixels across is seen at a level.
_SEEN = 20
# Larger sides of the levels of a quick look: a face may fill the first, which is cheap to turn.
_COARSE, _FINE = 192, 512
_SIDEWAYS = 1024  # above it, even a thorough look is an upright one
_TILE, _OVERLAP = 640, 128  # larger levels are looked at in parts; a coarser one shows larger faces
_BORDER = 16  # black around a level: faces at its edge are cut, not outside
_THRESHOLD = 0.0  # logit
_SAME, _SAME_TILT = 0.35, 40  # intersection over union, and degrees, of two boxes of one face


@dataclass(frozen=True)
class Detection:
    """A face that was seen. Pixels of the picture, (0, 0) its corner; angles in degrees.

    centre: x, y. side: of the square from brows to chin. roll: clockwise tilt of the head.
    score: probability in [0, 1].
    """

    centre: tuple[float, float]
    side: float
    roll: float
    score: float

    def in_picture(self, left: int, top: int, scale: float) -> "Detection":
        """The same from a part of a picture that was made smaller by `scale`."""
        x, y = (self.centre[0] + left) / scale, (self.centre[1] + top) / scale
        return Detection((x, y), self.side / scale, self.roll, self.score)


def detect(
    pixels: Pixels, smallest: float, thorough: bool = False, engine: PhotoEngine | None = None
) -> list[Detection]:
    """Faces of at least `smallest` pixels in a picture [H, W, 3] of RGB, best first.

    One face may be seen several times, each time tilted otherwise: a face upside down looks like
    one upright. Unless `thorough`, faces below 4 % of the picture are left out, and those below
    10 % that lie on their side.
    """
    found: list[Detection] = []
    engine = chosen(engine)
    image = Image.fromarray(pixels)
    reduced = image
    levels = _levels(max(image.size), smallest, thorough)
    for larger in levels:
        scale = larger / max(image.size)
        reduced = _resized(reduced, (round(image.width * scale), round(image.height * scale)))
        turned = larger == levels[-1] or (thorough and larger <= _SIDEWAYS)
        for turn in range(4) if turned else (0,):
            for left, top, tile in _tiles(np.asarray(reduced)):
                found += [face.in_picture(left, top, scale) for face in _look(tile, turn, engine)]
    return [face for face in _merged(found) if face.side >= 0.6 * smallest]


def _levels(larger: int, smallest: float, thorough: bool) -> list[int]:
    """Larger sides of the pyramid's levels, finest first, for a picture's larger side."""
    if not thorough:
        return [min(_FINE, larger)] + [_COARSE] * (larger > 1.25 * _COARSE)
    levels = [float(larger) * min(1, max(_SEEN / smallest, 256 / larger))]
    while levels[-1] > 1.25 * _COARSE:
        levels.append(levels[-1] / 2)
    return [round(level) for level in levels]


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    size = (max(1, size[0]), max(1, size[1]))
    factor = max(1, min(image.width // size[0], image.height // size[1]))
    if factor > 1:
        image = image.reduce(factor)
    return image.resize(size, Image.Resampling.BILINEAR)


def _tiles(level: Pixels) -> Iterator[tuple[int, int, Pixels]]:
    """Left, top and pixels of overlapping parts that a processor's cache holds."""
    height, width = level.shape[:2]
    for top in range(0, max(1, height - _OVERLAP), _TILE - _OVERLAP):
        for left in range(0, max(1, width - _OVERLAP), _TILE - _OVERLAP):
            yield left, top, level[top : top + _TILE, left : left + _TILE]


def _look(level: Pixels, turn: int, engine: PhotoEngine) -> list[Detection]:
    """Faces in a level that is turned counter-clockwise by `turn` quarters first, in its pixels."""
    turned = np.rot90(level, turn)
    height, width = turned.shape[:2]
    images = np.full((1, 3, _padded(height), _padded(width)), -1, np.float32)
    inside = images[0, :, _BORDER : _BORDER + height, _BORDER : _BORDER + width]
    inside[:] = turned.transpose(2, 0, 1) / np.float32(127.5) - 1
    found = engine.run("face_detector", images=images)
    scores, boxes = found["scores"][0], found["boxes"][0]
    (seen,) = np.nonzero(scores > _THRESHOLD)
    rows = boxes[seen].reshape(-1, 8, 2)
    # Centre, right eye and left eye; the size is the row between.
    centres = _anchors(images.shape[2], images.shape[3])[seen]
    points = rows[:, [0, 2, 3]] + centres[:, None] - _BORDER
    points = _turned_back(points, turn, width, height)
    sides = rows[:, 1].mean(1)
    across = points[:, 2] - points[:, 1]
    rolls = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    # Of a positive logit, which no exponential overflows.
    certain = 1 / (1 + np.exp(-scores[seen]))
    return [
        Detection((float(x), float(y)), float(side), float(roll), float(score))
        for (x, y), side, roll, score in zip(points[:, 0], sides, rolls, certain, strict=True)
    ]


def _turned_back(points: _Points, turn: int, width: int, height: int) -> _Points:
    """Points of an image turned counter-clockwise by quarters, of the size given, turned back."""
    x, y = points[..., 0], points[..., 1]
    if turn == 1:
        x, y = height - y, x
    elif turn == 2:
        x, y = width - x, height - y
    elif turn == 3:
        x, y = y, width - x
    return np.stack([x, y], -1)


def _padded(size: int) -> int:
    return -(-(size + 2 * _BORDER) // 32) * 32


def _anchors(height: int, width: int) -> NDArray[np.float32]:
    """Middles of the anchors' cells [A, 2], x then y, in the order of the network's output."""
    parts = []
    for stride, number in _ANCHORS:
        y, x = ((np.arange(n // stride, dtype=np.float32) + 0.5) * stride for n in (height, width))
        grid = np.stack(np.meshgrid(x, y), -1)
        parts.append(grid.reshape(-1, 2).repeat(number, 0))
    return np.concatenate(parts)


def _overlap(one: Detection, other: Detection) -> float:
    """Intersection over union of two squares."""
    reach = (one.side + other.side) / 2
    sides = [
        min(one.side, other.side, max(0.0, reach - abs(a - b)))
        for a, b in zip(one.centre, other.centre, strict=True)
    ]
    shared = sides[0] * sides[1]
    return shared / max(one.side**2 + other.side**2 - shared, 1e-9)


def _merged(found: list[Detection]) -> list[Detection]:
    """What was seen at the same place with the same tilt, averaged; best first."""
    rest = sorted(found, key=lambda face: -face.score)
    merged = []
    while rest:
        best = rest[0]
        same = [face for face in rest if _agree(best, face)]
        rest = [face for face in rest if not _agree(best, face)]
        weights = np.array([face.score for face in same], np.float32)
        weights /= weights.sum()
        x, y = weights @ np.array([face.centre for face in same])
        side = float(weights @ np.array([face.side for face in same]))
        merged.append(Detection((float(x), float(y)), side, best.roll, best.score))
    return merged


def _agree(one: Detection, other: Detection) -> bool:
    tilt = abs((one.roll - other.roll + 180) % 360 - 180)
    return one is other or (tilt < _SAME_TILT and _overlap(one, other) > _SAME)
