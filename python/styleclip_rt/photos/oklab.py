"""Oklab, in which equal steps look equal: Ottosson 2020, "A perceptual color space for image
processing". For tensors and for NumPy arrays."""

import importlib
from typing import Any, TypeVar

import numpy as np

Image = TypeVar("Image")
"""A float32 tensor or array."""

# Linear sRGB -> cone response; its cube root -> Oklab.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_CONES, _FROM_OKLAB = np.linalg.inv(_CONES), np.linalg.inv(_OKLAB)


def to_oklab(image: Image) -> Image:
    """sRGB [3, H, W] in [0, 1] -> Oklab [3, H, W]: lightness in [0, 1], then green to red and blue
    to yellow, about [-0.4, 0.4]."""
    library, values = _library(image), image.clip(0)  # type: ignore[attr-defined]
    linear = library.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    colours: Image = _mixed(_OKLAB, _mixed(_CONES, linear).clip(0) ** (1 / 3))
    return colours


def from_oklab(colours: Image) -> Image:
    """The inverse of `to_oklab`; colours that sRGB cannot show are cut to [0, 1]."""
    linear = _mixed(_FROM_CONES, _mixed(_FROM_OKLAB, colours) ** 3).clip(0, 1)
    curved = 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055
    shown: Image = _library(colours).where(linear <= 0.0031308, 12.92 * linear, curved).clip(0, 1)
    return shown


def _mixed(matrix: "np.ndarray[Any, Any]", channels: Any) -> Any:
    """[3, 3] and [3, H, W] -> [3, H, W]."""
    library = _library(channels)
    return library.einsum("ij,jhw->ihw", library.asarray(matrix), channels)


def _library(image: object) -> Any:
    """What has functions for it: NumPy or torch."""
    return np if isinstance(image, np.ndarray) else importlib.import_module("torch")
