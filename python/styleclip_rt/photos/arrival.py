"""That what an edit makes of a region arrives: the photograph's own region comes to the colours
that the edited drawing has there.

A drawing has nearly the photograph's colours, so its light is in them already. By a difference
alone the photograph keeps what the two are apart: hair that is drawn darker than it is comes out of
"black hair" brown.
"""

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.oklab import to_oklab
from styleclip_rt.photos.regions import Plane
from styleclip_rt.photos.resampling import Planes

_FEWEST = 2e-3
"""Of the square's area: a smaller region tells no colour."""

_STILL, _MOVED = 0.01, 0.05
"""Steps in Oklab: an edit that moves a region's colour by less than the first leaves what is
missing alone; one that moves it by the second makes it arrive wholly."""

_EDGE = 0.25
"""Of regions together: nearer their edge than where they are so much, their mask alone fades."""

_LIGHTER, _PALE, _MORE, _BLEACHED = 0.01, 0.79, 2.5, 0.5
"""Steps of lightness in Oklab that are not yet pale skin; the lightness that such skin has; how
many times what a drawing goes beyond the first is added at most; how far colours fade with it."""

_FLATTEST = 0.4
"""How much of its contrast a region keeps at least."""


def missing(
    photograph: Planes, before: Planes, after: Planes, where: Planes, among: Planes
) -> Planes:
    """What has to be added to the difference of two drawings for it to arrive.

    Args:
        photograph, before, after: the aligned photograph and the two drawings, sRGB [3, n, n] in
            [0, 1].
        where: [K, n, n] in [0, 1], regions, where their colours shall arrive.
        among: the same, where both the photograph and the drawing have them, to measure there.

    Returns:
        [3, n, n] in Oklab: for each region so much that its median becomes the edited drawing's,
        and its spread of lightness no wider than there, or `_FLATTEST` of what it was.
    """
    own, old, new = (to_oklab(image) for image in (photograph, before, after))
    arriving = own + new - old
    lacking: Planes = np.zeros_like(own)
    for region, measured in zip(where, among, strict=True):
        if measured.mean() < _FEWEST:
            continue
        was, goal, come = (_median(colours, measured) for colours in (old, new, arriving))
        moved = float(np.linalg.norm(goal - was))
        share = np.clip((moved - _STILL) / (_MOVED - _STILL), 0, 1)
        if share == 0:
            continue
        step = np.broadcast_to((goal - come)[:, None, None], own.shape).copy()
        wide, wanted = (_spread(colours[0], measured) for colours in (arriving, new))
        kept = min(1.0, max(_FLATTEST, wanted / max(wide, 1e-4)))
        step[0] -= (1 - kept) * (arriving[0] - come[0])
        lacking += share * region * step
    # The mask of the edit fades it at a region's edge already.
    lacking /= where.sum(0).clip(_EDGE)
    return lacking


def paleness(photograph: Planes, before: Planes, after: Planes, skin: Plane) -> Planes:
    """What has to be added to the difference of two drawings for an edit that makes skin lighter to
    make it pale: [3, n, n] in Oklab, as `missing`. Pale skin is pale as such: a few steps lighter
    than a dim photograph's it is not."""
    own, old, new = (to_oklab(image) for image in (photograph, before, after))
    lacking: Planes = np.zeros_like(own)
    if skin.mean() < _FEWEST:
        return lacking
    arriving = own + new - old
    was, goal, come = (float(_median(x[:1], skin)[0]) for x in (old, new, arriving))
    lighter = goal - was - _LIGHTER
    if lighter <= 0:
        return lacking
    step = min(max(_PALE - come, 0), _MORE * lighter)
    # Shadows and highlights stay what they are.
    room = np.minimum(arriving[0] / come, (1 - arriving[0]) / max(1 - come, 1e-3))
    lacking[0] = step * room.clip(0, 1) * skin
    # Near white there is less room for a colour.
    lacking[1:] = -_BLEACHED * step / max(1 - come, step) * skin * arriving[1:]
    return lacking


def _median(colours: Planes, weight: Plane) -> NDArray[np.float32]:
    """Of each channel [C, n, n], weighted."""
    flat, heavy = colours.reshape(len(colours), -1), weight.ravel()
    chosen = heavy > 0.5 * heavy.max()
    median: NDArray[np.float32] = np.median(flat[:, chosen], axis=1)
    return median


def _spread(values: Plane, weight: Plane) -> float:
    """Mean distance from the median."""
    chosen = weight > 0.5 * weight.max()
    inside = values[chosen]
    return float(np.abs(inside - np.median(inside)).mean())
