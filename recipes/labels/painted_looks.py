"""What faces would look like with the looks that prompts name: painted on, for mappers to learn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.labels.captions import PHRASES
from recipes.labels.painting import LOOKS, paint
from recipes.labels.regions import find_regions, to_oklab
from recipes.labels.teachers import Teachers
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import Generator

DRAW_SIZE = 256
_LOW = 32
_DARKEST = 0.02
# Of OKLab's lightness and its two colours, which span a range a third as wide.
_CHANNELS = (1.0, 2.0, 2.0)


class Painted(NamedTuple):
    """Painted faces.

    Attributes:
        pictures: [N, 3, S, S] in [0, 1].
        where: what was painted over, [N, 1, S, S] in [0, 1].
    """

    pictures: Tensor
    where: Tensor

    def distance(self, image: Tensor) -> Tensor:
        """Mean OKLab difference, weighted by `_CHANNELS`, over what was painted plus that over the
        rest, at 32 px: [N, 3, H, W] in [0, 1] -> [N]."""
        target, here = (
            # The cube root in OKLab is infinitely steep at black.
            to_oklab(F.adaptive_avg_pool2d(x, _LOW).clamp(_DARKEST, 1))
            for x in (self.pictures, image)
        )
        channels = target.new_tensor(_CHANNELS)[:, None, None]
        difference = ((here - target).abs() * channels).sum(dim=1, keepdim=True)
        painted = F.adaptive_avg_pool2d(self.where, _LOW)
        return _mean(difference, painted) + _mean(difference, 1 - painted)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N]; of less than a pixel, as if of one."""
    return (values * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp_min(1)


class PaintedLooks:
    """Paints prompts onto faces, as FaceCLIP's training pictures were painted: a
    `training.mapper.Painter`.

    Args:
        teachers: find the regions to paint.
        prompts: each must name a look that can be painted (`painting.LOOKS`).

    Raises:
        StyleClipError: a prompt does not.
    """

    def __init__(self, teachers: Teachers, prompts: Sequence[str]) -> None:
        self.teachers = teachers
        names = {phrase: look for look in LOOKS for phrase in PHRASES.get(look, ())}
        for prompt in prompts:
            if prompt not in names:
                raise StyleClipError(
                    f"{prompt!r} cannot be painted: choose from "
                    f"{', '.join(PHRASES[look][0] for look in LOOKS if look in PHRASES)}."
                )
        self.looks = [names[prompt] for prompt in prompts]

    @torch.no_grad()
    def __call__(self, generator: Generator, w_plus: Tensor, size: int) -> Painted:
        """Every face of w+ [N, n_latent, latent_dim] with every prompt, face-major, at `size` px.

        The colours of a look are the same for every face.
        """
        resolution = min(DRAW_SIZE, generator.resolution)
        drawn = (generator.synthesis(w_plus, resolution).float() * 0.5 + 0.5).clamp(0, 1).cpu()
        masks = find_regions(drawn, self.teachers.landmarks(drawn), self.teachers.person(drawn))
        regions = {
            # Half-certain places, such as collars beside hair, are left alone.
            name: F.interpolate((2 * mask - 1).clamp_min(0)[:, None], (size, size), mode="area")[
                :, 0
            ]
            for name, mask in masks.items()
        }
        originals = F.interpolate(drawn, (size, size), mode="area")
        pictures = torch.stack(
            [
                paint(face, {k: v[i] for k, v in regions.items()}, look, np.random.default_rng(0))
                for i, face in enumerate(originals)
                for look in self.looks
            ]
        )
        where = torch.stack(
            [
                regions[look.partition("_")[0]][i]
                for i in range(len(originals))
                for look in self.looks
            ]
        )
        return Painted(pictures.to(w_plus.device), where[:, None].to(w_plus.device))
