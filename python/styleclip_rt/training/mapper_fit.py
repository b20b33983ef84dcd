"""Mappers fitted by least squares, for hair colours that ask every face for another move.

Black hair is near for brown hair and far for fair hair, and brown lies between the two. A
`PromptMapper` whose slopes make the move depend on the face can do that, but the channels that
darken hair darken the scene too: what is sought is a small difference of large effects, which
first-order training finds slowly. Near an edited face the mean colours of its regions are almost
linear in the style channels, so that rounds of ridge regression find it from a hundred faces; from
thousands, where a GPU draws them, it may depend on more of what a face is.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from styleclip_rt.bundle import Bundle
from styleclip_rt.errors import StyleClipError
from styleclip_rt.losses import luminance
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.pictures import contact_sheet, to_pil
from styleclip_rt.training.captions import PHRASES
from styleclip_rt.training.latent_dataset import LatentDataset
from styleclip_rt.training.painting import LOOKS, nearest_hair
from styleclip_rt.training.region_masks import MASKS, RegionMasks
from styleclip_rt.training.regions import to_oklab
from styleclip_rt.training.style_units import StyleStatistics, style_lifts

SIZE = 512
SHEET = 256
SOLVES = 3
SHEET_FACES = 6
RANK = 16
RIDGE, RIDGE_FACES = 0.3, 180
"""Of the mean squared effect of a measure, for so many faces; of more faces, in proportion less."""
FREEDOM = 1.0
"""How freely the move may depend on the face, relative to what all faces share."""
PROBES = 2
LEAST_HAIR, LEAST_REGION = 0.05, 0.004
AT_ONCE = {"cpu": 1, "cuda": 16}

_CHANNELS = (1.0, 2.0, 2.0)
_WEIGHTS = {"hair": 1.0, "left": 1.0, "right": 1.0, "skin": 1.0, "clothes": 0.6}
_LOW, _DARKEST = 32, 0.02
_GRADIENTS = 5.0
# Natural brown hair is paler than painted brown, and both are near other colours: a move that knows
# the hair only roughly must aim at the middle.
_MIDDLES = {"hair_brown": (0.40, 0.0256, 0.0350)}


class _Look(NamedTuple):
    """What is measured of N pictures: colours [N, regions, 3] in OKLab, weighted by `_CHANNELS`,
    and what is to stay: colours at 32 px outside the hair, and gradients of light, each [N, M]."""

    colours: Tensor
    places: Tensor
    gradients: Tensor


class _Faces(NamedTuple):
    """N faces of the fit.

    Attributes:
        start: their w+ [N, n_latent, latent_dim] and what the mapper, which knows nothing of the
            prompt, adds to it.
        seen: their principal components [N, face_dim], as far apart as in w, on the whole of
            length 1.
        masks: [N, regions, S, S].
        weights: of the regions' colours [N, regions, 1]; 0 where a region is too small.
        aim: colours of the regions that are wished for.
        original: as drawn before the edit.
        signs: random vectors of -1 and 1; a change's projections on them have its mean square.
            Of places and of gradients [N, PROBES, M].
    """

    start: Tensor
    seen: Tensor
    masks: Tensor
    weights: Tensor
    aim: Tensor
    original: _Look
    signs: tuple[Tensor, Tensor]


class MapperFit:
    """Fits hair colours and adds them to a mapper, on the device of the generator.

    Args:
        bundle: whose generator.
        latents: the training split of a data set of that generator.
        masks: of its faces.
        mapper: what is to learn more; its rows are kept.
        prompts: hair colours that can be painted (`painting.nearest_hair`).
        precision: "fp32", or "bf16" for drawing.
        face_dim: principal components of w on which the moves may depend, if more than the mapper
            sees already.

    Raises:
        StyleClipError: a prompt is no hair colour, or the mapper has it already.
    """

    def __init__(
        self,
        bundle: Bundle,
        latents: LatentDataset,
        masks: RegionMasks,
        mapper: PromptMapper,
        prompts: Sequence[str],
        precision: str = "fp32",
        face_dim: int = 0,
    ) -> None:
        looks = {phrase: look for look in LOOKS for phrase in PHRASES.get(look, ())}
        for prompt in prompts:
            if not looks.get(prompt, "").startswith("hair_"):
                raise StyleClipError(f"{prompt!r} is no hair colour that can be painted.")
            if prompt in mapper.config.prompts:
                raise StyleClipError(f"the mapper has the prompt {prompt!r} already.")
        self.generator, self.latents, self.masks = bundle.generator, latents, masks
        self.device = self.generator.mean_latent.device
        self.prompts, self.precision = tuple(prompts), precision
        self.looks = [looks[prompt] for prompt in prompts]
        with torch.no_grad():
            self.texts = bundle.clip.encode_text(tokenize(list(prompts))).to(self.device)
        statistics = StyleStatistics.of(self.generator)
        more = statistics.coordinates[mapper.config.face_dim : face_dim]
        if len(more) > 0:
            mapper = mapper.seeing(more.to(mapper.face_axes.device))
        self.mapper = mapper.to(self.device)
        config = self.mapper.config
        count, moved = len(prompts), (len(config.rows), config.latent_dim)
        self.unfitted = self.mapper.adding(
            prompts,
            self.texts,
            torch.zeros(count, *moved),
            torch.zeros(0, *moved),
            torch.zeros(count, 0, config.face_dim),
        ).to(self.device)
        deviations = 1 / self.mapper.face_axes.norm(dim=1)
        self.scale = deviations / deviations.norm()
        self.lifts = style_lifts(self.generator, list(config.rows), statistics.deviations)

    def run(self, faces: int, rounds: int) -> PromptMapper:
        """The mapper with the prompts added, on the CPU; in every round, `faces` more faces join
        the fit."""
        steps = len(self.prompts) * rounds * faces
        with tqdm(total=steps, desc="fitting", unit="face") as bar:
            fits = [self._fit(i, faces, rounds, bar.update) for i in range(len(self.prompts))]
        rank = min(RANK, len(self.scale))
        shape = len(fits), rank * len(fits), len(self.scale)
        basis, slopes = [], torch.zeros(shape, device=self.device)
        for i, (_, varying) in enumerate(fits):
            left, size, right = torch.linalg.svd(varying, full_matrices=False)
            basis.append(self._lifted(right[:rank]))
            slopes[i, i * rank : (i + 1) * rank] = (left[:, :rank] * size[:rank]).T
        directions = torch.cat([self._lifted(shared[None]) for shared, _ in fits])
        slopes *= self.scale
        added = self.mapper.adding(self.prompts, self.texts, directions, torch.cat(basis), slopes)
        return added.cpu()

    @torch.no_grad()
    def sheet(self, mapper: PromptMapper) -> Image.Image:
        """A few faces, from the end of the split, with each of the new prompts."""
        lines, texts = [], self.texts.cpu()
        for row in range(len(self.latents))[-SHEET_FACES:]:
            w_plus = self.latents.w([row])[:, None].repeat(1, self.generator.n_latent, 1)
            moves = [mapper(w_plus, text[None]) for text in texts]
            latents = torch.cat([w_plus, *(w_plus + move for move in moves)])
            drawn = [self._draw(latent[None].to(self.device), SHEET) for latent in latents]
            lines.append([to_pil(image.clamp(0, 1)[0]) for image in drawn])
        return contact_sheet(lines, ["original", *self.prompts], tile=192)

    def _fit(
        self, prompt: int, faces: int, rounds: int, joins: Callable[[int], object]
    ) -> tuple[Tensor, Tensor]:
        """The move in style units: [units] for all, and [face_dim, units] by what is seen."""
        units = sum(len(lift) for lift in self.lifts)
        shared = torch.zeros(units, device=self.device)
        varying = torch.zeros(len(self.scale), units, device=self.device)
        fitted: list[_Faces] = []
        effects: list[Tensor] = []
        rows = iter(range(len(self.latents)))
        for _ in range(rounds):
            for few in self._faces(prompt, rows, faces):
                effects.append(self._effects(few, self._lifted(shared + few.seen @ varying)))
                fitted.append(few)
                joins(len(few.seen))
            if not fitted:
                raise StyleClipError("no face of the data set has hair to fit this colour to.")
            every, seen = torch.cat(effects), torch.cat([few.seen for few in fitted])
            for _ in range(SOLVES):
                missing = torch.cat(
                    [-self._measured(few, shared + few.seen @ varying) for few in fitted]
                )
                step, steps = ridge(every, missing, seen)
                shared, varying = shared + step, varying + steps
        return shared, varying

    def _lifted(self, units: Tensor) -> Tensor:
        """[N, units] -> [N, rows, latent_dim]."""
        parts = torch.split(units, [len(lift) for lift in self.lifts], dim=1)
        return torch.stack([part @ lift for part, lift in zip(parts, self.lifts, strict=True)], 1)

    def _draw(self, w_plus: Tensor, resolution: int) -> Tensor:
        half = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            image = self.generator.synthesis(w_plus, min(resolution, self.generator.resolution))
        return image.float() * 0.5 + 0.5

    def _faces(self, prompt: int, rows: Iterator[int], count: int) -> Iterator[_Faces]:
        """The next `count` faces of the split, a few at a time, that have enough hair, and none
        that has the look."""
        while count > 0 and (few := list(islice(rows, min(count, AT_ONCE[self.device.type])))):
            faces = self._prepared(few, prompt)
            if faces is not None:
                count -= len(faces.seen)
                yield faces

    @torch.no_grad()
    def _prepared(self, rows: list[int], prompt: int) -> _Faces | None:
        masks = self.masks.of(rows).to(self.device)
        area = masks.mean(dim=(2, 3))
        w = self.latents.w(rows).to(self.device)
        w_plus = w[:, None].repeat(1, self.generator.n_latent, 1)
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
        seen = self.mapper.face(w_plus) * self.scale
        text = self.texts[prompt : prompt + 1].expand(len(rows), -1)
        start = w_plus + self.unfitted(w_plus, text)
        return _Faces(
            start[chosen],
            seen[chosen],
            masks[chosen],
            weights[chosen, :, None],
            aim[chosen],
            _Look(*(part[chosen] for part in original)),
            (signs[0][chosen], signs[1][chosen]),
        )

    def _wished(self, prompt: int, hair: Tensor) -> Tensor:
        """Colours in OKLab for hair of some colours, each [N, 3]."""
        look = self.looks[prompt]
        if look in _MIDDLES:
            return hair.new_tensor(_MIDDLES[look]).expand_as(hair)
        return torch.stack([nearest_hair(look, colour) for colour in hair])

    def _look(self, image: Tensor, masks: Tensor) -> _Look:
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
        light = luminance(F.adaptive_avg_pool2d(image, size))
        right = light[..., :-1, 1:] - light[..., :-1, :-1]
        down = light[..., 1:, :-1] - light[..., :-1, :-1]
        gradients = _GRADIENTS * torch.cat((right, down), 1) * (0.3 + 0.7 * bare[..., :-1, :-1])
        return _Look(mean, places.flatten(1), gradients.flatten(1))

    def _differences(self, faces: _Faces, move: Tensor) -> Tensor:
        """How far edits are from what is wished for, [N, K]; all of them are to be 0."""
        w_plus = faces.start.index_add(1, self.mapper.rows, move)
        look = self._look(self._draw(w_plus, SIZE), faces.masks)
        colours = ((look.colours - faces.aim) * faces.weights).flatten(1)
        projected = [
            torch.einsum("nm,npm->np", part - before, sign.to(part)) / part.shape[1] ** 0.5
            for part, before, sign in zip(look[1:], faces.original[1:], faces.signs, strict=True)
        ]
        return torch.cat((colours, *projected), 1)

    @torch.no_grad()
    def _measured(self, faces: _Faces, units: Tensor) -> Tensor:
        return self._differences(faces, self._lifted(units))

    def _effects(self, faces: _Faces, move: Tensor) -> Tensor:
        """What every style channel does to the differences: [N, K, units]."""
        move = move.detach().requires_grad_(True)
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


def ridge(effects: Tensor, missing: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of a move that is linear in what is seen of a face, in its dual form.

    Args:
        effects: what a move does to each of N faces [N, K, units].
        missing: what it should do [N, K].
        seen: [N, F].

    Returns:
        the part of the move [units] that all faces share, and [F, units] what each unit of the
        seen adds.
    """
    count, measures, units = effects.shape
    flat = effects.reshape(-1, units)
    kernel = (flat @ flat.T).double()
    alike = 1 + FREEDOM * seen @ seen.T
    # In place, as the kernel of thousands of faces takes gigabytes.
    kernel.view(count, measures, count, measures).mul_(alike[:, None, :, None])
    share = RIDGE * min(1.0, RIDGE_FACES / count)
    kernel.diagonal().add_(share * kernel.diagonal().mean())
    root = torch.linalg.cholesky(kernel)
    weight = torch.cholesky_solve(missing.reshape(-1, 1).double(), root).to(flat.dtype)
    moves = torch.einsum("nk,nku->nu", weight.view(count, measures), effects)
    return moves.sum(dim=0), FREEDOM * seen.T @ moves
