"""Lashes, eyeliner, eye shadow, the colour of the iris."""

import numpy as np

from styleclip_rt.paint.canvas import Canvas, Colour, curve, filled, soft, towards
from styleclip_rt.paint.head import LOWER_LIDS, UPPER_LIDS, Head, Places
from styleclip_rt.paint.skin import exposed
from styleclip_rt.photos.regions import EYES, LIDS, Plane
from styleclip_rt.photos.resampling import Planes

_BLACK = np.array([0.14, 0.006, 0.006], np.float32)
_IRISES = ((468, (469, 471)), (473, (474, 476)))
"""Points of the mesh: the middle, and two opposite ones of the rim."""
_PUPIL = 0.36
"""Of an iris, in parts of its radius."""


def _lid(head: Head, eye: int, lids: tuple[tuple[int, ...], ...]) -> tuple[Places, float, float]:
    """A lid's edge from the inner to the outer corner [64, 2], the eye's width in pixels, and the
    way out of the face: 1 to the right, -1 to the left."""
    line = curve(head.points[list(lids[eye])], 64)
    width = float(np.linalg.norm(line[0] - line[-1]))
    return (line[::-1], width, -1.0) if eye == 0 else (line, width, 1.0)


def big_lashes(colours: Planes, head: Head) -> Planes:
    """Long lashes that fan out, and a dark edge of the lid."""
    random = np.random.default_rng(3)
    size = colours.shape[1:]
    lashes, edge = Canvas(size), Canvas(size)
    at, steps = np.linspace(0, 1, 64), np.linspace(0, 1, 7)[:, None]
    for eye in (0, 1):
        upper, width, out = _lid(head, eye, UPPER_LIDS)
        lower, _, _ = _lid(head, eye, LOWER_LIDS)
        edge.stroke(upper, width * (0.016 + 0.045 * at**0.7))
        for lid, count, length, first, up in (
            (upper, 60, 0.26, 0.04, 1),
            (lower, 30, 0.075, 0.2, 0),
        ):
            for t in np.linspace(first, 1, count):
                lean = (-0.35 + 1.25 * t if up else -0.2 + 0.9 * t) + random.normal(0, 0.06)
                reach = width * length * (0.5 + 0.5 * t) * random.uniform(0.75, 1.1)
                way = out * (np.sin(lean) + 0.25) * head.right
                way = way + (-np.cos(lean) if up else np.cos(lean)) * head.down
                curl = (steps - steps**2) * (0.35 if up else 0.1) * reach * head.down
                line = lid[round(float(t) * 63)] + steps * reach * way + curl
                lashes.stroke(line, width * np.linspace(0.011, 0.002, 7))
    mask = np.maximum(0.9 * lashes.mask(), 0.85 * soft(edge.mask(), 0.004 * head.unit))
    return towards(colours, _BLACK, mask)


def eyeliner(colours: Planes, head: Head) -> Planes:
    """A line along the upper lid that ends in a wing."""
    canvas = Canvas(colours.shape[1:])
    at = np.linspace(0, 1, 80)
    thick = (0.02 + 0.07 * at**0.8) * (1 - ((at - 0.8) / 0.2).clip(0, 1) ** 1.2)
    for eye in (0, 1):
        upper, width, out = _lid(head, eye, UPPER_LIDS)
        wing = upper[-1] + width * (0.16 * out * head.right - 0.1 * head.down)
        line = curve(np.concatenate([upper[6::6], wing[None]]), 80)
        canvas.stroke(line - 0.012 * width * head.down, width * thick)
    return towards(colours, _BLACK, 0.9 * soft(canvas.mask(), 0.003 * head.unit))


def eye_shadow(colour: Colour, colours: Planes, head: Head) -> Planes:
    """A colour on the lids, fading upwards; the skin's own light and shade stay."""
    size = colours.shape[1:]
    lids, eyes = Canvas(size), Canvas(size)
    for outline in LIDS:
        lids.area(head.points[list(outline)])
    for opening in EYES:
        eyes.area(head.points[list(opening)])
    mask = soft(lids.mask(), 0.022 * head.unit) * (1 - soft(eyes.mask(), 0.003 * head.unit))
    return towards(colours, _shaded(colours, mask, exposed(colour, colours, head), 0.5), 0.8 * mask)


def iris(colour: Colour, colours: Planes, head: Head) -> Planes:
    """Irises of a colour; the pupil, its reflections and the rim stay."""
    size = colours.shape[1:]
    y, x = np.ogrid[: size[0], : size[1]]
    mask = np.zeros(size, np.float32)
    for outline, (middle, rim) in zip(EYES, _IRISES, strict=True):
        radius = float(np.linalg.norm(head.points[rim[0]] - head.points[rim[1]])) / 2
        right, down = head.points[middle]
        away = np.hypot(x + 0.5 - right, y + 0.5 - down) / radius
        ring = ((1.02 - away) * 8).clip(0, 1) * ((away - _PUPIL) * 8).clip(0, 1)
        open_ = filled(curve(head.points[[*outline, outline[0]]], 64), size)
        mask = np.maximum(mask, ring.astype(np.float32) * open_)
    mask *= ((0.8 - colours[0]) / 0.15).clip(0, 1)
    return towards(
        colours, _shaded(colours, mask, exposed(colour, colours, head), 0.55), 0.9 * mask
    )


def _shaded(colours: Planes, mask: Plane, colour: Colour, share: float) -> Planes:
    """A colour as light and dark as a place is; `share` of its lightness is its own."""
    total = float(mask.sum())
    mean = float((colours[0] * mask).sum()) / total if total else float(colour[0])
    light = (colours[0] + share * (colour[0] - mean)).clip(0)
    return np.stack([light, *(np.full_like(light, value) for value in colour[1:])])
