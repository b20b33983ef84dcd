"""What moves of w+ do to the colours of hair and to all else in a face.

Near an edited face the mean colours of its regions are almost linear in the style channels, so that
what is missing can be solved for (`fit`, `correction`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from recipes.labels.captions import PHRASES
from recipes.labels.painting import LOOKS, nearest_hair
from recipes.labels.region_masks import MASKS, RegionMasks
from recipes.labels.regions import to_oklab
from styleclip_rt.bundle import Bundle
from styleclip_rt.editing.losses import light_gradients, luminance
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import to_w_plus
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.pictures import contact_sheet, to_pil
from styleclip_rt.training.latent_dataset import LatentDataset
from styleclip_rt.training.style_units import StyleStatistics, style_lifts

SIZE = 512
SHEET_FACES = 6
PROBES = 2
LEAST_HAIR, LEAST_REGION = 0.05, 0.004
AT_ONCE = {"cpu": 1, "cuda": 16}
HAIR = slice(0, 3)
"""Of what is measured, the hair's colour."""

_CHANNELS = (1.0, 2.0, 2.0)
_WEIGHTS = {"hair": 1.0, "left": 1.0, "right": 1.0, "skin": 1.0, "clothes": 0.6}
_LOW, _DARKEST = 32, 0.02
_GRADIENTS = 5.0
# Natural brown hair is paler than painted brown, and both are near other colours: a move that knows
# the hair only roughly must aim at the middle.
_MIDDLES = {"hair_brown": (0.40, 0.0256, 0.0350)}


def _hair_look(prompt: str) -> str:
    look = next((look for look in LOOKS if prompt in PHRASES.get(look, ())), "")
    if not look.startswith("hair_"):
        raise StyleClipError(f"{prompt!r} is no hair colour that can be painted.")
    return look


@dataclass(frozen=True)
class HairFaces:
    """Faces to learn hair colours from.

    Attributes:
        bundle: whose generator, on whose device all is done.
        latents: the training split of a data set of that generator.
        masks: of its faces.
        precision: "fp32", or "bf16" for drawing.
    """

    bundle: Bundle
    latents: LatentDataset
    masks: RegionMasks
    precision: str = "fp32"

    @cached_property
    def statistics(self) -> StyleStatistics:
        return StyleStatistics.of(self.bundle.generator)


class Look(NamedTuple):
    """What is measured of N pictures: colours [N, regions, 3] in OKLab, weighted by `_CHANNELS`,
    and what is to stay: colours at 32 px outside the hair, and gradients of light, each [N, M]."""

    colours: Tensor
    places: Tensor
    gradients: Tensor


class Faces(NamedTuple):
    """N faces of the fit.

    Attributes:
        w: [N, latent_dim].
        start: w+ as the mapper edits it [N, n_latent, latent_dim].
        masks: [N, regions, S, S].
        weights: of the regions' colours [N, regions, 1]; 0 where a region is too small.
        aim: colours of the regions that are wished for.
        original: as drawn before the edit.
        signs: random vectors of -1 and 1; a change's projections on them have its mean square.
            Of places and of gradients [N, PROBES, M].
    """

    w: Tensor
    start: Tensor
    masks: Tensor
    weights: Tensor
    aim: Tensor
    original: Look
    signs: tuple[Tensor, Tensor]


class HairEdits:
    """Edits of faces by a mapper, and what could be added to them.

    Args:
        data: the faces.
        mapper: that has the prompts.
        prompts: hair colours that can be painted (`painting.nearest_hair`).

    Raises:
        StyleClipError: a prompt is no hair colour.
    """

    def __init__(self, data: HairFaces, mapper: PromptMapper, prompts: Sequence[str]) -> None:
        self.looks = [_hair_look(prompt) for prompt in prompts]
        self.generator, self.latents, self.masks = data.bundle.generator, data.latents, data.masks
        self.device = self.generator.mean_latent.device
        self.mapper = mapper.to(self.device)
        self.prompts, self.precision = tuple(prompts), data.precision
        config = mapper.config
        self.texts = self.mapper.texts[[config.prompts.index(prompt) for prompt in prompts]]
        self.lifts = style_lifts(self.generator, list(config.rows), data.statistics.deviations)
        self.units = sum(len(lift) for lift in self.lifts)

    @torch.no_grad()
    def sheet(self, mapper: PromptMapper) -> Image.Image:
        """A few faces, from the end of the split, with each of the prompts."""
        lines, texts = [], self.texts.cpu()
        for row in range(len(self.latents))[-SHEET_FACES:]:
            w_plus = to_w_plus(self.generator, self.latents.w([row]))
            moves = [mapper(w_plus, text[None]) for text in texts]
            latents = torch.cat([w_plus, *(w_plus + move for move in moves)])
            drawn = [self._draw(latent[None].to(self.device), SIZE) for latent in latents]
            lines.append([to_pil(image.clamp(0, 1)[0]) for image in drawn])
        return contact_sheet(lines, ["original", *self.prompts], tile=192)

    def lifted(self, units: Tensor) -> Tensor:
        """A move in style units [N, units] as one of w+ [N, rows, latent_dim]."""
        parts = torch.split(units, [len(lift) for lift in self.lifts], dim=1)
        return torch.stack([part @ lift for part, lift in zip(parts, self.lifts, strict=True)], 1)

    def faces(self, prompt: int, rows: Iterator[int], count: int) -> Iterator[Faces]:
        """The next `count` faces of the split, a few at a time, that have enough hair, and none
        that has the look."""
        while count > 0 and (few := list(islice(rows, min(count, AT_ONCE[self.device.type])))):
            faces = self._prepared(few, prompt)
            if faces is not None:
                count -= len(faces.w)
                yield faces

    @torch.no_grad()
    def _prepared(self, rows: list[int], prompt: int) -> Faces | None:
        masks = self.masks.of(rows).to(self.device)
        area = masks.mean(dim=(2, 3))
        w = self.latents.w(rows).to(self.device)
        w_plus = to_w_plus(self.generator, w)
        original = self._look(self._draw(w_plus, SIZE), masks)
        channels = original.colours.new_tensor(_CHANNELS)
        hair = original.colours[:, 0] / channels
        aim = original.colours.clone()
        aim[:, 0] = self._wished(prompt, hair.cpu()).to(self.device) * channels
        fit = (area[:, 0] >= LEAST_HAIR) & (aim[:, 0] != original.colours[:, 0]).any(dim=1)
        chosen = fit.nonzero()[:, 0]
        if len(chosen) == 0:
            return None
        weights = area.new_tensor([_WEIGHTS[name] for name in MASKS]) * (area > LEAST_REGION)
        draws = [torch.Generator().manual_seed(row) for row in rows]
        signs = tuple(
            torch.stack(
                [
                    torch.randint(0, 2, (PROBES, part.shape[1]), generator=draw, dtype=torch.int8)
                    for draw in draws
                ]
            ).to(self.device)
            * 2
            - 1
            for part in (original.places, original.gradients)
        )
        text = self.texts[prompt : prompt + 1].expand(len(rows), -1)
        start = w_plus + self.mapper(w_plus, text)
        return Faces(
            w[chosen],
            start[chosen],
            masks[chosen],
            weights[chosen, :, None],
            aim[chosen],
            Look(*(part[chosen] for part in original)),
            (signs[0][chosen], signs[1][chosen]),
        )

    def _wished(self, prompt: int, hair: Tensor) -> Tensor:
        """Colours in OKLab for hair of some colours, each [N, 3]."""
        look = self.looks[prompt]
        if look in _MIDDLES:
            return hair.new_tensor(_MIDDLES[look]).expand_as(hair)
        return torch.stack([nearest_hair(look, colour) for colour in hair])

    def _look(self, image: Tensor, masks: Tensor) -> Look:
        channels = image.new_tensor(_CHANNELS)[:, None, None]

        def colours(size: int) -> Tensor:
            small = F.adaptive_avg_pool2d(image, size)
            # The cube root in OKLab is infinitely steep at black.
            return to_oklab(small.clamp(_DARKEST, 1)) * channels

        size = masks.shape[-1]
        mean = torch.einsum("nchw,nrhw->nrc", colours(size), masks)
        mean = mean / masks.sum(dim=(2, 3)).clamp_min(1)[..., None]
        bare = 1 - masks[:, :1]
        places = colours(_LOW) * F.adaptive_avg_pool2d(bare, _LOW)
        gradients = _GRADIENTS * light_gradients(luminance(F.adaptive_avg_pool2d(image, size)))
        gradients = gradients * (0.3 + 0.7 * bare[..., :-1, :-1])
        return Look(mean, places.flatten(1), gradients.flatten(1))

    def _differences(self, faces: Faces, move: Tensor) -> Tensor:
        w_plus = faces.start.index_add(1, self.mapper.rows, move)
        look = self._look(self._draw(w_plus, SIZE), faces.masks)
        colours = ((look.colours - faces.aim) * faces.weights).flatten(1)
        projected = [
            torch.einsum("nm,npm->np", part - before, sign.to(part)) / part.shape[1] ** 0.5
            for part, before, sign in zip(look[1:], faces.original[1:], faces.signs, strict=True)
        ]
        return torch.cat((colours, *projected), 1)

    def still(self, faces: Faces) -> Tensor:
        """No move, in style units [N, units]."""
        return torch.zeros(len(faces.w), self.units, device=self.device)

    @torch.no_grad()
    def measured(self, faces: Faces, units: Tensor) -> Tensor:
        """How far faces that are moved further by style units [N, units] are from what is wished
        for, [N, K]; all of it is to be 0."""
        return self._differences(faces, self.lifted(units))

    def effects(self, faces: Faces, units: Tensor) -> Tensor:
        """What every style unit does there to what `measured` tells: [N, K, units]."""
        move = self.lifted(units).requires_grad_(True)
        with torch.enable_grad():
            # A face has no part in another's differences, so the gradient of their sum holds the
            # gradient of each.
            differences = self._differences(faces, move).sum(dim=0)
        effects = []
        for difference in differences:
            (slope,) = torch.autograd.grad(difference, move, retain_graph=True)
            parts = [
                along @ lift.T for lift, along in zip(self.lifts, slope.unbind(1), strict=True)
            ]
            effects.append(torch.cat(parts, 1))
        return torch.stack(effects, 1)

    def _draw(self, w_plus: Tensor, resolution: int) -> Tensor:
        half = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            image = self.generator.synthesis(w_plus, min(resolution, self.generator.resolution))
        return image.float() * 0.5 + 0.5
