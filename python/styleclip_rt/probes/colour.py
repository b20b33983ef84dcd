"""CIE L*a*b* under D65, in numpy."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)


def lab(rgb: NDArray[np.uint8]) -> Array:
    """L*a*b* [..., 3] float32 of sRGB [..., 3] uint8 (IEC 61966-2-1, CIE 15:2004)."""
    c = np.arange(256) / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)
    xyz = linear[rgb] @ (_RGB_TO_XYZ / _WHITE[:, None]).T.astype(np.float32)
    d = 6 / 29
    f = np.where(xyz > d**3, np.cbrt(xyz), xyz / (3 * d * d) + 4 / 29)
    return np.stack(
        [
            116 * f[..., 1] - 16,
            500 * (f[..., 0] - f[..., 1]),
            200 * (f[..., 1] - f[..., 2]),
        ],
        axis=-1,
    ).astype(np.float32)


def chroma(colour: Array) -> Array:
    """C* of L*a*b* [..., 3]."""
    return np.hypot(colour[..., 1], colour[..., 2]).astype(np.float32)


def hue(colour: Array) -> Array:
    """Hue angle in degrees, [0, 360), of L*a*b* [..., 3]."""
    return (np.degrees(np.arctan2(colour[..., 2], colour[..., 1])) % 360).astype(np.float32)
