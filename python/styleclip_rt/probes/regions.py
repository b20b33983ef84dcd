"""Regions of a face from its 68 landmarks: geometry first, colour only for hair.

Every mask is [512, 512] bool. Landmarks in iBUG order: jaw 0-16, brows 17-26, nose 27-35,
eyes 36-47, outer lips 48-59, inner lips 60-67.
"""

import copy
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from styleclip_rt.probes.face import SIZE, Face
from styleclip_rt.probes.filters import Mask, blur, grow

_Float = NDArray[np.float32]


def _polygon(*points: Sequence[float] | _Float) -> Mask:
    canvas = Image.new("1", (SIZE, SIZE))
    ImageDraw.Draw(canvas).polygon([(float(p[0]), float(p[1])) for p in points], fill=1)
    return np.array(canvas)


def _ellipse(centre: _Float, right: _Float, up: _Float) -> Mask:
    """Ellipse whose half axes are the vectors `right` and `up`."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return _polygon(*(centre + np.cos(a) * right + np.sin(a) * up for a in angles))


def _resize(values: _Float, size: int) -> _Float:
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


class Regions:
    """The regions of one face, each made when first asked for."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.points = p = face.landmarks
        left, right = p[36:42].mean(axis=0), p[42:48].mean(axis=0)
        self.eyes_middle: _Float = (left + right) / 2
        axis = (right - left) / max(float(np.hypot(*(right - left))), 1e-6)
        # The height from eyes to chin hardly changes when a head turns; eye distance does.
        self.unit = max(face.eye_distance, 0.52 * float(np.hypot(*(p[8] - self.eyes_middle))))
        self.x_axis: _Float = axis * self.unit
        self.y_axis: _Float = np.array([-axis[1], axis[0]], dtype=np.float32) * self.unit

    def with_hair(self, hair: Mask) -> "Regions":
        """The same regions with another mask of hair."""
        other = copy.copy(self)
        other.hair = hair
        return other

    def at(self, x: float, y: float) -> _Float:
        """Pixel at (x, y) eye distances right of and below the middle of the eyes."""
        return np.asarray(self.eyes_middle + x * self.x_axis + y * self.y_axis)

    def colour(self, mask: Mask) -> _Float:
        """Median L*a*b* [3] of a region; NaN where the region is all but empty."""
        if np.count_nonzero(mask) < 40:
            return np.full(3, np.nan, dtype=np.float32)
        return np.asarray(np.median(self.face.lab[mask], axis=0))

    @cached_property
    def lips(self) -> Mask:
        p = self.points
        return _polygon(*p[48:60]) & ~grow(_polygon(*p[60:68]), 1)

    @cached_property
    def mouth_opening(self) -> Mask:
        return _polygon(*self.points[60:68])

    @cached_property
    def cheeks(self) -> Mask:
        p = self.points
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        for eye, wing, corner, jaw in ((41, 31, 48, 3), (46, 35, 54, 13)):
            centre = 0.22 * p[eye] + 0.33 * p[wing] + 0.22 * p[corner] + 0.23 * p[jaw]
            width = 0.24 * float(np.hypot(*(p[wing] - p[jaw]))) / self.unit
            mask |= _ellipse(centre, self.x_axis * min(width, 0.2), self.y_axis * 0.17)
        return mask & ~grow(self.lips, 4)

    @cached_property
    def forehead(self) -> Mask:
        """Above the brows, only where it looks like the cheeks: a fringe is not forehead."""
        p = self.points
        up = -self.y_axis
        low, high = 0.18, 0.5
        mask = _polygon(
            p[19] + low * up, p[21] + low * up, p[22] + low * up, p[24] + low * up,
            p[24] + high * up, p[19] + high * up,
        )  # fmt: skip
        apart = np.abs(self.face.lab - self.colour(self.cheeks))
        return np.asarray(mask & (apart < (16, 9, 11)).all(axis=-1))

    @cached_property
    def upper_lip(self) -> Mask:
        """Where a moustache grows: between the nose and the lip."""
        p = self.points
        nose, lip = p[31:36], p[48:55]
        top = nose + 0.25 * (lip[1:6] - nose)
        bottom = lip[1:6] + 0.12 * (nose - lip[1:6])
        corners = lip[[0, 6]] + 0.35 * (nose[[0, 4]] - lip[[0, 6]])
        mask = _polygon(corners[0], *top, corners[1], *bottom[::-1])
        return mask & ~grow(self.lips, 2)

    @cached_property
    def chin(self) -> Mask:
        p = self.points
        lip = p[[59, 58, 57, 56, 55]]
        jaw = p[[6, 7, 8, 9, 10]]
        top = lip + 0.25 * (jaw - lip)
        bottom = lip + 0.85 * (jaw - lip)
        return _polygon(*top, *bottom[::-1])

    @cached_property
    def beard(self) -> Mask:
        """Chin and lower jaw, inside the face's outline."""
        p = self.points
        middle = p[57]
        jaw = p[4:13] + 0.12 * (middle - p[4:13])
        inner = np.stack([p[54] + (0.12 * self.x_axis), p[48] - (0.12 * self.x_axis)])
        mask = _polygon(*jaw, inner[0], p[55], p[57], p[59], inner[1])
        return mask & ~grow(self.lips, 5)

    @cached_property
    def eyes(self) -> Mask:
        return _polygon(*self.points[36:42]) | _polygon(*self.points[42:48])

    @cached_property
    def brows(self) -> Mask:
        p = self.points
        thick = 0.09 * self.y_axis
        masks = [_polygon(*(b - 0.4 * thick), *(b + thick)[::-1]) for b in (p[17:22], p[22:27])]
        return masks[0] | masks[1]

    @cached_property
    def lashes(self) -> Mask:
        """A band along the upper lid, running out past the outer corner."""
        p = self.points
        masks = []
        for upper, outward in ((p[36:40], -1), (p[42:46][::-1], 1)):
            outer = upper[0] + 0.09 * outward * self.x_axis - 0.05 * self.y_axis
            low = np.vstack([outer, upper])
            masks.append(_polygon(*(low + 0.03 * self.y_axis), *(low - 0.09 * self.y_axis)[::-1]))
        return masks[0] | masks[1]

    @cached_property
    def lids(self) -> Mask:
        """Between lashes and brow, where eye shadow goes."""
        p = self.points
        masks = []
        for lid, brow in ((p[36:40], p[18:22]), (p[42:46], p[22:26])):
            masks.append(_polygon(*(lid + 0.3 * (brow - lid)), *(lid + 0.65 * (brow - lid))[::-1]))
        return masks[0] | masks[1]

    @cached_property
    def bridge(self) -> Mask:
        """Across the nose between the eyes, where the bridge of glasses sits."""
        p = self.points
        low, high = 0.25 * self.y_axis, -0.12 * self.y_axis
        left, right = 0.7 * p[27] + 0.3 * p[39], 0.7 * p[27] + 0.3 * p[42]
        return _polygon(left + high, right + high, right + low, left + low)

    @cached_property
    def nose(self) -> Mask:
        p = self.points
        return _polygon(p[27], p[35], p[33], p[31])

    @cached_property
    def oval(self) -> Mask:
        """Jaw line closed by an arch over the brows."""
        p = self.points
        arch = [p[16] - 0.55 * self.y_axis, p[24] - 0.62 * self.y_axis,
                p[19] - 0.62 * self.y_axis, p[0] - 0.55 * self.y_axis]  # fmt: skip
        return _polygon(*p[:17], *arch)

    @cached_property
    def skin(self) -> Mask:
        """Cheeks, forehead and nose: skin wherever the head turns."""
        return self.cheeks | self.forehead

    @cached_property
    def hair(self) -> Mask:
        return self._parts[0]

    @cached_property
    def background(self) -> Mask:
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Mask, Mask]:
        return segment_head(self)


_CELLS = 128
_COMPONENTS = (2, 2, 4)


def _place_prior(regions: Regions, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(hair, skin, rest) [3, n, n] by place alone; `place` [n, n, 2] in eye distances."""
    points = (regions.points - regions.eyes_middle) @ np.linalg.inv(
        np.stack([regions.x_axis, regions.y_axis], axis=1)
    ).T
    centre = 0.6 * float(points[[0, 16], 0].mean())
    chin = float(points[8, 1])
    x, y = place[..., 0] - centre, place[..., 1]
    oval = _resize(regions.oval.astype(np.float32), _CELLS) > 0.5

    prior = np.empty((3, *x.shape))
    prior[:] = np.array([0.06, 0.02, 0.92])[:, None, None]

    def fill(where: Mask, hair: float, skin: float, rest: float) -> None:
        prior[:, where] = np.array([hair, skin, rest])[:, None]

    fill((np.abs(x) < 1.9) & (y > 0) & (y < chin + 0.4), 0.3, 0.06, 0.64)
    fill((np.abs(x) < 0.8) & (y > chin - 0.6), 0.04, 0.5, 0.46)
    fill(np.hypot(x / 1.9, (y + 0.3) / 1.95) < 1, 0.35, 0.05, 0.6)
    fill(np.hypot(x / 1.6, (y + 0.3) / 1.7) < 1, 0.62, 0.12, 0.26)
    fill((np.abs(x) < 1.4) & (y > 0) & (y < 0.9) & (np.abs(x) > 0.9), 0.4, 0.4, 0.2)
    fill(np.hypot(x / 1.25, (y + 0.3) / 1.4) < 1, 0.75, 0.2, 0.05)
    fill((np.abs(x) < 1.0) & (y > -1.1) & (y < 0.4), 0.35, 0.62, 0.03)
    fill(oval & (y < -0.35), 0.12, 0.86, 0.02)
    fill(oval & (y >= -0.35), 0.02, 0.97, 0.01)
    return prior


def _head_features(face: Face) -> NDArray[np.float64]:
    """[128 * 128, 4]: L*a*b* of each cell and, scaled alike, the log of its roughness."""
    lightness = face.lab[..., 0]
    rough = np.abs(np.diff(lightness, axis=0, append=lightness[-1:]))
    rough = rough + np.abs(np.diff(lightness, axis=1, append=lightness[:, -1:]))
    step = SIZE // _CELLS
    cells = np.concatenate([face.lab, rough[..., None]], axis=-1)
    cells = cells.reshape(_CELLS, step, _CELLS, step, 4).mean(axis=(1, 3))
    cells[..., 3] = 10 * np.log1p(blur(cells[..., 3], 1.5))
    return np.asarray(cells.reshape(-1, 4), dtype=np.float64)


def _log_gaussian(
    x: NDArray[np.float64], mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    offset = x - mean
    distance = ((offset @ np.linalg.inv(covariance)) * offset).sum(axis=1)
    return np.asarray(-0.5 * (distance + np.linalg.slogdet(covariance)[1]))


def segment_head(regions: Regions) -> tuple[Mask, Mask]:
    """(hair, background) by expectation maximisation over place and colour.

    Three classes (hair, skin, the rest) have a prior over places fixed by the landmarks
    and a mixture of Gaussians over colour and roughness, refitted a few times; posteriors
    are blurred each time, so that neighbours agree.
    """
    centres = (np.stack(np.meshgrid(*[np.arange(_CELLS)] * 2), axis=-1) + 0.5) * (SIZE / _CELLS)
    frame = np.stack([regions.x_axis, regions.y_axis], axis=1)
    place = (centres - regions.eyes_middle) @ np.linalg.inv(frame).T
    prior = _place_prior(regions, place).reshape(3, -1)
    features = _head_features(regions.face)
    flat = place.reshape(-1, 2)

    # Start: hair and skin split by lightness, the rest by quarter of the picture.
    right, low = flat[:, 0] > 0, flat[:, 1] > 0.9
    quarter = np.stack([q & h for q in (right, ~right) for h in (low, ~low)])
    parts = []
    for k in range(2):
        sure = prior[k] > 0.6
        dark = features[:, 0] < np.median(features[sure, 0])
        parts += [prior[k] * sure * dark, prior[k] * sure * ~dark]
    parts += [prior[2] * (prior[2] > 0.8) * q for q in quarter]
    weights = np.stack(parts) + 1e-9
    owner = np.repeat(np.arange(3), _COMPONENTS)
    floor = np.diag([16.0, 6.0, 6.0, 4.0])
    skin_prior = prior[1] > 0.9

    posterior = prior
    for _ in range(8):
        scores = np.empty_like(weights)
        for c, weight in enumerate(weights):
            total = weight.sum()
            mean = weight @ features / total
            offset = features - mean
            covariance = (weight[:, None] * offset).T @ offset / total + floor
            share = total / weights[owner == owner[c]].sum()
            scores[c] = np.log(share + 1e-6) + _log_gaussian(features, mean, covariance)
        scores += np.log(prior[owner])
        scores = np.exp(scores - scores.max(axis=0))
        scores /= scores.sum(axis=0)
        posterior = np.stack([scores[owner == k].sum(axis=0) for k in range(3)])
        smooth = np.stack(
            [blur(q.reshape(_CELLS, _CELLS).astype(np.float32), 1.2).ravel() for q in posterior]
        )
        # Skin's colours come from where skin must be: a bald head then is skin, not hair.
        weights = scores * (smooth / (posterior + 1e-9))[owner].clip(0, 4) + 1e-9
        weights[owner == 1] *= np.where(skin_prior, 1.0, 0.15)
        posterior = smooth.astype(np.float64)
    hair, _, rest = (
        _resize(q.reshape(_CELLS, _CELLS).astype(np.float32), SIZE) > 0.5 for q in posterior
    )
    # Below the mouth dark collars pass for hair; inside the oval hair is a fringe or nothing.
    allowed = np.where(regions.oval, _above(regions, -0.1, brows=True), _above(regions, 1.2))
    return grow(hair & allowed, -2), grow(rest & ~regions.oval, -3)


def _above(regions: Regions, y: float, brows: bool = False) -> Mask:
    """Everything higher than `y` eye distances below the eyes, or below the brows."""
    p = regions.points
    far = 6 * regions.x_axis
    line = [p[17] - far, *p[17:27], p[26] + far] if brows else [regions.at(-6, 0), regions.at(6, 0)]
    top = [regions.at(6, -8), regions.at(-6, -8)]
    return _polygon(*(q + y * regions.y_axis for q in line), *top)
