"""The faces of a picture, found, measured, chosen and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from PIL import Image, ImageDraw, ImageFont

from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos.detector import Detection, detect
from styleclip_rt.photos.engine import PhotoEngine
from styleclip_rt.photos.mesh import (
    LEFT_EYE,
    LEFT_MOUTH,
    RIGHT_EYE,
    RIGHT_MOUTH,
    Points,
    fit_mesh,
    roll_of,
    yaw_of,
)
from styleclip_rt.photos.picture import Picture, Pixels

SMALLEST = 48
"""Pixels across a face, from side to side or forehead to chin, below which none is edited."""

# Logits of presence: faces, even half covered or blurred, give 15 to 40, the same upside down or
# taken at a wrong place below 20, other things and full profiles below 13.
PRESENT, _SURE = 13, 20
_SAME = 0.4  # of the smaller of two boxes
_CROWD = 0.15  # of the picture's smaller side: with such a small face, others may be smaller still


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True)
class Face:
    """A face in a picture. Coordinates are pixels, (0, 0) the outer corner of the first.

    points: [478, 3] float32, MediaPipe's mesh and irises: x, y, depth (see `networks.FaceMesh`).
    score: how sure the detector is, in [0, 1].
    """

    points: Points = field(repr=False)
    score: float

    @cached_property
    def box(self) -> Box:
        """Of the mesh; may reach beyond the picture."""
        low, high = self.points[:468, :2].min(0), self.points[:468, :2].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def size(self) -> float:
        """The larger side of `box`."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    def covers(self, x: float, y: float) -> bool:
        """Whether a point lies in `box`."""
        left, top, right, bottom = self.box
        return left <= x <= right and top <= y <= bottom

    @property
    def roll(self) -> float:
        """Clockwise tilt of the head in degrees, (-180, 180]."""
        return roll_of(self.points)

    @property
    def yaw(self) -> float:
        """How far the face is turned to the right of the upright picture, in degrees."""
        return yaw_of(self.points)

    @property
    def eyes(self) -> tuple[Points, Points]:
        """Centre of the eye left in the upright picture, and of the right one; [2] each."""
        left, right = (self.points[list(eye), :2].mean(0) for eye in (LEFT_EYE, RIGHT_EYE))
        return left, right

    @property
    def mouth(self) -> tuple[Points, Points]:
        """The mouth's corners, left and right in the upright picture; [2] each."""
        return self.points[LEFT_MOUTH, :2], self.points[RIGHT_MOUTH, :2]


def find_faces(picture: Picture | Pixels, engine: PhotoEngine | None = None) -> list[Face]:
    """The faces of a picture, from left to right.

    Args:
        picture: as `read_picture` gives it, or [H, W, 3] uint8 RGB.
        engine: that computes; PyTorch's, if none is given.

    Raises:
        StyleClipError: there is no face, or none of `SMALLEST` pixels.
    """
    pixels = picture.pixels if isinstance(picture, Picture) else picture
    faces = _measured(pixels, detect(pixels, SMALLEST, engine=engine), engine)
    crowd = min(pixels.shape[:2]) * _CROWD
    if not faces or min(face.size for face in faces) < crowd:
        faces = _measured(pixels, detect(pixels, SMALLEST, True, engine), engine)
    large = [face for face in faces if round(face.size) >= SMALLEST]
    if not large and faces:
        size = round(max(face.size for face in faces))
        raise StyleClipError(
            f"The largest face in the picture is {size} pixels across, too small to edit; use a "
            f"picture in which it has at least {SMALLEST}."
        )
    if not large:
        raise StyleClipError(
            "No face was found in the picture; use one in which a face is seen from the front or "
            f"half from the side, at least {SMALLEST} pixels across."
        )
    return sorted(large, key=lambda face: from_the_left(face.box))


Which = str | int
"""How a user names faces: "largest", "all", or a number, 1 for the leftmost."""


def from_the_left(box: Box) -> tuple[float, float]:
    """By which the boxes of faces are in the order of their numbers."""
    return box[0] + box[2], box[1]


def choose_faces(faces: Sequence[Face], which: Which | Sequence[Which] = "largest") -> list[Face]:
    """The faces that a user names, or all of several names, in their order.

    Raises:
        StyleClipError: no such face, or one that is named twice.
    """
    if not isinstance(which, str | int):
        named = [face for one in which for face in choose_faces(faces, one)]
        if len({id(face) for face in named}) < len(named):
            raise StyleClipError("A face is named twice; name each once.")
        return named
    if which == "all":
        return list(faces)
    if which == "largest":
        return [max(faces, key=lambda face: face.size)]
    try:
        number = int(which)
    except ValueError:
        number = 0
    if not 1 <= number <= len(faces):
        raise StyleClipError(
            f"There is no face {which!r}; say largest, all or a number from 1 (leftmost) "
            f"to {len(faces)}."
        )
    return [faces[number - 1]]


def _measured(pixels: Pixels, seen: Sequence[Detection], engine: PhotoEngine | None) -> list[Face]:
    """The faces whose mesh fits, each once: where several meshes overlap, the surest."""
    fitted: list[tuple[float, Face]] = []
    for guess in seen:
        if any(sure > _SURE and face.covers(*guess.centre) for sure, face in fitted):
            continue
        points, presence = fit_mesh(pixels, guess.centre, guess.side, guess.roll, engine)
        if presence > PRESENT:
            fitted.append((presence, Face(points, guess.score)))
    faces: list[Face] = []
    for _, face in sorted(fitted, key=lambda pair: -pair[0]):
        if all(_overlap(face, other) < _SAME for other in faces):
            faces.append(face)
    return faces


def _overlap(one: Face, other: Face) -> float:
    """Intersection of two boxes, in parts of the smaller."""
    a, b = one.box, other.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return max(0.0, width) * max(0.0, height) / max(smaller, 1e-6)


def draw_found(picture: Picture | Pixels, faces: Sequence[Face]) -> Image.Image:
    """The picture with each face's box, mesh and number from the left, for people to look at."""
    pixels = picture.pixels if isinstance(picture, Picture) else picture
    drawn = Image.fromarray(pixels)
    draw = ImageDraw.Draw(drawn)
    for number, face in enumerate(faces, 1):
        line = max(1, round(face.size / 150))
        dot = max(0.6, face.size / 300)
        for index, (x, y) in enumerate(face.points[:, :2].tolist()):
            colour = (255, 210, 0) if index >= 468 else (0, 255, 120)
            draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=colour)
        draw.rectangle(face.box, outline=(255, 60, 60), width=line)
        font = ImageFont.load_default(max(10, face.size / 6))
        left, top, _, _ = face.box
        draw.text(
            (left + 2 * line, top + line), str(number), (255, 255, 255), font,
            stroke_width=2 * line, stroke_fill=(200, 0, 0),
        )  # fmt: skip
    return drawn
