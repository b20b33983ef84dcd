"""Faces to train and validate mappers on: latents in shards, drawn as images when they are needed.

A data set is a folder: ``index.json`` says what it holds, and each shard
(``train-00000.safetensors``, ...) the z and w [n, latent_dim] of its faces in float32. w+ is w on
every row, so storing it would only multiply the size by the number of rows.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from styleclip_rt.bundle import Bundle
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import alone_in, replacing
from styleclip_rt.models.generator import fingerprint, sample_z
from styleclip_rt.pictures import contact_sheet, to_pil

FORMAT = "styleclip-rt-latents/1"
SPLITS = ("train", "val")
SHARD = 512
FIRST_SEED = 1_000_000
MAX_FACES = 10_000_000
MAX_SEED = 2**62
INDEX = "index.json"


@dataclass(frozen=True)
class Index:
    """What a data set holds.

    Attributes:
        bundle: name of the bundle that its faces are of.
        generator: fingerprint of that bundle's generator.
        latent_dim: width of z and w.
        train, val: number of faces of each split.
        seed: of the first face. Training faces have the even seeds from here on and validation
            faces the odd ones, so that a larger set contains a smaller one and no face is in both.
        truncation_psi: of w.
    """

    bundle: str
    generator: str
    latent_dim: int
    train: int
    val: int
    seed: int = FIRST_SEED
    truncation_psi: float = 0.7

    def __post_init__(self) -> None:
        for name in ("bundle", "generator"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text")
        for name, least, most in (
            ("latent_dim", 1, 1 << 16),
            ("train", 1, MAX_FACES),
            ("val", 1, MAX_FACES),
            ("seed", -MAX_SEED, MAX_SEED),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}")
        psi = self.truncation_psi
        if type(psi) not in (int, float) or not abs(psi) <= sys.float_info.max:
            raise ValueError("truncation_psi must be a finite number")

    def seeds(self, split: str, rows: Sequence[int]) -> list[int]:
        """The seeds from which the faces of some rows of a split were drawn."""
        return [self.seed + 2 * row + SPLITS.index(split) for row in rows]

    def shards(self, split: str) -> list[tuple[str, int]]:
        """File name and number of faces of each shard of a split."""
        count = getattr(self, split)
        return [
            (f"{split}-{i:05d}.safetensors", min(SHARD, count - i * SHARD))
            for i in range(-(-count // SHARD))
        ]


def generate(
    bundle: Bundle,
    folder: Path,
    train: int,
    val: int,
    seed: int = FIRST_SEED,
    truncation_psi: float = 0.7,
    progress: bool = False,
) -> Index:
    """Make a data set in `folder`, or what is still missing of it.

    Every file appears whole or not at all, so after a kill at any moment the next call goes on
    with the first missing shard; the files are the same bytes as without the kill. A shard that was
    damaged since is drawn again.

    Raises:
        StyleClipError: a number that cannot be; or the folder holds another data set, is being
            written to by another process, cannot be written, or has too little space.
    """
    generator = bundle.generator
    try:
        index = Index(
            bundle.name,
            fingerprint(generator),
            generator.latent_dim,
            train,
            val,
            seed,
            truncation_psi,
        )
    except ValueError as error:
        raise StyleClipError(f"there can be no such data set: {error}.") from None
    try:
        with alone_in(folder):
            if (folder / INDEX).exists() and read_index(folder) != index:
                raise StyleClipError(
                    f"{folder} holds another data set: choose another folder with --out, or "
                    "delete it."
                )
            missing = {name for split in SPLITS for name in _missing(folder, index, split)}
            _check_space(folder, index, len(missing))
            text = json.dumps({"format": FORMAT, **asdict(index)}, indent=2) + "\n"
            _write(folder / INDEX, text.encode())
            bar = tqdm(total=train + val, desc="drawing latents", unit="face", disable=not progress)
            with bar:
                for split in SPLITS:
                    for number, (name, count) in enumerate(index.shards(split)):
                        if name in missing:
                            rows = range(number * SHARD, number * SHARD + count)
                            seeds = index.seeds(split, rows)
                            _write(folder / name, _shard(bundle, seeds, truncation_psi))
                        bar.update(count)
    except OSError as error:
        raise StyleClipError(
            f"cannot write to {folder} ({error.strerror}): free some space or choose another "
            "folder with --out."
        ) from None
    return index


@torch.no_grad()
def _shard(bundle: Bundle, seeds: Sequence[int], truncation_psi: float) -> bytes:
    z = sample_z(bundle.generator, seeds)
    w = bundle.generator.mapping(z, truncation_psi)
    return save({"z": z.cpu().contiguous(), "w": w.cpu().contiguous()})


def _missing(folder: Path, index: Index, split: str) -> list[str]:
    """The shards of a split that are not there, or not whole."""
    names = []
    for name, count in index.shards(split):
        try:
            _open(folder / name, count, index.latent_dim)
        except (OSError, SafetensorError, ValueError):
            names.append(name)
    return names


def _open(path: Path, count: int, latent_dim: int) -> Any:
    """A shard, read by memory map.

    Raises OSError or SafetensorError if it cannot be read, ValueError if it is another's.
    """
    shard: Any = safe_open(path, framework="pt")
    for name in ("z", "w"):
        part = shard.get_slice(name)
        if part.get_shape() != [count, latent_dim] or part.get_dtype() != "F32":
            raise ValueError(f"its {name} is {part.get_dtype()} {part.get_shape()}")
    return shard


def _check_space(folder: Path, index: Index, shards: int) -> None:
    faces = min(shards * SHARD, index.train + index.val)
    needed = faces * 8 * index.latent_dim * 11 // 10
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StyleClipError(
            f"{folder} has {free / 1e6:.0f} MB of free space and the data set needs "
            f"{needed / 1e6:.0f} MB: free some, or choose another folder with --out."
        )


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_index(folder: Path) -> Index:
    """What the data set in `folder` holds.

    Raises:
        StyleClipError: there is none, or it is damaged.
    """
    path = folder / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError(f"not {FORMAT}")
        return Index(**content)
    except OSError:
        raise StyleClipError(
            f"{folder} holds no latents: make them with "
            f"`styleclip dataset generate --out {folder}`."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StyleClipError(f"{path} is damaged ({error}): make the data set again.") from None


@torch.no_grad()
def draw_sheet(bundle: Bundle, folder: Path) -> Image.Image:
    """A contact sheet of the first validation faces."""
    faces = LatentDataset(folder, "val")
    draft = bundle.draft_resolution or None
    images = [
        to_pil(bundle.generator.synthesis(faces.w([row]), draft)[0] * 0.5 + 0.5)
        for row in range(min(24, len(faces)))
    ]
    return contact_sheet([images[i : i + 8] for i in range(0, len(images), 8)], tile=192)


class LatentDataset:
    """One split of a data set, read by memory map.

    Args:
        folder: of the data set.
        split: "train" or "val".

    Raises:
        StyleClipError: the data set is missing, damaged or not complete.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.index = read_index(folder)
        self.folder, self.split = folder, split
        self._shards: list[Any] = []
        for name, count in self.index.shards(split):
            try:
                self._shards.append(_open(folder / name, count, self.index.latent_dim))
            except (OSError, SafetensorError, ValueError) as error:
                raise StyleClipError(
                    f"{folder / name} cannot be read ({error}): run `styleclip dataset generate` "
                    "again with the same options, which draws what is missing or damaged."
                ) from None

    def __len__(self) -> int:
        count: int = getattr(self.index, self.split)
        return count

    def w(self, rows: Sequence[int]) -> Tensor:
        """w [len(rows), latent_dim] of some faces, float32 on the CPU."""
        slices = {shard: self._shards[shard].get_slice("w") for shard in {r // SHARD for r in rows}}
        return torch.cat([slices[r // SHARD][r % SHARD : r % SHARD + 1] for r in rows])
