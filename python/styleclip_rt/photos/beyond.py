"""What an edit changes where the generator has drawn nothing to compare: hair that is higher than
FFHQ's square is, a neck that is longer, hair that the drawing lacks.

How an edit changes hair where both the photograph and the drawing have it, colour by colour, tells
how it would have changed the rest.
"""

import numpy as np

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.compositing import FAINTEST, FEATHER, part_of
from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.oklab import to_oklab
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.regions import Plane, blurred
from styleclip_rt.photos.resampling import Planes, resized

WIDER = 1.6
"""The side of the square that is looked at, in sides of FFHQ's."""

_SIZE = 256  # pixels at which the change is learnt
_INNER = 160  # of them, that FFHQ's square has
_LEAST = 2e-3  # of the wider square's area: less than this is neither continued nor learnt from
_NEAR, _SMOOTH = 0.05 * _SIZE, 0.04 * _SIZE  # pixels: whose change counts most, and how smoothly
_STEADY = 1e-3  # how much a colour must vary before the change is taken to follow it


def wider(alignment: Alignment) -> Alignment:
    """The square around a face that is looked at for what lies beyond the drawing's."""
    x, y = alignment.right
    return Alignment(alignment.centre, (WIDER * x, WIDER * y))


def continued(
    pixels: Pixels,
    edited: Pixels,
    alignment: Alignment,
    region: Plane,
    drawn: Plane | None = None,
    engine: PhotoEngine | None = None,
) -> Pixels:
    """An edited photograph whose change goes on wherever a region does.

    Where it is known, the change in Oklab is fitted as an affine map of the photograph's own
    colour, those near what is not known counting most; what the map misses is carried on smoothly.

    Args:
        pixels: the photograph [H, W, 3].
        edited: the same with the edit in the square.
        alignment: of the square.
        region: [S, S] in [0, 1] of `wider(alignment)`: what is to be changed as a whole, such as
            all of the hair.
        drawn: [s, s] in [0, 1] of the square: how far the drawing shows the region where the
            photograph does; all over, if it is not given.
        engine: that computes; PyTorch's, if none is given.
    """
    few, there = resized(region, (_SIZE, _SIZE)), _around(drawn)
    known = np.pad(_risen(), (_SIZE - _INNER) // 2) * there
    missing = few * (1 - known)
    sure = few * np.where(known > 0.99 if drawn is None else known > 0.7, known, 0)
    if missing.mean() < _LEAST or sure.mean() < _LEAST:
        return edited
    wide = wider(alignment)
    own, new = (to_oklab(wide.crop(picture, _SIZE, engine)) for picture in (pixels, edited))
    near = blurred(missing, _NEAR) + 0.02
    fit = _affine(own, new - own, sure * sure * near)
    missed = (new - own - _mapped(fit, own)) * sure
    left = blurred(missed, _SMOOTH) / (blurred(sure, _SMOOTH) + 0.02)

    size = (pixels.shape[0], pixels.shape[1])
    part = part_of(region, 0)
    window = wide.window(size, part)
    shares = _shares(alignment, region, drawn, size, engine)
    # Most of a large picture gets nothing: only the pixels that do are worked on, as one column.
    places = np.flatnonzero(shares[1])
    if len(places) == 0:
        return edited
    kept, weight = (share.ravel().take(places)[:, None] for share in shares)
    photograph, before = (
        _planes(picture[window].reshape(-1, 1, 3).take(places, 0)) for picture in (pixels, edited)
    )
    more = wide.inverse(left, size, part, engine).reshape(3, -1).take(places, 1)[..., None]
    engine = chosen(engine)
    lab = engine.run("oklab", image=photograph)["colours"]
    lab = lab + _mapped(fit, lab) + more
    inputs = {"photograph": photograph, "edited": lab, "weight": weight}
    shown = engine.run("recolour", **inputs)["shown"] + kept * (before - photograph)
    result = edited.copy()
    changed = result[window].reshape(-1, 3)
    changed[places] = (shown[..., 0] * 255 + 0.5).clip(0, 255).astype(np.uint8).T
    result[window] = changed.reshape(result[window].shape)
    return result


def weight_beyond(
    alignment: Alignment,
    region: Plane,
    size: tuple[int, int],
    drawn: Plane | None = None,
    engine: PhotoEngine | None = None,
) -> Plane:
    """How much of what `continued` adds each pixel of a picture [H, W] = `size` gets, in [0, 1]."""
    whole: Plane = np.zeros(size, np.float32)
    window = wider(alignment).window(size, part_of(region, 0))
    whole[window] = _shares(alignment, region, drawn, size, engine)[1]
    return whole


def _shares(
    alignment: Alignment,
    region: Plane,
    drawn: Plane | None,
    size: tuple[int, int],
    engine: PhotoEngine | None,
) -> tuple[Plane, Plane]:
    """How much of the edit in the square stays, and of the continued one comes, in the window of
    the region."""
    wide, part = wider(alignment), part_of(region, 0)
    (there,) = wide.inverse(region[None], size, part, engine).clip(0, 1)
    seen: Plane | float = 1.0
    if drawn is not None:
        (seen,) = wide.inverse(_around(drawn)[None], size, part, engine).clip(0, 1)
    whole = np.zeros(size, np.float32)
    whole[alignment.window(size)] = alignment.coverage(size, FEATHER)
    kept = 1 - there * (1 - seen)
    weight = (1 - whole[wide.window(size, part)] * kept) * there
    weight *= wide.coverage(size, FEATHER, part)
    weight[weight < FAINTEST] = 0
    return kept, weight


def _risen() -> Plane:
    """How far a change has faded in, [_INNER, _INNER] of the square, in [0, 1]."""
    at = (np.arange(_INNER) + 0.5) / _INNER
    rise = (np.minimum(at, 1 - at) / FEATHER).clip(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    square: Plane = np.minimum(rise[:, None], rise).astype(np.float32)
    return square


def _around(mask: Plane | None) -> Plane:
    """A mask of the square as one of the wider, its border's values kept; ones, if there is none.
    [_SIZE, _SIZE]."""
    if mask is None:
        return np.ones((_SIZE, _SIZE), np.float32)
    return np.pad(resized(mask, (_INNER, _INNER)), (_SIZE - _INNER) // 2, "edge")


def _affine(colours: Planes, change: Planes, weight: Plane) -> Plane:
    """[4, 3] that maps colours [3, H, W] and 1 to their change, by weighted least squares."""
    ones = np.ones_like(colours[:1])
    x = np.concatenate([colours, ones]).reshape(4, -1).astype(np.float64)
    y, w = change.reshape(3, -1).astype(np.float64), weight.ravel() / weight.sum()
    ridge = np.diag([_STEADY, _STEADY, _STEADY, 1e-9])
    fit: Plane = np.linalg.solve((x * w) @ x.T + ridge, (x * w) @ y.T).astype(np.float32)
    return fit


def _mapped(fit: Plane, colours: Planes) -> Planes:
    change: Planes = np.tensordot(fit[:3].T, colours, 1) + fit[3][:, None, None]
    return change


def _planes(pixels: Pixels) -> Planes:
    planes: Planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return np.divide(planes, 255, dtype=np.float32)
