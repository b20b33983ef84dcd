"""One face of an image: its 68 landmarks, identity embedding, age, gender, smile."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.probes import colour
from styleclip_rt.probes.attributes import Attributes, read_attributes
from styleclip_rt.probes.dlib_models import (
    face_detector,
    identity_network,
    landmark_predictor,
    rectangle,
)

SIZE = 512
"""Every image is judged at this many pixels a side."""

SAME_PERSON_DISTANCE = 0.6
"""dlib's threshold for its embedding (99.38% on LFW)."""

# The box that the HOG detector most often gives on FFHQ-aligned faces, at 512 px.
_FFHQ_BOX = (95.0, 155.0, 405.0, 465.0)
# The predictor's answer depends on a box that the detector gives in steps of a pyramid
# level: averaging over moved boxes removes most of that.
_BOX_MOVES = ((0.0, 0.0, 1.0), (0.03, 0.0, 1.0), (-0.03, 0.0, 1.0), (0.0, 0.03, 1.0),
              (0.0, -0.03, 1.0), (0.0, 0.0, 1.05), (0.0, 0.0, 0.95))  # fmt: skip

Points = NDArray[np.float32]


def as_pixels(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [512, 512, 3] uint8 of a square image of any size.

    Raises StyleClipError for anything that is not a square RGB picture of 128 px or more.
    """
    if isinstance(image, Image.Image):
        picture = image.convert("RGB")
    elif image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        picture = Image.fromarray(image)
    else:
        raise StyleClipError(
            f"A probe needs an image [H, W, 3] of uint8, not {image.shape} of {image.dtype}."
        )
    if picture.width != picture.height or picture.width < 128:
        raise StyleClipError(
            f"A probe needs a square aligned face of at least 128 px, not "
            f"{picture.width}x{picture.height}; crop it as FFHQ does."
        )
    if picture.width > SIZE:
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BOX)
    elif picture.width < SIZE:
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(picture)


@dataclass(frozen=True)
class Face:
    """A face at 512 px.

    pixels: [512, 512, 3] uint8 RGB. landmarks: [68, 2] float32 (x, y), iBUG order.
    detected: whether the HOG detector found it; where it did not, the landmarks were
    fitted in the place where FFHQ's alignment puts a face.
    """

    pixels: NDArray[np.uint8]
    landmarks: Points
    detected: bool

    @classmethod
    def read(cls, image: Image.Image | NDArray[np.uint8]) -> "Face":
        """Find the largest face of a square image of any size >= 128 px."""
        pixels = as_pixels(image)
        boxes = list(face_detector()(pixels, 0)) or list(face_detector()(pixels, 1))
        if boxes:
            box = max(boxes, key=lambda b: b.area())
            corners = (box.left(), box.top(), box.right(), box.bottom())
        else:
            corners = _FFHQ_BOX
        return cls(pixels, _landmarks(pixels, corners), bool(boxes))

    @cached_property
    def lab(self) -> colour.Array:
        """[512, 512, 3] float32 L*a*b*."""
        return colour.lab(self.pixels)

    @cached_property
    def embedding(self) -> NDArray[np.float32]:
        """dlib's identity embedding, [128] float32."""
        import dlib

        points = dlib.full_object_detection(
            rectangle(*_FFHQ_BOX), [dlib.point(round(x), round(y)) for x, y in self.landmarks]
        )
        chip = dlib.get_face_chip(self.pixels, points, 150, 0.25)
        return np.asarray(identity_network().compute_face_descriptor(chip), dtype=np.float32)

    @cached_property
    def attributes(self) -> Attributes:
        eyes, mouth = self.landmarks[36:48].mean(axis=0), self.landmarks[48:60].mean(axis=0)
        height = float(np.hypot(*(mouth - eyes)))
        x, y = (eyes + mouth) / 2
        size = max(height, 0.9 * self.eye_distance)
        return read_attributes(self.pixels, (float(x), float(y - 0.1 * height)), size)

    @cached_property
    def eye_distance(self) -> float:
        """Pixels between the eye centres, never less than a quarter of FFHQ's."""
        left, right = self.landmarks[36:42].mean(axis=0), self.landmarks[42:48].mean(axis=0)
        return max(float(np.hypot(*(right - left))), SIZE / 16)


def _landmarks(pixels: NDArray[np.uint8], box: tuple[float, float, float, float]) -> Points:
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    side = box[2] - box[0]
    found = []
    for dx, dy, scale in _BOX_MOVES:
        x, y = centre + np.array([dx, dy]) * side
        half = side * scale / 2
        shape = landmark_predictor()(pixels, rectangle(x - half, y - half, x + half, y + half))
        found.append([(p.x, p.y) for p in shape.parts()])
    return np.asarray(np.mean(found, axis=0), dtype=np.float32)


@dataclass(frozen=True)
class Likeness:
    """How alike two embeddings are: cosine, Euclidean distance, distance < 0.6."""

    cosine: float
    distance: float

    @property
    def same_person(self) -> bool:
        return self.distance < SAME_PERSON_DISTANCE


def likeness(one: Face, other: Face) -> Likeness:
    """Compare two faces' identity embeddings."""
    a, b = one.embedding.astype(np.float64), other.embedding.astype(np.float64)
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return Likeness(cosine, float(np.linalg.norm(a - b)))
