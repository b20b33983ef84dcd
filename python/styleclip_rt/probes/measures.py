"""What each prompt should change, as one number read from a face and a threshold.

A measure succeeds when the edited face reaches `level`, has risen by at least `rise`
(so an unchanged picture never succeeds), and `guard`, where there is one, agrees. Numbers
were calibrated on 60 faces of the default generator and on real edits, good and bad; see
README.md beside this file for how well each separates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.probes import colour
from styleclip_rt.probes.filters import Mask, blur, box_mean, grow
from styleclip_rt.probes.regions import Regions

_Float = NDArray[np.float32]


# --- scores -----------------------------------------------------------------------------


def _darker_than_cheeks(regions: Regions, mask: Mask) -> float:
    return float(regions.colour(regions.cheeks)[0] - regions.colour(mask)[0])


def lip_redness(regions: Regions) -> float:
    """a* of the lips minus a* of the cheeks."""
    return float(regions.colour(regions.lips)[1] - regions.colour(regions.cheeks)[1])


def skin_lightness(regions: Regions) -> float:
    """L* of cheeks and forehead."""
    return float(regions.colour(regions.skin)[0])


def skin_darkness(regions: Regions) -> float:
    """100 - L* of cheeks and forehead."""
    return 100 - skin_lightness(regions)


def smile(regions: Regions) -> float:
    """Mouth width over the span of the eyes, plus the lift of its corners."""
    p = regions.points
    width = np.hypot(*(p[54] - p[48])) / max(float(np.hypot(*(p[45] - p[36]))), 1.0)
    heights = (p - regions.eyes_middle) @ regions.y_axis / regions.unit**2
    lift = heights[[51, 57, 62, 66]].mean() - heights[[48, 54]].mean()
    return float(width + lift)


def age(regions: Regions) -> float:
    """Apparent age in years."""
    return regions.face.attributes.age


def youth(regions: Regions) -> float:
    """100 - apparent age in years."""
    return 100 - age(regions)


def manliness(regions: Regions) -> float:
    """P(man) of a gender classifier."""
    return regions.face.attributes.man


def womanliness(regions: Regions) -> float:
    """P(woman) of a gender classifier."""
    return 1 - manliness(regions)


def upper_lip_darkness(regions: Regions) -> float:
    """L* of the cheeks minus L* between nose and mouth."""
    return _darker_than_cheeks(regions, regions.upper_lip)


def beard_darkness(regions: Regions) -> float:
    """L* of the cheeks minus L* of chin and lower jaw."""
    return _darker_than_cheeks(regions, regions.beard)


def lash_darkness(regions: Regions) -> float:
    """Darkness of the upper lash line relative to the cheeks, 0 (as light) to 1 (black)."""
    cheeks = float(regions.colour(regions.cheeks)[0])
    return _darker_than_cheeks(regions, regions.lashes) / max(cheeks, 20.0)


def makeup(regions: Regions) -> float:
    """Geometric mean of lash darkness (over 0.5) and lip redness (over 15)."""
    lashes, lips = lash_darkness(regions) / 0.5, lip_redness(regions) / 15
    return float(np.sqrt(max(lashes, 0.0) * max(lips, 0.0)))


def freckles(regions: Regions) -> float:
    """Per cent of cheeks and nose covered by small round dark spots."""
    lightness = regions.face.lab[..., 0]
    spots = blur(lightness, 1.0) - blur(lightness, 3.0)
    fine = blur(lightness, 1.2)
    gy, gx = np.gradient(fine)
    gyy, gyx = np.gradient(gy)
    gxx = np.gradient(gx)[1]
    # A pit of lightness curves upward both ways; a wrinkle or a shadow's edge only one way.
    pit = (gxx > 0.08) & (gyy > 0.08) & (gxx * gyy - gyx**2 > 0.3 * gxx * gyy)
    where = (regions.cheeks | regions.nose) & ~grow(regions.eyes | regions.upper_lip, 6)
    return float(100 * np.mean((pit & (spots < -1.5))[where])) if where.any() else float("nan")


def glasses(regions: Regions) -> float:
    """Depth of the dark bar across the bridge of the nose, relative to the cheeks."""
    lightness, mask = blur(regions.face.lab[..., 0], 0.7), regions.bridge
    rows = [float(lightness[y, mask[y]].mean()) for y in np.flatnonzero(mask.any(axis=1))]
    reach = max(3, round(0.07 * regions.unit))
    if len(rows) <= 2 * reach:
        return float("nan")
    depth = max(
        min(rows[i - reach], rows[i + reach]) - rows[i] for i in range(reach, len(rows) - reach)
    )
    return max(depth, 0.0) / max(float(regions.colour(regions.cheeks)[0]), 20.0)


def curliness(regions: Regions) -> float:
    """1 - how well strands run in one direction over a fifteenth of the picture."""
    gy, gx = np.gradient(blur(regions.face.lab[..., 0], 1.0))
    squares = [np.asarray(v) for v in (gx * gx + gy * gy, gx * gx - gy * gy, 2 * gx * gy)]
    energy, along, across = (box_mean(values, 16) for values in squares)
    double_angle = np.hypot(along, across)
    hair = grow(regions.hair, -4)
    if np.count_nonzero(hair) < 1500:
        return float("nan")
    return float(1 - np.median((double_angle / (energy + 1e-3))[hair]))


def hair_red(regions: Regions) -> float:
    """a* of the hair."""
    return float(regions.colour(regions.hair)[1])


def hair_blond(regions: Regions) -> float:
    """L* + b* of the hair."""
    hair = regions.colour(regions.hair)
    return float(hair[0] + hair[2])


def hair_green(regions: Regions) -> float:
    """-a* of the hair."""
    return -float(regions.colour(regions.hair)[1])


def hair_blue(regions: Regions) -> float:
    """-b* of the hair."""
    return -float(regions.colour(regions.hair)[2])


def hair_purple(regions: Regions) -> float:
    """a* - b* of the hair."""
    hair = regions.colour(regions.hair)
    return float(hair[1] - hair[2])


def hair_black(regions: Regions) -> float:
    """100 - L* - 2 C* of the hair."""
    # Black hair that shines is light without a colour; brown hair is dark with one.
    hair = regions.colour(regions.hair)
    return float(100 - hair[0] - 2 * colour.chroma(hair))


def hair_brown(regions: Regions) -> float:
    """100 - distance of the hair's L*a*b* from the line between dark and light brown."""
    hair = regions.colour(regions.hair)
    dark, light = np.array([18.0, 7.0, 8.0]), np.array([42.0, 10.0, 20.0])
    along = np.clip((hair - dark) @ (light - dark) / ((light - dark) @ (light - dark)), 0, 1)
    return float(100 - np.linalg.norm(hair - dark - along * (light - dark)))


def hair_grey(regions: Regions) -> float:
    """L* - 2 C* of the hair."""
    hair = regions.colour(regions.hair)
    return float(hair[0] - 2 * colour.chroma(hair))


# --- guards -----------------------------------------------------------------------------


def _between(angle: float, low: float, high: float) -> bool:
    return (angle - low) % 360 <= high - low


def _lips_red(_: Regions, edited: Regions) -> bool:
    lips = edited.colour(edited.lips)
    return _between(float(colour.hue(lips)), -15, 45) and float(colour.chroma(lips)) >= 36


def _background_change(original: Regions, edited: Regions) -> _Float:
    # Where the original has background: a mask of each would compare different places.
    where = original.background
    return np.asarray(edited.colour(where) - original.colour(where))


def _skin_not_light(original: Regions, edited: Regions) -> bool:
    """Skin keeps a skin's hue and darkens by 7 more than the background does."""
    skin = edited.colour(edited.skin)
    scene = min(float(np.nan_to_num(_background_change(original, edited)[0])), 0.0)
    drop = skin_lightness(original) - skin_lightness(edited)
    return _between(float(colour.hue(skin)), 15, 80) and drop + scene >= 7


def _skin_not_dark(original: Regions, edited: Regions) -> bool:
    """Skin lightens by 5 more than the background does."""
    scene = max(float(np.nan_to_num(_background_change(original, edited)[0])), 0.0)
    return skin_lightness(edited) - skin_lightness(original) - scene >= 5


def _looks_happy(_: Regions, edited: Regions) -> bool:
    return edited.face.attributes.happy >= 0.5


def _hair(
    hues: tuple[float, float] = (0, 360),
    chroma: float = 0.0,
    lightness: tuple[float, float] = (0, 100),
    lighter: float = -100.0,
) -> Callable[[Regions, Regions], bool]:
    """Hair ends within a band of colour, and moved further than the background."""

    def guard(original: Regions, edited: Regions) -> bool:
        before, after = original.colour(original.hair), edited.colour(edited.hair)
        move = float(np.linalg.norm(after - before))
        scene = float(np.linalg.norm(np.nan_to_num(_background_change(original, edited))))
        return (
            _between(float(colour.hue(after)), *hues)
            and float(colour.chroma(after)) >= chroma
            and lightness[0] <= float(after[0]) <= lightness[1]
            and float(after[0] - before[0]) >= lighter
            and move >= 1.5 * scene
        )

    return guard


# --- the table --------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """How one prompt is judged. `changes` names the regions that the edit may touch."""

    score: Callable[[Regions], float]
    level: float
    rise: float
    changes: tuple[str, ...]
    guard: Callable[[Regions, Regions], bool] | None = None

    @property
    def what(self) -> str:
        """One line: what the score is."""
        return (self.score.__doc__ or "").splitlines()[0].rstrip(".")

    def succeeds(self, original: Regions, edited: Regions) -> tuple[float, float, bool]:
        """(before, after, success)."""
        before, after = self.score(original), self.score(edited)
        # Comparisons with NaN (no such region) are false, so they never succeed.
        success = after >= self.level and after - before >= self.rise
        return before, after, success and (self.guard is None or self.guard(original, edited))


_HAIR = ("hair", "brows")
_FACE = ("oval", "hair")

MEASURES: dict[str, Measure] = {
    "red lipstick": Measure(lip_redness, 20, 8, ("lips",), _lips_red),
    "red hair": Measure(hair_red, 11, 5, _HAIR, _hair((8, 68), 14)),
    "blond hair": Measure(hair_blond, 48, 12, _HAIR, _hair((58, 105), 12, (25, 100), 5)),
    "dark skin": Measure(skin_darkness, 40, 10, ("oval",), _skin_not_light),
    "smiling": Measure(smile, 0.74, 0.1, ("oval",), _looks_happy),
    "old": Measure(age, 40, 10, _FACE),
    "thick moustache": Measure(upper_lip_darkness, 26, 8, ("upper_lip", "beard")),
    "freckles": Measure(freckles, 7.5, 3, ("oval",)),
    "heavy makeup": Measure(makeup, 1.2, 0.25, ("lips", "lids", "lashes", "brows", "cheeks")),
    "big lashes": Measure(lash_darkness, 0.5, 0.08, ("lashes", "lids", "eyes")),
    "curly hair": Measure(curliness, 0.4, 0.1, _HAIR),
    "green hair": Measure(hair_green, 6, 6, _HAIR, _hair((95, 190), 6)),
    "blue hair": Measure(hair_blue, 6, 6, _HAIR, _hair((200, 305), 6)),
    "purple hair": Measure(hair_purple, 12, 8, _HAIR, _hair((285, 360), 10)),
    "pink hair": Measure(hair_red, 16, 8, _HAIR, _hair((-40, 25), 16, (35, 100))),
    "black hair": Measure(hair_black, 70, 8, _HAIR, _hair(lightness=(0, 25))),
    "brown hair": Measure(hair_brown, 92, 5, _HAIR, _hair((25, 80), 7, (10, 50))),
    "grey hair": Measure(hair_grey, 20, 12, _HAIR, _hair(lightness=(28, 90))),
    "young": Measure(youth, 70, 8, _FACE),
    "pale skin": Measure(skin_lightness, 70, 6, ("oval",), _skin_not_dark),
    "beard": Measure(beard_darkness, 18, 8, ("beard", "upper_lip")),
    "glasses": Measure(glasses, 0.15, 0.1, ("oval",)),
    "man": Measure(manliness, 0.7, 0.3, _FACE),
    "woman": Measure(womanliness, 0.7, 0.3, _FACE),
}

ALIASES: dict[str, str] = {
    "blonde hair": "blond hair",
    "gray hair": "grey hair",
    "ginger hair": "red hair",
    "violet hair": "purple hair",
    "red lips": "red lipstick",
    "smile": "smiling",
    "happy": "smiling",
    "elderly": "old",
    "moustache": "thick moustache",
    "mustache": "thick moustache",
    "thick mustache": "thick moustache",
    "long lashes": "big lashes",
    "long eyelashes": "big lashes",
    "makeup": "heavy makeup",
    "heavy make-up": "heavy makeup",
    "pale": "pale skin",
    "dark": "dark skin",
    "eyeglasses": "glasses",
    "freckled": "freckles",
    "bearded": "beard",
}
