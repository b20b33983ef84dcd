"""The mesh of a face in a picture, from a first guess of where the face is."""

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.resampling import Affine, apply, sample

Points = NDArray[np.float32]

_Place = tuple[tuple[float, float], float, float]  # centre, side, roll

SIZE = 192
"""Of the crop that the network looks at, in px."""

# MediaPipe's mesh; "left" and "right" as seen in the picture.
LEFT_EYE = (33, 160, 158, 133, 153, 144)
RIGHT_EYE = (362, 385, 387, 263, 373, 380)
"""The six points of each eye that dlib's 68 have, by which FFHQ was aligned."""
LEFT_MOUTH, RIGHT_MOUTH = 61, 291
LEFT_SIDE, RIGHT_SIDE = 234, 454

_MARGIN = 1.5  # side of the crop to that of the face in it, as in MediaPipe's graph
_LOOKS = 3  # at most; the crop of each is where the one before found the face
_NEAR = 0.03  # of the side: so near the crop was where the face is, and need not be taken again


def fit_mesh(
    pixels: Pixels,
    centre: tuple[float, float],
    side: float,
    roll: float,
    engine: PhotoEngine | None = None,
) -> tuple[Points, float]:
    """Points [478, 3] of the face near a first guess, and the logit of there being one.

    Args:
        pixels: picture [H, W, 3] of RGB.
        centre, side, roll: of the square that the face fills; pixels, and degrees clockwise.
        engine: that computes; PyTorch's, if none is given.

    Returns:
        Points as `networks.FaceMesh` has them, in pixels of the picture.
    """
    engine = chosen(engine)
    for _ in range(_LOOKS):
        affine = _crop(centre, side * _MARGIN, roll)
        crop = sample(pixels, affine, (SIZE, SIZE), engine).clip(0, 1)
        found = engine.run("face_mesh", images=crop[None])
        points = found["points"][0].astype(np.float64)
        points[:, :2] = apply(affine, points[:, :2])
        points[:, 2] *= side * _MARGIN / SIZE
        seen = centre, side, roll
        centre, side, roll = place_of(points)
        if _distance(seen, (centre, side, roll)) < _NEAR * side:
            break
    return points.astype(np.float32), float(found["presence"][0])


def _crop(centre: tuple[float, float], side: float, roll: float) -> Affine:
    """Maps pixels of the network's crop to the picture's."""
    angle, scale = np.radians(roll), side / SIZE
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, SIZE / 2)
    return np.concatenate([matrix, (np.array(centre) - matrix @ middle)[:, None]], 1)


def place_of(points: NDArray[np.floating]) -> _Place:
    """Centre, side and roll of the square around a mesh, upright in the face: a first guess for
    `fit_mesh`."""
    angle = roll_of(points)
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = points[:468, :2] @ rotation
    low, high = upright.min(0), upright.max(0)
    x, y = rotation @ ((low + high) / 2)
    return (float(x), float(y)), float((high - low).max()), angle


def _distance(one: _Place, other: _Place) -> float:
    """How far apart the corners of two squares are at most, about."""
    (a, side, roll), (b, other_side, other_roll) = one, other
    turned = np.radians(abs((roll - other_roll + 180) % 360 - 180))
    return float(
        np.hypot(a[0] - b[0], a[1] - b[1]) + abs(side - other_side) / 2 + turned * side / 2
    )


def roll_of(points: NDArray[np.floating]) -> float:
    """Degrees by which the line from eye to eye is tilted clockwise, in (-180, 180]."""
    left, right = points[list(LEFT_EYE), :2].mean(0), points[list(RIGHT_EYE), :2].mean(0)
    return float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))


def yaw_of(points: NDArray[np.floating]) -> float:
    """Degrees by which the face is turned to the right of an upright picture of it."""
    across = points[RIGHT_SIDE] - points[LEFT_SIDE]
    return float(np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1]))))
