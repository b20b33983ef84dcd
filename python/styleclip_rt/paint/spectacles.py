"""Glasses and sunglasses: a frame that turns with the head, its shadow, its lenses."""

import numpy as np

from styleclip_rt.paint.canvas import Canvas, curve, soft, towards
from styleclip_rt.paint.head import Head, Places
from styleclip_rt.photos.mesh import LEFT_SIDE, RIGHT_SIDE
from styleclip_rt.photos.regions import Plane
from styleclip_rt.photos.resampling import Planes

# In spans of the eyes; what lies before the eyes has less than 0 as its third.
_CLEAR, _DARK = (0.262, 0.19, 3.0), (0.285, 0.215, 2.7)
"""Half the width and height of a lens, and the power of its superellipse."""
_DROP, _HINGE = 0.03, -0.03
_BEFORE, _BENT = -0.16, 0.18
_RIM, _BRIDGE, _ARM = 0.022, 0.026, (0.03, 0.02)
_TEMPLES = (127, 356)


def glasses(colours: Planes, head: Head) -> Planes:
    """A dark frame with clear lenses."""
    frame, lenses = _drawn(colours.shape[1:], head, _CLEAR)
    shaded = _shadow(colours, frame, head)
    shaded[0] *= 1 - 0.03 * lenses
    return _framed(shaded, frame, head)


def sunglasses(colours: Planes, head: Head) -> Planes:
    """A dark frame with dark lenses, lighter below."""
    frame, lenses = _drawn(colours.shape[1:], head, _DARK)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    below = ((x - head.origin[0]) * head.down[0] + (y - head.origin[1]) * head.down[1]) / head.unit
    fade = ((below + 0.2) / 0.45).clip(0, 1).astype(np.float32)
    glass = np.stack([0.1 + 0.12 * fade, 0 * fade, np.full_like(fade, 0.006)])
    shaded = towards(_shadow(colours, frame, head), glass, lenses * (0.95 - 0.12 * fade))
    return _framed(shaded, frame, head)


def _drawn(
    size: tuple[int, ...], head: Head, kind: tuple[float, float, float]
) -> tuple[Plane, Plane]:
    """Masks of the frame and of the lenses."""
    rims, lenses = Canvas(size), Canvas(size)
    half = kind[0]
    for side, ear, temple in zip((-1, 1), (LEFT_SIDE, RIGHT_SIDE), _TEMPLES, strict=True):
        outline = head.before_face(_lens(side, kind, head.apart))
        lenses.area(outline)
        rims.stroke(np.concatenate([outline, outline[:2]]), _RIM * head.unit)
        hinge = head.before_face(np.array([[side * (head.apart + half), _HINGE, 0.02]]))[0]
        end = 0.75 * head.points[temple] + 0.25 * head.points[ear]
        arm = curve(np.stack([hinge, end]), 8)
        rims.stroke(arm, np.linspace(*_ARM, 8) * head.unit)
    x = np.linspace(-1, 1, 24) * (head.apart - half)
    arch = _HINGE - 0.028 * np.cos(x * np.pi / 2 / (head.apart - half))
    bridge = np.stack([x, arch, np.full(24, _BEFORE)], 1)
    rims.stroke(head.before_face(bridge), _BRIDGE * head.unit)
    return rims.mask(), lenses.mask()


def _lens(side: int, kind: tuple[float, float, float], apart: float) -> Places:
    """Its outline in the head [96, 3]: a superellipse, taller at the temple, bent to the face."""
    width, height, power = kind
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x, y = (np.sign(wave) * np.abs(wave) ** (2 / power) for wave in (np.cos(t), np.sin(t)))
    out = side * apart + width * x
    outline: Places = np.stack(
        [out, height * y * (1 + 0.06 * side * x) + _DROP, _BEFORE + _BENT * np.abs(out) ** 2.2], 1
    )
    return outline


def _shadow(colours: Planes, frame: Plane, head: Head) -> Planes:
    fallen = np.roll(soft(frame, 0.014 * head.unit), round(0.02 * head.unit), 0)
    return np.stack([colours[0] * (1 - 0.28 * fallen), *colours[1:]])


def _framed(colours: Planes, frame: Plane, head: Head) -> Planes:
    """A round frame: light from above lies on its upper edge."""
    edge = (frame - np.roll(frame, round(0.006 * head.unit) + 1, 0)).clip(0, 1)
    light = 0.17 + 0.16 * soft(edge, 0.003 * head.unit)
    black = np.stack([light, np.full_like(light, 0.004), np.full_like(light, 0.006)])
    return towards(colours, black, 0.97 * frame)
