"""Where in a picture faces are: BlazeFace over a pyramid of sizes, upright and on its sides.

The network is convolutional, so each level of the pyramid is looked at in one piece. It sees faces
of some 20 to 200 px, tilted by 40 degrees at most; every level is half of the one before it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from styleclip_rt.photos.networks import FaceDetector, face_detector
from styleclip_rt.photos.picture import Pixels

_Points = NDArray[np.float32]

# A face of this many pixels across is seen at a level.
_SEEN = 20
_COARSEST = 160  # larger side of the coarsest level: what fills it is still a face of 160 px
_FIRST = 1024  # larger side of the finest level that every picture is looked at in
_SIDEWAYS = 512  # the same for faces lying on their side or upside down
_BORDER = 32  # black around a level: faces at its edge are cut, not outside
_THRESHOLD = 0.0  # logit
_SAME = 0.35  # intersection over union of two boxes of one face


@dataclass(frozen=True)
class Detection:
    """A face that was seen. Pixels of the picture, (0, 0) its corner; angles in degrees.

    centre: x, y. side: of the square from brows to chin. roll: clockwise tilt of the head.
    score: probability in [0, 1]. keypoints: [6, 2], right and left eye as the person has them, tip
    of the nose, mouth, right and left ear.
    """

    centre: tuple[float, float]
    side: float
    roll: float
    score: float
    keypoints: _Points


def detect(pixels: Pixels, smallest: float) -> list[Detection]:
    """Faces of at least `smallest` pixels in a picture [H, W, 3] of RGB, best first.

    In a large picture the small ones are looked for only where no face or only small ones were
    found before: a portrait's background is not searched for crowds.
    """
    found: list[Detection] = []
    levels = _levels(pixels.shape[1], pixels.shape[0], smallest)
    image = Image.fromarray(pixels)
    reduced = image
    for number, size in enumerate(levels):
        larger = max(size)
        if (
            larger > _FIRST
            and found
            and min(f.side for f in found) > 3 * _SEEN * (max(image.size) / max(levels[number - 1]))
        ):
            break
        reduced = _resized(image, size)
        turns = range(4) if larger <= _SIDEWAYS or not found else (0,)
        for turn in turns:
            found += _look(np.asarray(reduced), turn, image.size)
        found = _merged(found)
    return [f for f in found if f.side >= 0.6 * smallest]


def _levels(width: int, height: int, smallest: float) -> list[tuple[int, int]]:
    """Sizes of the pyramid, coarsest first; the finest shows `smallest` as `_SEEN` pixels."""
    larger = max(width, height)
    scale = min(1.0, max(_SEEN / smallest, min(1.0, 256 / larger)))
    scales = []
    while not scales or scale * larger * 2 > 1.5 * _COARSEST:
        scales.append(scale)
        scale /= 2
    return [(max(1, round(width * s)), max(1, round(height * s))) for s in reversed(scales)]


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    factor = max(1, min(image.width // size[0], image.height // size[1]))
    if factor > 1:
        image = image.reduce(factor)
    return image.resize(size, Image.Resampling.BILINEAR)


def _look(level: Pixels, turn: int, picture: tuple[int, int]) -> list[Detection]:
    """Faces in a level that is turned counter-clockwise by `turn` quarters first."""
    turned = np.rot90(level, turn)
    height, width = turned.shape[:2]
    canvas = np.zeros((_padded(height), _padded(width), 3), np.uint8)
    canvas[_BORDER : _BORDER + height, _BORDER : _BORDER + width] = turned
    x = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        scores, boxes = face_detector()(x.contiguous(memory_format=torch.channels_last))
    chosen = torch.nonzero(scores[0] > _THRESHOLD).flatten()
    centres = _anchors(canvas.shape[0], canvas.shape[1])[chosen]
    rows = boxes[0, chosen].unflatten(1, (8, 2)).clone()
    rows[:, 0] += centres
    rows[:, 2:] += centres[:, None]
    found = []
    for score, row in zip(torch.sigmoid(scores[0, chosen]).tolist(), rows.numpy(), strict=True):
        points = row[[0, 2, 3, 4, 5, 6, 7]] - _BORDER
        # Back to the level as it was, then to the picture.
        points = _turned_back(points, turn, width, height)
        points = points * np.array([picture[0] / level.shape[1], picture[1] / level.shape[0]])
        side = float(row[1].mean()) * picture[0] / level.shape[1]
        points = points.astype(np.float32)
        across = points[2] - points[1]
        roll = float(np.degrees(np.arctan2(across[1], across[0])))
        centre = (float(points[0, 0]), float(points[0, 1]))
        found.append(Detection(centre, side, roll, score, points[1:]))
    return found


def _turned_back(points: _Points, turn: int, width: int, height: int) -> _Points:
    """Points of an image turned counter-clockwise by quarters, of the size given, turned back."""
    x, y = points[:, 0], points[:, 1]
    if turn == 1:
        x, y = height - y, x
    elif turn == 2:
        x, y = width - x, height - y
    elif turn == 3:
        x, y = y, width - x
    return np.stack([x, y], 1)


def _padded(size: int) -> int:
    return -(-(size + 2 * _BORDER) // 32) * 32


def _anchors(height: int, width: int) -> Tensor:
    """Middles of the anchors' cells [A, 2], x then y, in the order of the network's output."""
    parts = []
    for stride, number in FaceDetector.ANCHORS:
        y = (torch.arange(height // stride) + 0.5) * stride
        x = (torch.arange(width // stride) + 0.5) * stride
        grid = torch.stack([x[None, :].expand(len(y), -1), y[:, None].expand(-1, len(x))], 2)
        parts.append(grid.reshape(-1, 2).repeat_interleave(number, 0))
    return torch.cat(parts)


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
    """One detection a face: the best, its place averaged with those that nearly agree."""
    rest = sorted(found, key=lambda f: -f.score)
    merged = []
    while rest:
        best = rest[0]
        same = [f for f in rest if _overlap(best, f) > _SAME]
        rest = [f for f in rest[1:] if _overlap(best, f) <= _SAME]
        agree = [f for f in same if abs((f.roll - best.roll + 180) % 360 - 180) < 30] or [best]
        weights = np.array([f.score for f in agree])
        weights = weights / weights.sum()
        points = sum(w * f.keypoints for w, f in zip(weights, agree, strict=True))
        centre = sum(w * np.array(f.centre) for w, f in zip(weights, agree, strict=True))
        side = float(sum(w * f.side for w, f in zip(weights, agree, strict=True)))
        place = (float(centre[0]), float(centre[1]))
        merged.append(Detection(place, side, best.roll, best.score, np.asarray(points, np.float32)))
    return merged
