"""`python -m recipes region-prior`: measure where each look changes a face.

The maps of `models.looks.RegionPrior`. This does not reproduce the bytes of the file that ships:
the pictures that it was measured on are not in the repository (`training_faces`).
"""

from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes import options
from recipes.face_clip import ATTRIBUTES, LabelledFaces
from recipes.inputs import labelled_faces
from recipes.labels.captions import PHRASES
from recipes.report import Report
from styleclip_rt.checkpoints import looks
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.looks import RegionPrior

SIZE = 32
FEWEST = 10
"""Painted faces of a look that make a map."""
_EVERYTHING = ("old", "young", "child", "man", "woman", "bald")
_WHOLE_FACE = ("smiling", "serious", "no_makeup", "lips_pale", "shaven")
_HAIR_SHAPE = ("hair_curly", "hair_straight", "hair_long", "hair_short")


@click.command("region-prior")
@options.faces
@options.out("region-prior")
def recipe(faces: Path, out: Path) -> None:
    """Average where painting each look changes a face."""
    report = Report()
    labelled = LabelledFaces.load(labelled_faces(faces))
    out.mkdir(parents=True, exist_ok=True)
    path = out / "region_prior.safetensors"
    looks.save(measure_regions(labelled), path)
    report.made(path, source=f"{len(labelled.face)} pictures in {faces}")


def measure_regions(faces: LabelledFaces) -> RegionPrior:
    """Average difference between painted variants and the same face unpainted, look by look.

    Looks that are never painted get what they plausibly touch: the hair, the face, or both.

    Raises:
        StyleClipError: too few faces are painted.
    """
    total = torch.zeros(len(ATTRIBUTES), SIZE, SIZE)
    count = torch.zeros(len(ATTRIBUTES))
    originals = {int(face): row for row, face in reversed(list(enumerate(faces.face)))}
    for row, face in enumerate(faces.face):
        original = originals[int(face)]
        turned_on = np.flatnonzero((faces.truth[row] == 1) & (faces.truth[original] != 1))
        if len(turned_on) != 1:
            continue
        change = _small(faces.images[row]) - _small(faces.images[original])
        total[turned_on] += change.abs().mean(dim=0)
        count[turned_on] += 1
    mean = total / count.clamp_min(1)[:, None, None]
    painted = {name: _mask(mean[i]) for i, name in enumerate(ATTRIBUTES) if count[i] >= FEWEST}
    hairs = [mask for name, mask in painted.items() if name.startswith("hair_")]
    if not hairs or "skin_dark" not in painted:
        raise StyleClipError(
            f"too few faces are painted: a hair colour and dark skin need {FEWEST} each."
        )
    hair = torch.stack(hairs).amax(dim=0)
    skin = painted["skin_dark"]
    grown = F.max_pool2d(hair[None, None], 5, stride=1, padding=2)[0, 0]
    groups = {
        **dict.fromkeys(_EVERYTHING, torch.maximum(grown, skin)),
        **dict.fromkeys(_WHOLE_FACE, skin),
        **dict.fromkeys(_HAIR_SHAPE, grown),
    }
    maps = [groups.get(name, painted.get(name, skin)) for name in ATTRIBUTES]
    return RegionPrior([PHRASES[name][0] for name in ATTRIBUTES], torch.stack(maps))


def _small(image: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
    return F.adaptive_avg_pool2d(pixels, SIZE)


def _mask(change: Tensor) -> Tensor:
    """Full relevance from two thirds of the largest change on, smoothed."""
    raw = (change / change.max() * 1.5).clamp(0, 1)
    return F.avg_pool2d(raw[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
