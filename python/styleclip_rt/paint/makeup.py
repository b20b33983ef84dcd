"""Blush, and all of a heavy makeup."""

from functools import partial

import numpy as np

from styleclip_rt.paint.eyes import big_lashes, eye_shadow, eyeliner
from styleclip_rt.paint.head import Head
from styleclip_rt.paint.lips import lipstick
from styleclip_rt.paint.skin import bare_skin
from styleclip_rt.photos.resampling import Planes

_CHEEKS = (50, 280)
_BLUSH = np.array([-0.025, 0.045, 0.008], np.float32)
_LIPS = np.array([0.45, 0.155, 0.05], np.float32)
_SMOKY = np.array([0.36, 0.035, 0.005], np.float32)


def blush(colours: Planes, head: Head) -> Planes:
    """Redder cheeks."""
    y, x = np.mgrid[: colours.shape[1], : colours.shape[2]] + 0.5
    cheeks = np.zeros(colours.shape[1:], np.float32)
    for right, down in head.points[list(_CHEEKS)]:
        away = np.square(x - right) + np.square(y - down)
        cheeks += np.exp(-away / (2 * (0.13 * head.unit) ** 2)).astype(np.float32)
    cheeks *= bare_skin(colours, head)
    redder: Planes = colours + _BLUSH[:, None, None] * cheeks.clip(0, 1)
    return redder


def heavy_makeup(colours: Planes, head: Head) -> Planes:
    """Blush, smoky lids, eyeliner, lashes and red lips."""
    for paint, amount in (
        (blush, 0.65),
        (partial(eye_shadow, _SMOKY), 0.9),
        (eyeliner, 0.9),
        (big_lashes, 0.8),
        (partial(lipstick, _LIPS), 0.9),
    ):
        colours = colours + np.float32(amount) * (paint(colours, head) - colours)
    return colours
