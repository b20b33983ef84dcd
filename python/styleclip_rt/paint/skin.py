"""Bare skin, and freckles on it."""

import numpy as np

from styleclip_rt.paint.canvas import Canvas, Colour, filled, soft, towards
from styleclip_rt.paint.head import Head, Places
from styleclip_rt.photos.regions import BROWS, EYES, LIPS, OVAL, Plane
from styleclip_rt.photos.resampling import Planes

_UNLIKE = np.array([0.17, 0.045, 0.045], np.float32)
"""Of Oklab: what differs by more from the skin's median is hair, or a hand, or a frame."""

_CHEEKS, _WELL_LIT = (50, 205, 187, 280, 425, 411, 151), 0.7
"""Points of the mesh where skin is bare, and the lightness of light skin there in good light."""

_DARKER, _REDDER, _YELLOWER = 0.26, 0.026, 0.032
"""Of a freckle, at most: the first in parts of the skin's lightness, the others in Oklab."""


def bare_skin(colours: Planes, head: Head) -> Plane:
    """Where Oklab colours [3, H, W] show a face's skin, [H, W] in [0, 1]."""
    size = colours.shape[1:]
    canvas = Canvas(size)
    for outline in (LIPS, *EYES, *BROWS):
        canvas.area(head.points[list(outline)])
    features = (4 * soft(canvas.mask(), 0.012 * head.unit)).clip(0, 1)
    inside = filled(head.points[list(OVAL)], size) * (1 - features)
    if inside.max() < 0.9:
        return np.zeros(size, np.float32)
    typical = np.median(colours[:, inside >= 0.9], axis=1).astype(np.float32)
    away = np.square((colours - typical[:, None, None]) / _UNLIKE[:, None, None]).sum(0)
    alike = np.exp(-0.5 * (away - 1).clip(0))
    bare: Plane = soft(alike, 0.01 * head.unit) * (1 - features)
    return bare


def exposed(colour: Colour, colours: Planes, head: Head) -> Colour:
    """A colour [3] as dark as the light on a face makes it; dark skin counts for dark light too, so
    only in part."""
    height, width = colours.shape[1:]
    x, y = head.points[list(_CHEEKS)].astype(int).T
    seen = colours[0, y.clip(0, height - 1), x.clip(0, width - 1)]
    light = float(np.clip(np.median(seen) / _WELL_LIT, 0.2, 1)) ** 0.6
    return np.array([light, light, light], np.float32) * colour


def freckles(colours: Planes, head: Head) -> Planes:
    """Densest on nose and cheeks, in clumps; browner than the skin by the same on any."""
    random = np.random.default_rng(8)
    near, wide = 1400, 520
    spread = np.repeat([[0.36, 0.15], [0.5, 0.42]], [near, wide], axis=0)
    places = random.normal(0, 1, spread.shape) * spread + [0, 0.33]
    places = places[_clumped(places, random) > random.random(len(places))]
    radii = 0.0065 + 0.0095 * random.beta(1.1, 4, len(places))
    depths = random.beta(1.3, 2.2, len(places)) * (radii / radii.max()) ** 0.3
    angles = random.uniform(0, np.pi, len(places))
    ratios = random.uniform(0.65, 1, len(places))
    there, area = head.on_skin(places)
    height, width = colours.shape[1:]
    kept = (area > 0.1) & ((there > 0) & (there < [width, height])).all(1)
    spots = np.zeros((height, width), np.float32)
    for i in np.flatnonzero(kept):
        radius = max(radii[i] * head.unit * min(1, area[i]) ** 0.25, 0.6)
        _spot(spots, there[i], radius, ratios[i], angles[i], depths[i])
    spots *= bare_skin(colours, head)
    browner = np.array([0, _REDDER, _YELLOWER], np.float32)[:, None, None] * spots
    browner[0] -= _DARKER * colours[0] * spots
    freckled: Planes = colours + browner
    return freckled


def _clumped(places: Places, random: np.random.Generator) -> Places:
    """How likely each is to be there, [K]."""
    centres = random.normal(0, 1, (60, 2)) * [0.42, 0.24] + [0, 0.34]
    away = np.square(places[:, None] - centres).sum(-1).min(1)
    likely: Places = 0.25 + 0.75 * np.exp(-away / (2 * 0.045**2))
    return likely


def _spot(
    spots: Plane, place: Places, radius: float, ratio: float, angle: float, depth: float
) -> None:
    """Add one, a soft ellipse."""
    x, y = place
    reach = int(2.2 * radius) + 1
    top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
    patch = spots[top : int(y) + reach + 1, left : int(x) + reach + 1]
    v, u = np.ogrid[: patch.shape[0], : patch.shape[1]]
    right, down = u + left + 0.5 - x, v + top + 0.5 - y
    along = (np.cos(angle) * right + np.sin(angle) * down) / radius
    across = (np.cos(angle) * down - np.sin(angle) * right) / (radius * ratio)
    patch += (1 - patch) * depth * np.exp(-((along**2 + across**2) ** 1.4))


def beauty_mark(colours: Planes, head: Head) -> Planes:
    """A small dark mole above the corner of the mouth."""
    (place,), _ = head.on_skin(head.front[[322]] + [0.02, -0.015])
    spot = np.zeros(colours.shape[1:], np.float32)
    _spot(spot, place, max(0.012 * head.unit, 0.8), 0.9, 0.4, 1)
    darker = np.array([0.45, 1, 1], np.float32)[:, None, None] * colours
    return towards(colours, darker, 0.85 * spot * bare_skin(colours, head))
