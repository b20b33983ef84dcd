"""`python -m recipes look-directions`: measure which way each look lies in latent space.

The vectors of `models.looks.LookDirections`.
"""

from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes import options
from recipes.inputs import default_generator, label_models
from recipes.labels.captions import PHRASES
from recipes.labels.faces import draw_faces, measure_once, random_w
from recipes.labels.labelling import ATTRIBUTES, DRAW_SIZE, natural_truth
from recipes.labels.teachers import Teachers
from recipes.report import Report
from styleclip_rt.checkpoints import looks
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.models.generator import Generator, unfold
from styleclip_rt.models.looks import LookDirections
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN

RIDGE = 0.5
FEWEST_FACES = 8
# Colours, which the optimiser finds by itself: their planes are those of gender and of descent. And
# curls: the measure takes cropped hair for curly, and the direction crops it.
WITHOUT = (
    *("lips_red", "lips_pale", "makeup", "no_makeup", "lashes", "skin_dark", "skin_pale"),
    *("hair_curly", "hair_straight"),
)


@click.command("look-directions")
@options.out("look-directions")
@click.option("--faces", type=click.IntRange(1), default=1500, show_default=True)
@options.seed
def recipe(out: Path, faces: int, seed: int) -> None:
    """Measure random faces and fit a direction to each look (fetches label models by npm once).

    What was drawn and measured is kept in --out, and another call goes on from there.
    """
    report = Report()
    found = measure_directions(default_generator(), label_models(), out, faces, seed)
    path = out / "look_directions.safetensors"
    looks.save(found, path)
    have = int((found.moves.norm(dim=1) > 0).sum())
    report.made(
        path,
        source=f"{faces} random faces of ffhq-mobile, drawn as drafts, seed {seed}",
        figures={f"looks of {len(found.phrases)} with a direction": have},
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
