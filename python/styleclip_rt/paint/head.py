"""A face's mesh as it lies in the picture and as it is seen from the front."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.mesh import LEFT_SIDE, RIGHT_SIDE, Points

Places = NDArray[np.float64]

_BROW_MIDDLE, _NOSE_BOTTOM = 9, 164
_CORNERS = ((33, 133), (362, 263))
"""Of each eye, from left to right as seen."""

# Each eye's lids, from left to right as seen.
UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
)
LOWER_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)

_REACH = 0.09
"""Of a span of the eyes: how far off points of the mesh tell where a place of the skin lies."""


@dataclass(frozen=True)
class Head:
    """What paints are laid out on.

    Attributes:
        front: [468, 2] right and down in the head, in spans of the eyes; (0, 0) is between them.
        points: [478, 2], in pixels of the picture.
        turn: [3, 3]: its rows point right, down and away in the head.
        unit: span of the eyes, from outer corner to outer corner, in pixels.
        origin: [3], between the eyes, in pixels.
    """

    front: Places
    points: Places
    turn: Places
    unit: float
    origin: Places

    @classmethod
    def of(cls, mesh: Points) -> "Head":
        """Of a mesh [478, 3] in pixels, as `styleclip_rt.photos.mesh.fit_mesh` gives it."""
        points = mesh.astype(np.float64)
        across = points[RIGHT_SIDE] - points[LEFT_SIDE]
        across /= np.linalg.norm(across)
        down = points[_NOSE_BOTTOM] - points[_BROW_MIDDLE]
        down -= (down @ across) * across
        down /= np.linalg.norm(down)
        turn = np.stack([across, down, np.cross(across, down)])
        corners = points[[each for eye in _CORNERS for each in eye]]
        origin = corners.mean(0)
        unit = float(np.linalg.norm(corners[0] - corners[-1]))
        front = (points[:468] - origin) @ turn.T[:, :2] / unit
        return cls(front, points[:, :2], turn, unit, origin)

    @property
    def right(self) -> Places:
        """The head's right as seen, as a step in the picture."""
        return self.turn[0, :2]

    @property
    def down(self) -> Places:
        """The head's down, as a step in the picture."""
        return self.turn[1, :2]

    @property
    def apart(self) -> float:
        """From the middle of the face to the middle of an eye, in spans of the eyes."""
        corners = self.front[[each for eye in _CORNERS for each in eye]]
        return float(np.abs(corners[:, 0]).mean())

    def on_skin(self, places: Places) -> tuple[Places, Places]:
        """Where places [K, 2] of the front are in the picture [K, 2]; and how large [K] an area is
        seen there, as a part of what it is from the front.

        By affine moving least squares (Schaefer et al. 2006) between the points of the mesh.
        """
        away = ((places[:, None] - self.front) ** 2).sum(-1)
        weight = np.exp(-away / (2 * _REACH**2)) + 1e-9
        weight /= weight.sum(1, keepdims=True)
        points = self.points[:468]
        middle, goal = weight @ self.front, weight @ points
        centred, aims = self.front - middle[:, None], points - goal[:, None]
        weighted = (weight[..., None] * centred).swapaxes(1, 2)
        moments = weighted @ centred + 1e-7 * np.eye(2)
        affine = np.linalg.solve(moments, weighted @ aims)
        there = goal + ((places - middle)[:, None] @ affine)[:, 0]
        return there, np.abs(np.linalg.det(affine)) / self.unit**2

    def before_face(self, places: Places) -> Places:
        """Where places [K, 3] of the head, in spans of the eyes, are in the picture [K, 2]."""
        there: Places = (self.origin + self.unit * (places @ self.turn))[:, :2]
        return there
