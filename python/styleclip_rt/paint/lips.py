"""Lipstick."""

import numpy as np

from styleclip_rt.paint.canvas import Colour, curve, filled, soft, towards
from styleclip_rt.paint.head import Head
from styleclip_rt.paint.skin import exposed
from styleclip_rt.photos.regions import LIPS, MOUTH
from styleclip_rt.photos.resampling import Planes


def lipstick(colour: Colour, colours: Planes, head: Head) -> Planes:
    """A colour [3] in Oklab on the lips, as light and dark as they are."""
    size = colours.shape[1:]
    outer, inner = (curve(head.points[[*each, each[0]]], 120) for each in (LIPS, MOUTH))
    edge = 0.006 * head.unit
    mask = soft(filled(outer, size), edge) * (1 - soft(filled(inner, size), edge))
    total = float(mask.sum())
    if not total:
        return colours
    light = colours[0].clip(0) / (float((colours[0] * mask).sum()) / total)
    # What shines is white.
    dull = (1 - (light - 1.25).clip(0, 0.4) / 0.4)[None]
    colour = exposed(colour, colours, head)
    goal = np.concatenate([colour[0] * light[None] ** 1.2, colour[1:, None, None] * dull])
    return towards(colours, goal, 0.9 * mask)
