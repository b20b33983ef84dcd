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
PIXEL_TIP = 1 / 255
"""Below this a change of a pixel in [0, 1] cannot be seen, and counts as its square."""
EMBEDDING_TIP = 0.03
"""Below this a change of a unit embedding has no direction to speak of: edits change it by some
0.3, bfloat16 by some 0.003."""


def smooth_abs(x: Tensor, tip: float) -> Tensor:
    """|x| - tip far from zero, x^2 / (2 tip) near it (pseudo-Huber; Charbonnier et al. 1994).

    An edit starts where what is compared is equal but for rounding. There the gradient of |x| is
    the sign of the rounding, at full strength; this one's goes through zero.
    """
    return x.square() / ((x.square() + tip**2).sqrt() + tip)


def smooth_cosine(change: Tensor, direction: Tensor) -> Tensor:
    """Cosine [N] of a change [N, D] and a unit direction [N, D], which fades to zero with changes
    shorter than EMBEDDING_TIP.

    At the start of an edit the change is nothing but rounding, and the plain cosine's gradient
    that of a random direction, divided by next to nothing; this one's is the direction.
    """
    length = (change.square().sum(dim=1) + EMBEDDING_TIP**2).sqrt()
    return (change * direction).sum(dim=1) / length


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

    L1 of pixels at 32 px (colour and light) plus L1 of luminance gradients at 128 px (structure),
    both with a smooth tip.
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
        pixels = smooth_abs(low - self.low, PIXEL_TIP) * self.low_weight
        structure = smooth_abs(gradients - self.gradients, PIXEL_TIP) * self.gradient_weight
        return pixels.mean(dim=(1, 2, 3)) + structure.mean(dim=(1, 2, 3))


def _low_and_gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    low = F.adaptive_avg_pool2d(image, PIXELS)
    return low, light_gradients(F.adaptive_avg_pool2d(luminance(image), LIGHT))


def light_gradients(light: Tensor) -> Tensor:
    """How much pixels [N, 1, H, W] differ from the next one on the right and the one below,
    [N, 2, H - 1, W - 1]."""
    right = light[..., :-1, 1:] - light[..., :-1, :-1]
    down = light[..., 1:, :-1] - light[..., :-1, :-1]
    return torch.cat((right, down), dim=1)
