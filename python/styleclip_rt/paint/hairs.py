"""Hair of the face: stubble, moustache, goatee, beard."""

from dataclasses import dataclass

import numpy as np

from styleclip_rt.paint.canvas import Canvas, Colour, curve, filled, soft, towards
from styleclip_rt.paint.head import Head
from styleclip_rt.paint.skin import bare_skin
from styleclip_rt.photos.regions import BROWS, LIPS, OVAL, Plane
from styleclip_rt.photos.resampling import Planes

_JAW = (
    *(132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361),
)
_BEARD = (*_JAW, 401, 435, 427, 436, 391, 393, 164, 167, 165, 216, 207, 215, 177)
_MOUSTACHE = (61, 92, 165, 167, 164, 393, 391, 322, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_BELOW_NOSE = 164
_MOUTH_CORNERS = (61, 291)

_TONES = ((0.6, 0.6), (0.85, 0.55), (1.1, 0.5), (1.5, 0.3))
"""Of hairs: their lightness, in parts of the colour's, and how much they cover."""
_THICK = 0.0036
"""Of a span of the eyes."""


@dataclass(frozen=True)
class _Growth:
    """How many hairs, how long in spans of the eyes, and how dark it is beneath them."""

    hairs: int
    length: float
    shadow: float


def stubble(colours: Planes, head: Head) -> Planes:
    """Some days without a razor."""
    where = _area(colours, head, _BEARD, 0.03) * bare_skin(colours, head)
    return _grown(colours, head, where, _Growth(4500, 0.012, 0.2))


def beard(colours: Planes, head: Head) -> Planes:
    """A full beard, short."""
    where = _area(colours, head, _BEARD, 0.045)
    return _grown(colours, head, where, _Growth(8000, 0.05, 0.6))


def moustache(colours: Planes, head: Head) -> Planes:
    """Between nose and mouth."""
    where = _area(colours, head, _MOUSTACHE, 0.02)
    return _grown(colours, head, where, _Growth(2200, 0.055, 0.7))


def goatee(colours: Planes, head: Head) -> Planes:
    """Around the mouth and on the chin."""
    left, right = head.points[list(_MOUTH_CORNERS)]
    aside, along = 0.03 * head.unit * head.right, head.unit * head.down
    left, right = left - aside, right + aside
    strip = filled(
        np.stack([left - along, right - along, right + along, left + along]), colours.shape[1:]
    )
    where = _area(colours, head, _BEARD, 0.04) * soft(strip, 0.05 * head.unit)
    return _grown(colours, head, where, _Growth(3500, 0.05, 0.55))


def _area(colours: Planes, head: Head, outline: tuple[int, ...], edge: float) -> Plane:
    """Of the face within an outline, without the lips; how softly it ends, in spans of the eyes."""
    size, unit = colours.shape[1:], head.unit
    within = filled(curve(head.points[[*outline, outline[0]]], 6 * len(outline)), size)
    lips = soft(filled(head.points[list(LIPS)], size), 0.006 * unit)
    area: Plane = soft(within, edge * unit) * (1 - lips) * (2 * _face(size, head) - 1).clip(0, 1)
    return area


def _face(size: tuple[int, ...], head: Head) -> Plane:
    return soft(filled(head.points[list(OVAL)], size), 0.012 * head.unit)


def _grown(colours: Planes, head: Head, where: Plane, growth: _Growth) -> Planes:
    """Hairs that run down and outwards, shaded as the skin under them is."""
    chance = np.power(where, 1.5, dtype=np.float64).ravel()
    if chance.sum() < 1:
        return colours
    random = np.random.default_rng(5)
    height, width = where.shape
    count = growth.hairs
    places = random.choice(height * width, count, p=chance / chance.sum())
    starts = np.stack([places % width, places // width], 1) + random.random((count, 2))
    beside = ((starts - head.points[_BELOW_NOSE]) @ head.right) / head.unit
    lean = (1.1 * beside + random.normal(0, 0.28, count))[:, None]
    reach = growth.length * head.unit * random.uniform(0.5, 1.15, (count, 1))
    steps = reach * (np.sin(lean) * head.right + np.cos(lean) * head.down)
    bend = np.stack([-steps[:, 1], steps[:, 0]], 1) * random.normal(0, 0.12, (count, 1))
    lines = np.stack([starts, starts + steps / 2 + bend, starts + steps], 1)
    thick = max(_THICK * head.unit, 0.3) * np.broadcast_to([1, 0.8, 0.2], (count, 3))

    colour = _colour(colours, head)
    skin = float(np.median(colours[0][where > where.max() / 2]))
    shade = (soft(colours[0], 0.02 * head.unit) / skin).clip(0.6, 1.25)
    own = np.stack([colour[0] * shade, *(np.full_like(shade, value) for value in colour[1:])])
    clumps = soft(random.random(where.shape, np.float32), 0.02 * head.unit)
    clumps = (1 + 0.12 * (clumps - clumps.mean()) / clumps.std().clip(1e-3)).clip(0.6, 1.4)
    beneath = (growth.shadow * clumps).clip(0, 1) * soft(where, 0.03 * head.unit)
    grown = towards(colours, np.float32(0.95) * own, beneath)
    within: Plane = (1.3 * _face(where.shape, head)).clip(0, 1) * clumps.clip(0, 1)
    for first, (tone, cover) in enumerate(_TONES):
        canvas = Canvas(where.shape)
        mine = lines[first :: len(_TONES)]
        canvas.strokes(mine, thick[: len(mine)], [255] * len(mine))
        goal = own * np.array([tone, 1, 1], np.float32)[:, None, None]
        grown = towards(grown, goal, (0.6 + growth.shadow) * cover * canvas.mask() * within)
    return grown


def _colour(colours: Planes, head: Head) -> Colour:
    """That of the brows' darkest hairs."""
    canvas = Canvas(colours.shape[1:])
    for outline in BROWS:
        canvas.area(head.points[list(outline)])
    brows = canvas.mask() > 0.9
    if not brows.any():
        return np.array([0.2, 0.01, 0.02], np.float32)
    light = np.percentile(colours[0][brows], 20)
    tint = np.median(colours[1:, brows], axis=1)
    return np.array([np.clip(0.9 * light, 0.13, 0.5), tint[0], tint[1]], np.float32)
