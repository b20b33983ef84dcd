"""Mappers fitted by least squares, for hair colours that ask every face for another move.

Black hair is near for brown hair and far for fair hair, and brown lies between the two. A
`PromptMapper` whose slopes make the move depend on the face can do that, but the channels that
darken hair darken the scene too: what is sought is a small difference of large effects, which
first-order training finds slowly. Rounds of ridge regression find it from a hundred faces; from
thousands, where a GPU draws them, it may depend on more of what a face is.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from recipes.hair_colours.edits import Faces, HairEdits, HairFaces
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.models.tokenizer import tokenize

SOLVES = 3
RANK = 16
RIDGE, RIDGE_FACES = 0.3, 180
"""Of the mean squared effect of a measure, for so many faces; of more faces, in proportion less."""
FREEDOM = 1.0
"""How freely the move may depend on the face, relative to what all faces share."""


class MapperFit:
    """Fits hair colours and adds them to a mapper, on the device of the generator.

    Args:
        data: the faces.
        mapper: what is to learn more; its rows are kept.
        prompts: hair colours that can be painted (`painting.nearest_hair`).
        face_dim: principal components of w on which the moves may depend, if more than the mapper
            sees already.

    Raises:
        StyleClipError: a prompt is no hair colour, or the mapper has it already.
    """

    def __init__(
        self, data: HairFaces, mapper: PromptMapper, prompts: Sequence[str], face_dim: int = 0
    ) -> None:
        if known := [prompt for prompt in prompts if prompt in mapper.config.prompts]:
            raise StyleClipError(f"the mapper has the prompt {known[0]!r} already.")
        with torch.no_grad():
            texts = data.bundle.clip.encode_text(tokenize(list(prompts)))
        axes = data.statistics.coordinates
        self.mapper = mapper.cpu().seeing(axes[mapper.config.face_dim : face_dim])
        config = self.mapper.config
        count, moved = len(prompts), (len(config.rows), config.latent_dim)
        unfitted = self.mapper.adding(
            prompts,
            texts,
            torch.zeros(count, *moved),
            torch.zeros(0, *moved),
            torch.zeros(count, 0, config.face_dim),
        )
        self.edits = HairEdits(data, unfitted, prompts)
        # Components as far apart as in w, on the whole of length 1.
        deviations = 1 / unfitted.face_axes.norm(dim=1)
        self.scale = deviations / deviations.norm()

    def run(self, faces: int, rounds: int) -> PromptMapper:
        """The mapper with the prompts added, on the CPU; in every round, `faces` more faces join
        the fit."""
        prompts, lifted = self.edits.prompts, self.edits.lifted
        with tqdm(total=len(prompts) * rounds * faces, desc="fitting", unit="face") as bar:
            fits = [self._fit(i, faces, rounds, bar.update) for i in range(len(prompts))]
        rank = min(RANK, len(self.scale))
        shape = len(fits), rank * len(fits), len(self.scale)
        basis, slopes = [], torch.zeros(shape, device=self.edits.device)
        for i, (_, varying) in enumerate(fits):
            left, size, right = torch.linalg.svd(varying, full_matrices=False)
            basis.append(lifted(right[:rank]))
            slopes[i, i * rank : (i + 1) * rank] = (left[:, :rank] * size[:rank]).T
        directions = torch.cat([lifted(shared[None]) for shared, _ in fits])
        slopes *= self.scale
        parts = [part.cpu() for part in (self.edits.texts, directions, torch.cat(basis), slopes)]
        return self.mapper.adding(prompts, *parts)

    def _fit(
        self, prompt: int, faces: int, rounds: int, joins: Callable[[int], object]
    ) -> tuple[Tensor, Tensor]:
        """The move in style units: [units] for all, and [face_dim, units] by what is seen."""
        edits = self.edits
        shared = torch.zeros(edits.units, device=edits.device)
        varying = torch.zeros(len(self.scale), edits.units, device=edits.device)
        fitted: list[Faces] = []
        sights: list[Tensor] = []
        effects: list[Tensor] = []
        rows = iter(range(len(edits.latents)))
        for _ in range(rounds):
            for few in edits.faces(prompt, rows, faces):
                sights.append(edits.mapper.face(few.w[:, None]) * self.scale)
                effects.append(edits.effects(few, shared + sights[-1] @ varying))
                fitted.append(few)
                joins(len(few.w))
            if not fitted:
                raise StyleClipError("no face of the data set has hair to fit this colour to.")
            every, seen = torch.cat(effects), torch.cat(sights)
            for _ in range(SOLVES):
                missing = torch.cat(
                    [
                        -edits.measured(few, shared + sight @ varying)
                        for few, sight in zip(fitted, sights, strict=True)
                    ]
                )
                step, steps = ridge(every, missing, seen)
                shared, varying = shared + step, varying + steps
        return shared, varying


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
