"""Where the regions of a data set's faces are, found once and kept beside the latents.

The teachers and the polygons of regions are a CPU's work and take longer than a GPU needs to fit a
mapper to the same faces.
"""

from collections.abc import Sequence
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes.labels.regions import find_regions
from recipes.labels.teachers import Teachers
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.models.generator import Generator, to_w_plus
from styleclip_rt.training.latent_dataset import LatentDataset

MASKS = ("hair", "left", "right", "skin", "clothes")
"""`left` and `right` are halves of the scene behind the person."""
SHARD = 64

_DRAWN, _SIZE, _LEVELS = 256, 128, 15
_AT_ONCE = 4
_CLOTHES_FROM = 0.6


class RegionMasks:
    """Soft masks of the faces of one split of a data set.

    A file ``masks-train-00000.npz`` holds those of 64 faces: uint8 [n, 4, S, S] of 0 to 15, the
    scene in one piece. What is missing is found when it is asked for, and saved.

    Args:
        generator: draws the faces.
        latents: its data set.
        teachers: find the regions; without them, all must have been found before.
    """

    def __init__(
        self, generator: Generator, latents: LatentDataset, teachers: Teachers | None
    ) -> None:
        self.generator, self.latents, self.teachers = generator, latents, teachers
        self._shards: dict[int, Tensor] = {}

    def of(self, rows: Sequence[int]) -> Tensor:
        """Where the regions of `MASKS` surely are, [len(rows), 5, S, S] in [0, 1], on the CPU; S is
        128, or the size of smaller pictures.

        Raises:
            StyleClipError: a file is damaged or cannot be written, or there are no teachers to find
                what is missing.
        """
        found = torch.stack([self._shard(row // SHARD)[row % SHARD] for row in rows])
        hair, scene, skin, clothes = (found.float() / _LEVELS).unbind(1)
        left = torch.arange(scene.shape[-1]) < scene.shape[-1] // 2
        return torch.stack((hair, scene * left, scene * ~left, skin, clothes), 1)

    def _shard(self, number: int) -> Tensor:
        if number not in self._shards:
            self._shards[number] = torch.from_numpy(self._read(number))
        return self._shards[number]

    def _read(self, number: int) -> np.ndarray:
        rows = range(number * SHARD, min((number + 1) * SHARD, len(self.latents)))
        path = self.latents.folder / f"masks-{self.latents.split}-{number:05d}.npz"
        if not path.exists():
            masks = self._find(rows)
            with replacing(path) as temporary:
                np.savez_compressed(temporary, masks=masks)
            return masks
        size = min(_SIZE, self.generator.resolution)
        try:
            with np.load(path) as file:
                masks = np.asarray(file["masks"])
            if masks.shape != (len(rows), 4, size, size) or masks.dtype != np.uint8:
                raise ValueError(f"its masks are {masks.dtype} {list(masks.shape)}")
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise StyleClipError(f"{path} is damaged ({error}): delete it.") from None
        return masks

    @torch.no_grad()
    def _find(self, rows: Sequence[int]) -> np.ndarray:
        if self.teachers is None:
            raise StyleClipError(
                f"the regions of face {rows[0]} were not found beforehand, and there are no "
                "teachers to find them now."
            )
        parts = []
        with tqdm(total=len(rows), desc="finding regions", unit="face", leave=False) as bar:
            for first in range(0, len(rows), _AT_ONCE):
                few = rows[first : first + _AT_ONCE]
                w = self.latents.w(few).to(self.generator.mean_latent.device)
                w_plus = to_w_plus(self.generator, w)
                size = min(_DRAWN, self.generator.resolution)
                drawn = self.generator.synthesis(w_plus, size).float() * 0.5 + 0.5
                parts.append(self._masks(drawn.clamp(0, 1).cpu(), self.teachers))
                bar.update(len(few))
        return torch.cat(parts).numpy()

    def _masks(self, drawn: Tensor, teachers: Teachers) -> Tensor:
        found = find_regions(drawn, teachers.landmarks(drawn), teachers.person(drawn))
        scene, size = found["background"], drawn.shape[-1]
        dressed = (1 - scene) * (1 - found["face"]) * (1 - found["hair"]) * (1 - found["neck"])
        dressed[:, : round(_CLOTHES_FROM * size)] = 0
        sure = torch.stack((found["hair"], scene, found["skin"], dressed), 1)
        small = F.adaptive_avg_pool2d((2 * sure - 1).clamp_min(0), min(_SIZE, size))
        return (small * _LEVELS).round().to(torch.uint8)
