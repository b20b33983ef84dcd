"""A face in a photograph, inverted once, so that every edit of it is quick.

What an edit changed is carried over to the photograph (`photos.compositing`), at its own size.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from styleclip_rt.bundle.download import sha256_of
from styleclip_rt.checkpoints.latent_file import read_latents, save_latents
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import appearing_in
from styleclip_rt.photos import Face, Picture, choose_faces, draw_found, find_faces, read_picture
from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.compositing import about, composite, motion
from styleclip_rt.photos.faces import PRESENT
from styleclip_rt.photos.mesh import Points, fit_mesh
from styleclip_rt.photos.picture import save_picture
from styleclip_rt.photos.regions import REGIONS, find_regions, mouth_in
from styleclip_rt.pictures import contact_sheet, save_png, to_pil
from styleclip_rt.runtime.inversion import QUALITIES, Step, invert
from styleclip_rt.runtime.starts import Start
from styleclip_rt.runtime.torch_networks import TorchNetworks

FORMAT = "styleclip-rt-photograph/1"
_MOUTH = REGIONS.index("mouth")
_RECORD, _LATENT, _POINTS = "photograph.json", "latent.safetensors", "points.npy"

OnStep = Callable[[int, int, Step], None]


@dataclass(frozen=True)
class Photograph:
    """One face in a picture, and the latent that draws it nearest.

    Attributes:
        path: of the picture's file.
        picture: as it was read.
        face: that is edited.
        latent: float32 w+ [n_latent, latent_dim].
        generator: `fingerprint` of the generator whose latent it is.
        resolution: of its drawings, in px.
    """

    path: Path
    picture: Picture
    face: Face
    latent: NDArray[np.float32]
    generator: str
    resolution: int

    @cached_property
    def alignment(self) -> Alignment:
        """FFHQ's square around the face."""
        return Alignment.of(self.face)

    @cached_property
    def aligned(self) -> Tensor:
        """The face as the generator would draw it, [3, resolution, resolution] in [0, 1]."""
        return self.alignment.crop(self.picture, self.resolution)

    @cached_property
    def regions(self) -> Tensor:
        """Soft masks [len(REGIONS), resolution, resolution] of the aligned face."""
        return find_regions(self.picture, self.face, self.alignment, self.resolution)

    @property
    def start(self) -> Start:
        """Where edits of it start."""
        return Start(self.latent, source=str(self.path), scene=self)

    def write(self, image: Image.Image, stem: Path, said: str) -> Path:
        """Write an edit of it as a file of the photograph's own format; the file's path.

        Args:
            image: the whole picture, edited.
            stem: of the path, without a suffix.
            said: what was done to it, for the metadata.
        """
        path = stem.with_suffix(self.path.suffix.lower())
        return save_picture(np.asarray(image), self.picture, path, said)

    @property
    def original(self) -> Image.Image:
        """The whole picture."""
        return Image.fromarray(self.picture.pixels)

    def put_back(
        self, before: Image.Image, after: Image.Image, relevance: NDArray[np.float32]
    ) -> Image.Image:
        """The picture with what changed between two drawings of the face.

        Args:
            before, after: drawings of the latent and of the edited latent.
            relevance: [h, w] in [0, 1], where in faces the prompt changes things.
        """
        drawn = [np.asarray(image) for image in (before, after)]
        old, new = (torch.from_numpy(d.copy()).permute(2, 0, 1).float() / 255 for d in drawn)
        mask = about(torch.from_numpy(relevance), self.regions)
        flow, opened = None, None
        meshes = [self._mesh(image) for image in drawn]
        if meshes[0] is not None and meshes[1] is not None:
            size = self.resolution
            flow = motion(meshes[0], meshes[1], size)
            closed = torch.maximum(mouth_in(meshes[0] / size, size), self.regions[_MOUTH])
            opened = (mouth_in(meshes[1] / size, size) - closed).clamp(0, 1) * mask
        pixels = composite(self.picture.pixels, self.alignment, old, new, mask, flow, opened)
        return Image.fromarray(pixels)

    def _mesh(self, drawing: NDArray[np.uint8]) -> Points | None:
        """The mesh of a drawing, in its pixels; None where it shows no face."""
        # The drawing is aligned as the photograph is, so its face is where the photograph's is.
        own = self.alignment.to_square(self.face.points[:468, :2])
        low, high = own.min(axis=0), own.max(axis=0)
        x, y = (low + high) / 2 * self.resolution
        side = float((high - low).max()) * self.resolution
        points, presence = fit_mesh(drawing, (float(x), float(y)), side, 0.0)
        return points if presence > PRESENT else None

    def save(self, folder: Path, drawn: Tensor) -> None:
        """Write all of it into `folder`, which every command takes in the place of a seed, and
        pictures of what was found and how near the drawing [3, S, S] in [0, 1] comes.

        Raises:
            StyleClipError: the folder cannot be written.
        """
        known = {
            "format": FORMAT,
            "photograph": f"photograph{self.path.suffix.lower()}",
            "sha256": sha256_of(self.path),
            "generator": self.generator,
            "resolution": self.resolution,
            "score": self.face.score,
        }
        difference = (drawn - self.aligned).abs()
        tiles = [to_pil(x) for x in (self.aligned, drawn, difference.clamp(0, 1))]
        titles = ["photograph", "reconstruction", "difference"]
        try:
            with appearing_in(folder, _RECORD) as work:
                shutil.copyfile(self.path, work / str(known["photograph"]))
                np.save(work / _POINTS, self.face.points)
                save_latents(work / _LATENT, self.latent[None], "w+", self.generator)
                save_png(draw_found(self.picture, [self.face]), work / "found.png", {})
                save_png(contact_sheet([tiles], titles, tile=512), work / "comparison.png", {})
                (work / _RECORD).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StyleClipError(
                f"cannot write to {folder} ({error.strerror}): choose another folder with --out."
            ) from None


def open_photograph(
    networks: object,
    path: Path,
    which: str | int = "largest",
    quality: str = "fast",
    precision: str = "fp32",
    on_step: OnStep | None = None,
) -> list[Photograph]:
    """The faces of a picture's file, inverted; or the one in a folder that `Photograph.save` wrote.

    Args:
        networks: whose latents they become.
        path: of the file or folder.
        which: "largest", "all", or a number, 1 for the leftmost.
        quality: one of `inversion.QUALITIES`.
        precision: of drawing and judging.
        on_step: see `inversion.invert`.

    Raises:
        StyleClipError: there is no picture or no such face, the folder is of another generator, or
            the networks are exported ones.
    """
    if not isinstance(networks, TorchNetworks):
        raise StyleClipError("photographs are edited with engine torch: leave the engine out.")
    if quality not in QUALITIES:
        raise StyleClipError(f"unknown quality {quality!r}: choose from {', '.join(QUALITIES)}.")
    if networks.bundle.identity is None:
        raise StyleClipError(
            f"the bundle {networks.bundle.name!r} draws no faces: photographs need one that does."
        )
    if path.is_dir():
        return [_read(networks, path)]
    picture = read_picture(path)
    photographs = []
    for face in choose_faces(find_faces(picture), which):
        aligned = Alignment.of(face).crop(picture, networks.resolution)
        latent = invert(networks, aligned, quality, precision, on_step)
        photographs.append(
            Photograph(path, picture, face, latent, networks.fingerprint, networks.resolution)
        )
    return photographs


def _read(networks: TorchNetworks, folder: Path) -> Photograph:
    try:
        known = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        name = Path(known["photograph"])
        path = folder / name.name
        whole = known["format"] == FORMAT and name.name == known["photograph"]
        whole = whole and sha256_of(path) == known["sha256"]
        points = np.load(folder / _POINTS, allow_pickle=False)
        face = Face(np.asarray(points, np.float32), float(known["score"]))
        whole = whole and face.points.shape == (478, 3) and np.isfinite(face.points).all()
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        whole = False
    if not whole:
        raise StyleClipError(
            f"{folder} holds no photograph that `styleclip invert` left, or not whole: invert it "
            "again."
        )
    found = read_latents(folder / _LATENT)
    if found.generator != networks.fingerprint or found.latents.shape[1:] != networks.latent_shape:
        raise StyleClipError(
            f"the photograph in {folder} was inverted for another generator: invert it again with "
            "this bundle."
        )
    return Photograph(
        path, read_picture(path), face, found.latents[0], found.generator, networks.resolution
    )
