"""Mappers fitted by least squares, for hair colours that ask every face for another move.

Black hair is near for brown hair and far for fair hair, and brown lies between the two. A
`PromptMapper` whose slopes make the move depend on the face can do that, but the channels that
darken hair darken the scene too: what is sought is a small difference of large effects, which
first-order training finds slowly. Near an edited face the mean colours of its regions are almost
linear in the style channels, so that rounds of ridge regression find it from a hundred faces.
"""

from collections.abc import Callable, Sequence
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
from styleclip_rt.training.regions import find_regions, to_oklab
from styleclip_rt.training.style_units import StyleStatistics, style_lifts
from styleclip_rt.training.teachers import Teachers

SIZE = 512
MASKED = 256
SOLVES = 3
SHEET_FACES = 6
RANK = 16
RIDGE = 0.3
"""Of the mean squared effect that one channel's row has."""
FREEDOM = 1.0
"""How freely the move may depend on the face, relative to what all faces share."""
PROBES = 2
LEAST_HAIR, LEAST_REGION = 0.05, 0.004

_CHANNELS = (1.0, 2.0, 2.0)
_REGIONS = {"hair": 1.0, "left": 1.0, "right": 1.0, "skin": 1.0, "clothes": 0.6}
_COLOURS, _LOW, _DARKEST = 128, 32, 0.02
_GRADIENTS = 5.0
_CLOTHES_FROM = 0.6


class _Look(NamedTuple):
    """What is measured of a picture: colour [regions, 3] in OKLab, weighted by `_CHANNELS`, and
    what is to stay: colours at 32 px outside the hair, and gradients of light, each flat."""

    colours: Tensor
    places: Tensor
    gradients: Tensor


class _Face(NamedTuple):
    """A face of the fit.

    Attributes:
        start: its w+ [1, n_latent, latent_dim] and what the mapper, which knows nothing of the
            prompt, adds to it.
        seen: its principal components [face_dim], over the root of their number.
        masks: [regions, S, S].
        weights: of the regions' colours [regions, 3]; 0 where a region is too small.
        aim: colours of the regions that are wished for.
        original: as drawn before the edit.
        signs: random vectors of -1 and 1; a change's projections on them have its mean square.
    """

    start: Tensor
    seen: Tensor
    masks: Tensor
    weights: Tensor
    aim: Tensor
    original: _Look
    signs: tuple[Tensor, ...]


class MapperFit:
    """Fits hair colours and adds them to a mapper.

    Args:
        bundle: whose generator.
        latents: a data set of that generator; its training split is used.
        teachers: find hair, skin and clothes.
        mapper: what is to learn more; its rows and what it sees of a face are kept.
        prompts: hair colours that can be painted (`painting.nearest_hair`).
        precision: "fp32", or "bf16" for drawing.

    Raises:
        StyleClipError: a prompt is no hair colour, or the mapper has it already.
    """

    def __init__(
        self,
        bundle: Bundle,
        latents: LatentDataset,
        teachers: Teachers,
        mapper: PromptMapper,
        prompts: Sequence[str],
        precision: str = "fp32",
    ) -> None:
        looks = {phrase: look for look in LOOKS for phrase in PHRASES.get(look, ())}
        for prompt in prompts:
            if not looks.get(prompt, "").startswith("hair_"):
                raise StyleClipError(f"{prompt!r} is no hair colour that can be painted.")
            if prompt in mapper.config.prompts:
                raise StyleClipError(f"the mapper has the prompt {prompt!r} already.")
        self.generator, self.latents, self.teachers = bundle.generator, latents, teachers
        self.mapper, self.prompts, self.precision = mapper, tuple(prompts), precision
        self.looks = [looks[prompt] for prompt in prompts]
        with torch.no_grad():
            self.texts = bundle.clip.encode_text(tokenize(list(prompts)))
        config = mapper.config
        count, moved = len(prompts), (len(config.rows), config.latent_dim)
        self.unfitted = mapper.adding(
            prompts,
            self.texts,
            torch.zeros(count, *moved),
            torch.zeros(0, *moved),
            torch.zeros(count, 0, config.face_dim),
        )
        deviations = StyleStatistics.of(self.generator).deviations
        self.lifts = style_lifts(self.generator, list(mapper.config.rows), deviations)

    def run(self, faces: int, rounds: int) -> PromptMapper:
        """The mapper with the prompts added; in every round, `faces` more faces join the fit."""
        steps = len(self.prompts) * rounds * faces
        with tqdm(total=steps, desc="fitting", unit="face") as bar:
            fits = [self._fit(i, faces, rounds, bar.update) for i in range(len(self.prompts))]
        rank = min(RANK, self.mapper.config.face_dim)
        basis, slopes = [], torch.zeros(len(fits), rank * len(fits), self.mapper.config.face_dim)
        for i, (_, varying) in enumerate(fits):
            left, size, right = torch.linalg.svd(varying, full_matrices=False)
            basis.append(self._lifted(right[:rank]))
            slopes[i, i * rank : (i + 1) * rank] = (left[:, :rank] * size[:rank]).T
        directions = torch.cat([self._lifted(shared[None]) for shared, _ in fits])
        slopes /= self.mapper.config.face_dim**0.5
        return self.mapper.adding(self.prompts, self.texts, directions, torch.cat(basis), slopes)

    @torch.no_grad()
    def sheet(self, mapper: PromptMapper) -> Image.Image:
        """A few faces, from the end of the split, with each of the new prompts."""
        lines = []
        for row in range(len(self.latents))[-SHEET_FACES:]:
            w_plus = self.latents.w([row])[:, None].repeat(1, self.generator.n_latent, 1)
            moves = [mapper(w_plus, text[None]) for text in self.texts]
            latents = [w_plus, *(w_plus + move for move in moves)]
            lines.append([to_pil(self._draw(latent, MASKED).clamp(0, 1)[0]) for latent in latents])
        return contact_sheet(lines, ["original", *self.prompts], tile=192)

    def _fit(
        self, prompt: int, faces: int, rounds: int, joins: Callable[[], object]
    ) -> tuple[Tensor, Tensor]:
        """The move in style units: [units] for all, and [face_dim, units] by what is seen."""
        units = sum(len(lift) for lift in self.lifts)
        shared = torch.zeros(units)
        varying = torch.zeros(self.mapper.config.face_dim, units)
        fitted: list[_Face] = []
        effects: list[Tensor] = []
        rows = iter(range(len(self.latents)))
        for _ in range(rounds):
            joined = 0
            while joined < faces and (row := next(rows, None)) is not None:
                face = self._face(row, prompt)
                if face is None:
                    continue
                move = self._lifted((shared + face.seen @ varying)[None])
                effects.append(self._effects(face, move))
                fitted.append(face)
                joined += 1
                joins()
            if not fitted:
                raise StyleClipError("no face of the data set has hair to fit this colour to.")
            seen = torch.stack([face.seen for face in fitted])
            for _ in range(SOLVES):
                moves = shared + seen @ varying
                missing = [
                    -self._measured(face, self._lifted(move[None]))
                    for face, move in zip(fitted, moves, strict=True)
                ]
                step, steps = ridge(torch.stack(effects), torch.stack(missing), seen)
                shared, varying = shared + step, varying + steps
        return shared, varying

    def _lifted(self, units: Tensor) -> Tensor:
        """[N, units] -> [N, rows, latent_dim]."""
        parts = torch.split(units, [len(lift) for lift in self.lifts], dim=1)
        return torch.stack([part @ lift for part, lift in zip(parts, self.lifts, strict=True)], 1)

    def _draw(self, w_plus: Tensor, resolution: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            image = self.generator.synthesis(w_plus, min(resolution, self.generator.resolution))
        return image.float() * 0.5 + 0.5

    @torch.no_grad()
    def _face(self, row: int, prompt: int) -> _Face | None:
        """A face of the training split; None where there is too little hair, or hair that has the
        look."""
        w = self.latents.w([row])
        w_plus = w[:, None].repeat(1, self.generator.n_latent, 1)
        masks = self._masks(w_plus)
        area = masks.mean(dim=(1, 2))
        if area[0] < LEAST_HAIR:
            return None
        original = self._look(self._draw(w_plus, SIZE), masks)
        channels = torch.tensor(_CHANNELS)
        hair = original.colours[0] / channels
        aim = original.colours.clone()
        aim[0] = nearest_hair(self.looks[prompt], hair) * channels
        if torch.equal(aim[0], original.colours[0]):
            return None
        weights = torch.tensor(list(_REGIONS.values())) * (area > LEAST_REGION)
        random = torch.Generator().manual_seed(row)
        signs = tuple(
            torch.randint(0, 2, part.shape, generator=random) * 2.0 - 1
            for part in (original.places, original.gradients)
            for _ in range(PROBES)
        )
        seen = self.mapper.face(w_plus)[0] / self.mapper.config.face_dim**0.5
        start = w_plus + self.unfitted(w_plus, self.texts[prompt : prompt + 1])
        return _Face(start, seen, masks, weights[:, None].expand(-1, 3), aim, original, signs)

    def _masks(self, w_plus: Tensor) -> Tensor:
        """Where the regions of `_REGIONS` surely are, [regions, S, S]."""
        drawn = self._draw(w_plus, MASKED).clamp(0, 1)
        found = find_regions(drawn, self.teachers.landmarks(drawn), self.teachers.person(drawn))
        masks = {name: mask[0] for name, mask in found.items()}
        scene, size = masks["background"], drawn.shape[-1]
        dressed = (1 - scene) * (1 - masks["face"]) * (1 - masks["hair"]) * (1 - masks["neck"])
        dressed[: round(_CLOTHES_FROM * size)] = 0
        left = torch.arange(size) < size // 2
        parts = (masks["hair"], scene * left, scene * ~left, masks["skin"], dressed)
        sure = (2 * torch.stack(parts) - 1).clamp_min(0)
        return F.adaptive_avg_pool2d(sure, min(_COLOURS, size))

    def _look(self, image: Tensor, masks: Tensor) -> _Look:
        channels = torch.tensor(_CHANNELS)[:, None, None]

        def colours(size: int) -> Tensor:
            small = F.adaptive_avg_pool2d(image, size)
            # The cube root in OKLab is infinitely steep at black.
            return to_oklab(small.clamp(_DARKEST, 1))[0] * channels

        size = masks.shape[-1]
        mean = torch.einsum("chw,rhw->rc", colours(size), masks)
        mean = mean / masks.sum(dim=(1, 2)).clamp_min(1)[:, None]
        bare = 1 - masks[0]
        places = colours(_LOW) * F.adaptive_avg_pool2d(bare[None], _LOW)
        light = luminance(F.adaptive_avg_pool2d(image, size))[0, 0]
        right = light[:-1, 1:] - light[:-1, :-1]
        down = light[1:, :-1] - light[:-1, :-1]
        gradients = _GRADIENTS * torch.stack((right, down)) * (0.3 + 0.7 * bare[:-1, :-1])
        return _Look(mean, places.flatten(), gradients.flatten())

    def _differences(self, face: _Face, w_plus: Tensor) -> Tensor:
        """How far an edit is from what is wished for, [K]; all of them are to be 0."""
        look = self._look(self._draw(w_plus, SIZE), face.masks)
        colours = ((look.colours - face.aim) * face.weights).flatten()
        stay = (
            (look.places - face.original.places) / len(look.places) ** 0.5,
            (look.gradients - face.original.gradients) / len(look.gradients) ** 0.5,
        )
        parts = [part for part in stay for _ in range(PROBES)]
        projected = [(sign * part).sum() for sign, part in zip(face.signs, parts, strict=True)]
        return torch.cat((colours, torch.stack(projected)))

    def _moved(self, face: _Face, move: Tensor) -> Tensor:
        return face.start.index_add(1, self.mapper.rows, move)

    @torch.no_grad()
    def _measured(self, face: _Face, move: Tensor) -> Tensor:
        return self._differences(face, self._moved(face, move))

    def _effects(self, face: _Face, move: Tensor) -> Tensor:
        """What every style channel does to the differences: [K, units]."""
        move = move.detach().requires_grad_(True)
        with torch.enable_grad():
            differences = self._differences(face, self._moved(face, move))
        effects = []
        for difference in differences:
            (slope,) = torch.autograd.grad(difference, move, retain_graph=True)
            parts = [lift @ along for lift, along in zip(self.lifts, slope[0], strict=True)]
            effects.append(torch.cat(parts))
        return torch.stack(effects)


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
    alike = (1 + FREEDOM * seen @ seen.T).repeat_interleave(measures, 0)
    kernel = (flat @ flat.T * alike.repeat_interleave(measures, 1)).double()
    kernel.diagonal().add_(RIDGE * kernel.diagonal().mean())
    weight = torch.linalg.solve(kernel, missing.flatten().double()).to(flat.dtype)
    moves = (weight[:, None] * flat).view(count, measures, units).sum(dim=1)
    return moves.sum(dim=0), FREEDOM * seen.T @ moves
