"""Oklab, in which equal steps look equal: Ottosson 2020, "A perceptual color space for image
processing"."""

import torch
from torch import Tensor

# Linear sRGB -> cone response; its cube root -> Oklab.
_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(image: Tensor) -> Tensor:
    """sRGB [3, H, W] in [0, 1] -> Oklab [3, H, W]: lightness in [0, 1], then green to red and blue
    to yellow, about [-0.4, 0.4]."""
    image = image.clamp_min(0)
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    cones = torch.einsum("ij,jhw->ihw", _CONES, linear).clamp_min(0) ** (1 / 3)
    return torch.einsum("ij,jhw->ihw", _OKLAB, cones)


def from_oklab(colours: Tensor) -> Tensor:
    """The inverse of `to_oklab`; colours that sRGB cannot show are cut to [0, 1]."""
    cones = torch.einsum("ij,jhw->ihw", torch.linalg.inv(_OKLAB), colours) ** 3
    linear = torch.einsum("ij,jhw->ihw", torch.linalg.inv(_CONES), cones).clamp(0, 1)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved).clamp(0, 1)
