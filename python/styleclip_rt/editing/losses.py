"""What an edit minimises.

StyleCLIP (Patashnik et al. 2021, equation 1): CLIP distance + l2 |latent - start|^2 + identity.
Added here: what the prompt does not speak of should stay, in pixels and in CLIP's own embedding.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

PIXELS = 32
LIGHT = 128
"""Sides in px at which colours, and gradients of luminance, are compared with the original."""


def length_across(change: Tensor, direction: Tensor) -> Tensor:
    """Squared length [N] of the part of a change of embedding [N, D] that is not along a unit text
    direction [N, D]: what changed that the prompt did not ask for."""
    along = (change * direction).sum(dim=1, keepdim=True)
    return (change - along * direction).square().sum(dim=1)


def luminance(image: Tensor) -> Tensor:
    """[N, 3, H, W] -> Rec. 709 luma [N, 1, H, W]."""
    red, green, blue = image[:, :1], image[:, 1:2], image[:, 2:]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Preservation(NamedTuple):
    """Distance to the original, weighted by how little the prompt is about a place.

    L1 of pixels at 32 px (colour and light) plus L1 of luminance gradients at 128 px (structure).
    The fields are what it needs of the original; `of` computes them.
    """

    low: Tensor
    gradients: Tensor
    low_weight: Tensor
    gradient_weight: Tensor

    @classmethod
    def of(cls, original: Tensor, weight: Tensor) -> "Preservation":
        """original [N, 3, H, W] in [0, 1]; weight [N, 1, h, w] in [0, 1]."""
        low, gradients = _low_and_gradients(original)
        return cls(
            low,
            gradients,
            F.adaptive_avg_pool2d(weight, PIXELS),
            F.interpolate(weight, LIGHT - 1, mode="bilinear", align_corners=False),
        )

    def distance(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] -> [N]."""
        low, gradients = _low_and_gradients(image)
        pixels = ((low - self.low).abs() * self.low_weight).mean(dim=(1, 2, 3))
        structure = ((gradients - self.gradients).abs() * self.gradient_weight).mean(dim=(1, 2, 3))
        return pixels + structure


def _low_and_gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    low = F.adaptive_avg_pool2d(image, PIXELS)
    return low, light_gradients(F.adaptive_avg_pool2d(luminance(image), LIGHT))


def light_gradients(light: Tensor) -> Tensor:
    """How much pixels [N, 1, H, W] differ from the next one on the right and the one below,
    [N, 2, H - 1, W - 1]."""
    right = light[..., :-1, 1:] - light[..., :-1, :-1]
    down = light[..., 1:, :-1] - light[..., :-1, :-1]
    return torch.cat((right, down), dim=1)
