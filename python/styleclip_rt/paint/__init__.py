"""Looks that no latent holds, painted onto a face where its mesh says: freckles, lashes, glasses.

Each is laid out on the face turned to the front, in spans of its eyes, and carried to where the
mesh's points are in the picture: it turns and leans with the head. Needs no torch.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.paint import eyes, hairs, lips, makeup, skin, spectacles
from styleclip_rt.paint.canvas import Colour
from styleclip_rt.paint.head import Head
from styleclip_rt.photos.mesh import Points
from styleclip_rt.photos.oklab import from_oklab, to_oklab
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.regions import Plane
from styleclip_rt.photos.resampling import Planes

__all__ = ["PAINTS", "Painter", "painted"]

Painter = Callable[[Planes, Head], Planes]
"""Oklab colours [3, H, W], and the face in them -> the colours with it."""

_SMALLEST, _LARGEST = 400, 640
"""Pixels a side of the face at which paints are made; those of others are resampled."""
_MARGIN = 0.12
"""Of the mesh's box, around it."""
_GREY = 0.004
"""Of Oklab: a picture with less colour everywhere is black and white, and stays so."""
_FAINTEST = 1 / 512
"""Of Oklab: a smaller change is none."""


def _oklab(light: float, red: float, yellow: float) -> Colour:
    return np.array([light, red, yellow], np.float32)


PAINTS: Mapping[str, Painter] = {
    "freckles": skin.freckles,
    "beauty mark": skin.beauty_mark,
    "big lashes": eyes.big_lashes,
    "eyeliner": eyes.eyeliner,
    "green eyes": partial(eyes.iris, _oklab(0.5, -0.035, 0.04)),
    "pink eye shadow": partial(eyes.eye_shadow, _oklab(0.66, 0.12, 0.01)),
    "purple eye shadow": partial(eyes.eye_shadow, _oklab(0.48, 0.075, -0.08)),
    "green eye shadow": partial(eyes.eye_shadow, _oklab(0.55, -0.07, 0.035)),
    "purple lipstick": partial(lips.lipstick, _oklab(0.42, 0.13, -0.08)),
    "orange lipstick": partial(lips.lipstick, _oklab(0.6, 0.14, 0.11)),
    "black lipstick": partial(lips.lipstick, _oklab(0.22, 0.015, 0.005)),
    "heavy makeup": makeup.heavy_makeup,
    "glasses": spectacles.glasses,
    "sunglasses": spectacles.sunglasses,
    "stubble": hairs.stubble,
    "moustache": hairs.moustache,
    "goatee": hairs.goatee,
    "beard": hairs.beard,
}


def painted(pixels: Pixels, mesh: Points, amounts: Mapping[str, float]) -> Pixels:
    """A picture with paints on one face; where there is none not a bit differs.

    Args:
        pixels: [H, W, 3] of RGB.
        mesh: [478, 3] of the face, in pixels, as `styleclip_rt.photos.mesh.fit_mesh` gives it.
        amounts: paint -> how much of it, in [0, 1]; later ones lie on top.

    Raises:
        StyleClipError: there is no such paint.
    """
    for name in amounts:
        if name not in PAINTS:
            raise StyleClipError(f"there is no paint {name!r}: choose from {', '.join(PAINTS)}.")
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    margin = _MARGIN * (high - low).max()
    limits = [pixels.shape[1], pixels.shape[0]]
    left, top = (low - margin).clip(0, limits).astype(int)
    right, bottom = np.ceil(high + margin).clip(0, limits).astype(int)
    result = pixels.copy()
    window = result[top:bottom, left:right]
    if not window.size:
        return result
    side = max(window.shape[:2])
    scale = min(max(side, _SMALLEST), _LARGEST) / side
    small = Image.fromarray(window)
    if scale != 1:
        size = round(window.shape[1] * scale), round(window.shape[0] * scale)
        small = small.resize(size, Image.Resampling.BICUBIC)
    moved = (mesh - np.array([left, top, 0], np.float32)) * np.float32(scale)
    colours = before = to_oklab(_planes(np.asarray(small)))
    head = Head.of(moved)
    for name, amount in amounts.items():
        colours = colours + np.float32(amount) * (PAINTS[name](colours, head) - colours)
    change = colours - before
    if np.abs(before[1:]).max() < _GREY:
        change[1:] = 0
    if scale != 1:
        change = np.stack([_resampled(plane, window.shape) for plane in change])
    touched = np.abs(change).max(0) >= _FAINTEST
    shown = from_oklab(to_oklab(_planes(window)) + change)
    values = (shown * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    np.copyto(window, values, where=touched[..., None])
    return result


def _planes(pixels: Pixels) -> Planes:
    return np.divide(pixels.transpose(2, 0, 1), 255, dtype=np.float32)


def _resampled(plane: Plane, size: tuple[int, ...]) -> Planes:
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))
