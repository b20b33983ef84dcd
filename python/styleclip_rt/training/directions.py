"""Measure which way each look lies in latent space: the vectors of `directions.LookDirections`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.models.generator import Generator, unfold
from styleclip_rt.models.looks import LookDirections
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.training.captions import PHRASES
from styleclip_rt.training.faces import draw_faces, measure_once, random_w
from styleclip_rt.training.labelling import ATTRIBUTES, DRAW_SIZE, natural_truth
from styleclip_rt.training.teachers import Teachers

RIDGE = 0.5
FEWEST_FACES = 8
# Colours, which the optimiser finds by itself: their planes are those of gender and of descent. And
# curls: the measure takes cropped hair for curly, and the direction crops it.
WITHOUT = (
    *("lips_red", "lips_pale", "makeup", "no_makeup", "lashes", "skin_dark", "skin_pale"),
    *("hair_curly", "hair_straight"),
)


def measure_directions(
    generator: MobileStyleGAN, teachers: Teachers, folder: Path, faces: int, seed: int = 0
) -> LookDirections:
    """Draw random faces as drafts, measure them, and fit.

    What was drawn and measured stays in `folder`, and a second call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    w = random_w(generator, faces, seed)
    images = draw_faces(generator, w, DRAW_SIZE, folder / "faces.npy")
    measures = measure_once(images, teachers, folder / "measures.npz")
    return fit_directions(generator, w, natural_truth(measures, measures))


def fit_directions(generator: Generator, w: Tensor, truth: np.ndarray) -> LookDirections:
    """A ridge regression in whitened latents for each attribute.

    Args:
        generator: whose latents.
        w: [F, latent_dim].
        truth: int8 [F, len(ATTRIBUTES)] of 1, 0, -1 (unknown: left out). Those that have the look
            and those that lack it weigh the same in all. WITHOUT, and a look that fewer than
            FEWEST_FACES have, get no direction.
    """
    axes = Whitening(generator).axes
    inverse = torch.linalg.inv(axes)
    code = (unfold(w) - unfold(generator.mean_latent)) @ inverse
    readers = torch.zeros(len(ATTRIBUTES), code.shape[1])
    bias, moves = torch.zeros(len(ATTRIBUTES)), torch.zeros_like(readers)
    for i, name in enumerate(ATTRIBUTES):
        if name in WITHOUT:
            continue
        has, lacks = (torch.from_numpy(truth[:, i] == value) for value in (1, 0))
        if has.sum() < FEWEST_FACES or lacks.sum() < FEWEST_FACES:
            continue
        weight = (has / (2 * has.sum()) + lacks / (2 * lacks.sum())) * len(code)
        gram = (code * weight[:, None]).T @ code + RIDGE * len(code) * torch.eye(code.shape[1])
        reader = torch.linalg.solve(gram, code.T @ (weight * (has.float() - lacks.float())))
        readers[i], moves[i] = inverse @ reader, F.normalize(reader, dim=0) @ axes
        middle = (code[has] @ reader).mean() + (code[lacks] @ reader).mean()
        bias[i] = -middle / 2
    return LookDirections([PHRASES[name][0] for name in ATTRIBUTES], readers, bias, moves)
