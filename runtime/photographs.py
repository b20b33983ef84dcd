"""A face in a photograph, inverted once, so that every edit of it is quick.

What an edit changed is carried over to the photograph (`photos.compositing`), at its own size.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.checkpoints.latent_file import read_latents, save_latents
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import appearing_in, sha256_of
from styleclip_rt.photos import Face, Picture, choose_faces, draw_found, find_faces, read_picture
from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.arrival import missing, paleness
from styleclip_rt.photos.beyond import continued, weight_beyond, wider
from styleclip_rt.photos.compositing import (
    FEATHER,
    about,
    as_a_whole,
    composite,
    decided,
    motion,
    nearest,
    weight_in_picture,
)
from styleclip_rt.photos.engine import PhotoEngine
from styleclip_rt.photos.faces import PRESENT, Box, Which
from styleclip_rt.photos.mesh import Points, fit_mesh, place_of
from styleclip_rt.photos.picture import Pixels, save_picture
from styleclip_rt.photos.regions import REGIONS, Plane, blurred, find_regions, mouth_in
from styleclip_rt.photos.resampling import Planes, resized
from styleclip_rt.pictures import contact_sheet, save_png, to_pil
from styleclip_rt.runtime.exported_inversion import ExportedInversion
from styleclip_rt.runtime.exported_networks import ExportedNetworks
from styleclip_rt.runtime.inversion import QUALITIES, Inversion, Step, invert
from styleclip_rt.runtime.networks import Networks
from styleclip_rt.runtime.results import INVERTED
from styleclip_rt.runtime.starts import Start

if TYPE_CHECKING:
    from styleclip_rt.runtime.networks import Values

FORMAT = "styleclip-rt-photograph/1"
_HAIR, _MOUTH = REGIONS.index("hair"), REGIONS.index("mouth")
_ARRIVING = _, _SKIN, _EYES, _LIPS = tuple(
    REGIONS.index(name) for name in ("hair", "skin", "eyes", "lips")
)
_STILL = 0.008
"""Of the square's side: a skin that an edit moves farther is not what its colour is about."""
_COARSE = 256
"""Pixels at which is seen where a drawing has hair."""
_RECORD, _LATENT, _POINTS = INVERTED, "latent.safetensors", "points.npy"
_RESIDUE = "residue.npy"

OnStep = Callable[[int, int, Step], None]


@dataclass(frozen=True)
class Photograph:
    """One face in a picture, and the latent and residue that draw it nearest.

    Attributes:
        path: of the picture's file.
        picture: as it was read.
        face: that is edited.
        latent: float32 w+ [n_latent, latent_dim].
        generator: `fingerprint` of the generator whose latent it is.
        resolution: of its drawings, in px.
        others: boxes of the picture's other faces, which an edit of this one leaves alone.
        drawn: the picture is a drawing, all of it the square, and not a file.
        engine: that computes on its pixels; PyTorch's, if none is given.
        residue: float32 [C, R, R], as a `Start` has it.
    """

    path: Path
    picture: Picture
    face: Face
    latent: NDArray[np.float32]
    generator: str
    resolution: int
    others: tuple[Box, ...] = ()
    drawn: bool = False
    engine: PhotoEngine | None = field(default=None, repr=False, compare=False)
    residue: NDArray[np.float32] | None = field(default=None, repr=False)

    @cached_property
    def alignment(self) -> Alignment:
        """FFHQ's square around the face; the whole of a drawing."""
        if self.drawn:
            half = self.picture.size[0] / 2
            return Alignment((half, half), (half, 0.0))
        return Alignment.of(self.face)

    @cached_property
    def aligned(self) -> Planes:
        """The face as the generator would draw it, [3, resolution, resolution] in [0, 1]."""
        return self.alignment.crop(self.picture, self.resolution, self.engine)

    @cached_property
    def regions(self) -> Planes:
        """Soft masks [len(REGIONS), resolution, resolution] of the aligned face."""
        return find_regions(self.picture, self.face, self.alignment, self.resolution, self.engine)

    def smaller(self, resolution: int, side: int) -> "Photograph":
        """The same for drafts: drawings of `resolution` px in a picture of at most `side` px."""
        width, height = self.picture.size
        scale = min(1.0, side / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(Image.fromarray(self.picture.pixels).resize(size, Image.Resampling.BOX))
        scales = np.array([size[0] / width, size[1] / height, scale], np.float32)
        return replace(
            self,
            picture=replace(self.picture, pixels=pixels, alpha=None),
            face=replace(self.face, points=self.face.points * scales),
            resolution=resolution,
        )

    @cached_property
    def own(self) -> Plane:
        """Which places [resolution, resolution] of the square are this face's, in [0, 1]."""
        return nearest(self.alignment, self.face.box, self.others, self.resolution)

    @property
    def file(self) -> "Photograph":
        """Itself, a user's picture."""
        return self

    def without_metadata(self) -> "Photograph":
        """The same, whose edits carry nothing of its EXIF, as when and where it was taken."""
        return replace(self, picture=self.picture.without_metadata())

    @property
    def start(self) -> Start:
        """Where edits of it start."""
        return Start(self.latent, source=str(self.path), scene=self, residue=self.residue)

    def mesh_in(self, pixels: Pixels) -> Points:
        """The face's mesh [478, 3] in an edit of the picture [H, W, 3]."""
        points, presence = fit_mesh(pixels, *place_of(self.face.points), self.engine)
        return points if presence > PRESENT else self.face.points

    def write(self, image: Image.Image, stem: Path, said: str) -> Path:
        """Write an edit of it as a file of the photograph's own format; the file's path.

        Args:
            image: the whole picture, edited.
            stem: of the path, without a suffix.
            said: what was done to it, for the metadata.
        """
        path = stem.with_suffix(self.path.suffix.lower() or f".{self.picture.format.lower()}")
        return save_picture(np.asarray(image), self.picture, path, said)

    @property
    def original(self) -> Image.Image:
        """The whole picture."""
        return Image.fromarray(self.picture.pixels)

    def put_back(
        self,
        before: Image.Image,
        after: Image.Image,
        relevance: NDArray[np.float32],
        onto: Image.Image | None = None,
    ) -> Image.Image:
        """The picture with what changed between two drawings of the face.

        Args:
            before, after: drawings of the latent and of the edited latent.
            relevance: [h, w] in [0, 1], where in faces the prompt changes things.
            onto: the picture with other faces edited before, if any were.

        Raises:
            StyleClipError: `onto` is another picture.
        """
        base = self.picture.pixels if onto is None else np.asarray(onto)
        if base.shape != self.picture.pixels.shape:
            raise StyleClipError("faces of several photographs do not go into one picture.")
        if not relevance.any():
            return Image.fromarray(base)
        drawn = [np.asarray(image) for image in (before, after)]
        old, new = (np.divide(d.transpose(2, 0, 1), 255, dtype=np.float32) for d in drawn)
        mask = about(relevance, self.regions) * self.own
        flow, opened = None, None
        there, then = self._mesh_before(drawn[0]), self._mesh(drawn[1])
        if there is not None and then is not None:
            size = self.resolution
            flow = motion(there, then, size)
            closed = np.maximum(mouth_in(there / size, size), self.regions[_MOUTH])
            opened = (mouth_in(then / size, size) - closed).clip(0, 1) * mask
        feather = 0.0 if self.drawn else FEATHER
        moves = flow is not None and float(np.abs(flow).max()) > _STILL
        lacking = None if self.drawn else self._lacking(drawn[0], old, new, relevance, moves)
        pixels = composite(
            base, self.alignment, old, new, mask, flow, opened, feather, self.engine, lacking
        )
        if not self.drawn:
            whole = as_a_whole(relevance, self.regions)
            # Of hair that the drawing lacks it tells the skin's change.
            hair = self._hair_before(drawn[0]) if _of_hair_alone(whole) else None
            region = self._wider_region(whole)
            pixels = continued(base, pixels, self.alignment, region, hair, self.engine)
        return Image.fromarray(pixels)

    def _lacking(
        self,
        drawing: NDArray[np.uint8],
        old: Planes,
        new: Planes,
        relevance: Plane,
        moves: bool,
    ) -> Planes | None:
        """What the difference of two drawings lacks for the photograph's regions to come to the
        edited drawing's colours, at their size."""
        few = (_COARSE, _COARSE)
        whole = as_a_whole(relevance, self.regions)
        if whole[_SKIN] > 0 and (moves or whole[_HAIR] > 0):
            return None  # a smile, or age: their light on the skin is no colour of it
        photograph, before, after = (resized(image, few) for image in (self.aligned, old, new))
        hair, skin, eyes, lips = (resized(self.regions[i], few) for i in _ARRIVING)
        if whole[_SKIN] > 0:
            field = paleness(photograph, before, after, whole[_SKIN] * skin)
        else:
            drawn = self._hair_before(drawing)
            sure = decided(hair) * (1 if drawn is None else drawn)
            # Lashes and the lids' edges.
            rims = (3 * blurred(eyes, _COARSE / 80)).clip(0, 1) * skin
            changed = whole[[_HAIR, _EYES, _LIPS], None, None]
            where = changed * np.stack([hair, rims, lips])
            among = changed * np.stack([sure, rims, lips])
            field = missing(photograph, before, after, where, among)
        return resized(field, (self.resolution, self.resolution))

    def weight(self, relevance: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much of what `put_back` carries over each pixel gets at most: [H, W] in [0, 1]; where
        it is 0 the picture stays as it is.

        Args:
            relevance: [h, w] in [0, 1], where in faces the prompt changes things.
        """
        size = (self.picture.pixels.shape[0], self.picture.pixels.shape[1])
        whole = np.zeros(size, np.float32)
        mask = about(relevance, self.regions) * self.own
        window, weight = weight_in_picture(
            mask, self.alignment, size, 0.0 if self.drawn else FEATHER, self.engine
        )
        whole[window] = weight
        if self.drawn:
            return whole
        everything = as_a_whole(relevance, self.regions)
        # At most: as if no drawing of it had hair.
        hair = np.zeros((1, 1), np.float32) if _of_hair_alone(everything) else None
        region = self._wider_region(everything)
        beyond = weight_beyond(self.alignment, region, size, hair, self.engine)
        return np.maximum(whole, beyond)

    def _wider_region(self, whole: NDArray[np.float32]) -> Plane:
        """Regions that are changed by so much, in the square and around it, as one mask."""
        regions, own = self._around
        if _of_hair_alone(whole):
            # Beyond the drawing nothing bears a doubtful place out.
            hair: Plane = decided(regions[_HAIR]) * regions[_HAIR] * whole[_HAIR] * own
            return hair
        region: Plane = np.tensordot(whole, regions, 1) * own
        return region.clip(0, 1)

    @cached_property
    def _around(self) -> tuple[Planes, Plane]:
        """`regions` and `own` of the wider square."""
        wide, size = wider(self.alignment), self.resolution
        regions = find_regions(self.picture, self.face, wide, size, self.engine)
        return regions, nearest(wide, self.face.box, self.others, size)

    @cached_property
    def _meshes(self) -> dict[bytes, Points | None]:
        """Of drawings of the latent, which is one for each engine that drew it."""
        return {}

    def _mesh_before(self, drawing: NDArray[np.uint8]) -> Points | None:
        key = drawing.tobytes()
        if key not in self._meshes:
            self._meshes[key] = self._mesh(drawing)
        return self._meshes[key]

    @cached_property
    def _hairs(self) -> dict[bytes, Plane]:
        return {}

    def _hair_before(self, drawing: NDArray[np.uint8]) -> Plane | None:
        """Where a drawing of the latent has hair, [_COARSE, _COARSE]; None where it shows no
        face."""
        mesh, key = self._mesh_before(drawing), drawing.tobytes()
        if mesh is not None and key not in self._hairs:
            half = self.resolution / 2
            square = Alignment((half, half), (half, 0.0))
            face = replace(self.face, points=mesh)
            self._hairs[key] = find_regions(drawing, face, square, _COARSE, self.engine)[_HAIR]
        return self._hairs.get(key)

    def _mesh(self, drawing: NDArray[np.uint8]) -> Points | None:
        """The mesh of a drawing, in its pixels; None where it shows no face."""
        # The drawing is aligned as the photograph is, so its face is where the photograph's is.
        own = self.alignment.to_square(self.face.points[:468, :2])
        low, high = own.min(axis=0), own.max(axis=0)
        x, y = (low + high) / 2 * self.resolution
        side = float((high - low).max()) * self.resolution
        points, presence = fit_mesh(drawing, (float(x), float(y)), side, 0.0, self.engine)
        return points if presence > PRESENT else None

    def save(self, folder: Path, drawn: "Values") -> None:
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
            "others": self.others,
            "residue": self.residue is not None,
        }
        image = drawn if isinstance(drawn, np.ndarray) else drawn.cpu().numpy()
        difference = np.abs(image - self.aligned).clip(0, 1)
        tiles = [to_pil(x) for x in (self.aligned, image, difference)]
        titles = ["photograph", "reconstruction", "difference"]
        try:
            with appearing_in(folder, _RECORD) as work:
                shutil.copyfile(self.path, work / str(known["photograph"]))
                np.save(work / _POINTS, self.face.points)
                if self.residue is not None:
                    np.save(work / _RESIDUE, self.residue.astype(np.float16))
                save_latents(work / _LATENT, self.latent[None], "w+", self.generator)
                save_png(draw_found(self.picture, [self.face]), work / "found.png", {})
                save_png(contact_sheet([tiles], titles, tile=512), work / "comparison.png", {})
                (work / _RECORD).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StyleClipError(
                f"cannot write to {folder} ({error.strerror}): choose another folder with --out."
            ) from None


class OwnDrawing:
    """The scene of a generated face: of its own drawing stays, pixel by pixel, what a prompt is not
    about."""

    file = None

    def __init__(self, engine: PhotoEngine | None = None) -> None:
        self.engine = engine

    def put_back(
        self,
        before: Image.Image,
        after: Image.Image,
        relevance: NDArray[np.float32],
        onto: Image.Image | None = None,
    ) -> Image.Image:
        """See `Photograph.put_back`.

        Raises:
            StyleClipError: the drawing shows no face.
        """
        picture = Picture(np.array(before), "PNG", "RGB")
        try:
            (face,) = choose_faces(find_faces(picture, self.engine))
        except StyleClipError:
            raise StyleClipError(
                "the drawing shows no face whose rest could be kept: leave --keep-rest out."
            ) from None
        nowhere = np.zeros((0, 0), np.float32)
        size = picture.size[0]
        drawn = Photograph(Path(), picture, face, nowhere, "", size, drawn=True, engine=self.engine)
        return drawn.put_back(before, after, relevance, onto)


def keep_rest(start: Start, engine: PhotoEngine | None = None) -> Start:
    """The same start, of whose drawing stays what a prompt is not about; of a photograph it does
    anyway."""
    return start if start.scene is not None else replace(start, scene=OwnDrawing(engine))


def open_photograph(
    networks: Networks,
    path: Path,
    which: Which | Sequence[Which] = "largest",
    quality: str = "fast",
    precision: str = "fp32",
    on_step: OnStep | None = None,
) -> list[Photograph]:
    """The faces of a picture's file, inverted; or those in a folder that `Photograph.save` wrote,
    or in the folders face1, face2, ... of one.

    Args:
        networks: whose latents they become.
        path: of the file or folder.
        which: "largest", "all", or a number, 1 for the leftmost; or several of these.
        quality: one of `inversion.QUALITIES`.
        precision: of drawing and judging.
        on_step: see `inversion.invert`.

    Raises:
        StyleClipError: there is no picture or no such face, the folder is of another generator, or
            an exported network is missing.
    """
    if path.is_dir():
        saved = _read_all(networks, path)
        chosen = choose_faces([photograph.face for photograph in saved], which)
        return [photograph for face in chosen for photograph in saved if photograph.face is face]
    if quality not in QUALITIES:
        raise StyleClipError(f"unknown quality {quality!r}: choose from {', '.join(QUALITIES)}.")
    picture = read_picture(path)
    found = find_faces(picture, networks.photos)
    photographs = []
    for face in choose_faces(found, which):
        aligned = Alignment.of(face).crop(picture, networks.resolution, networks.photos)
        latent, residue = invert(_inversion(networks, aligned, precision), quality, on_step)
        others = tuple(other.box for other in found if other is not face)
        photographs.append(
            Photograph(
                path,
                picture,
                face,
                latent,
                networks.fingerprint,
                networks.resolution,
                others,
                engine=networks.photos,
                residue=residue,
            )
        )
    return photographs


def _inversion(networks: Networks, aligned: Planes, precision: str) -> Inversion:
    """Of an aligned face, in the engine of the networks."""
    if isinstance(networks, ExportedNetworks):
        return ExportedInversion(networks, aligned)
    from styleclip_rt.runtime.torch_inversion import TorchInversion
    from styleclip_rt.runtime.torch_networks import TorchNetworks

    assert isinstance(networks, TorchNetworks)
    return TorchInversion(networks, aligned, precision)


def _read_all(networks: Networks, folder: Path) -> list[Photograph]:
    """The faces that a folder holds, from left to right."""
    if (folder / _RECORD).exists() or not (folder / "face1").is_dir():
        return [_read(networks, folder)]
    inside = [each for each in folder.glob("face*") if each.name[4:].isdecimal()]
    first, *others = (
        _read(networks, each) for each in sorted(inside, key=lambda each: int(each.name[4:]))
    )
    if any(not np.array_equal(first.picture.pixels, x.picture.pixels) for x in others):
        raise StyleClipError(
            f"the folders in {folder} are of several photographs: name one of them, or invert "
            "the photograph again with --face all."
        )
    return [first, *(replace(x, path=first.path, picture=first.picture) for x in others)]


def _read(networks: Networks, folder: Path) -> Photograph:
    try:
        known = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        name = Path(known["photograph"])
        path = folder / name.name
        whole = known["format"] == FORMAT and name.name == known["photograph"]
        whole = whole and sha256_of(path) == known["sha256"]
        points = np.load(folder / _POINTS, allow_pickle=False)
        face = Face(np.asarray(points, np.float32), float(known["score"]))
        whole = whole and face.points.shape == (478, 3) and np.isfinite(face.points).all()
        boxes = np.array(known.get("others", []), np.float64).reshape(-1, 4)
        others = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes)
        whole = whole and bool(np.isfinite(boxes).all() and (boxes[:, 2] > boxes[:, 0]).all())
        residue = None
        if known.get("residue", False):
            residue = np.asarray(np.load(folder / _RESIDUE, allow_pickle=False), np.float32)
            whole = whole and residue.ndim == 3 and bool(np.isfinite(residue).all())
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        whole = False
    if not whole:
        raise StyleClipError(
            f"{folder} holds no photograph that `styleclip invert` left, or not whole: invert it "
            "again."
        )
    found = read_latents(folder / _LATENT)
    # Exported networks do not know their generator's fingerprint, nor do photographs that they
    # inverted.
    both = {found.generator, networks.fingerprint} - {""}
    if networks.residue_shape is None:
        residue = None
    fits = residue is None or residue.shape == networks.residue_shape
    if len(both) > 1 or found.latents.shape[1:] != networks.latent_shape or not fits:
        raise StyleClipError(
            f"the photograph in {folder} was inverted for another generator: invert it again with "
            "this bundle."
        )
    picture, latent = read_picture(path), found.latents[0]
    return Photograph(
        path,
        picture,
        face,
        latent,
        found.generator,
        networks.resolution,
        others,
        engine=networks.photos,
        residue=residue,
    )


def _of_hair_alone(whole: NDArray[np.float32]) -> bool:
    """Whether of the regions that are changed all over only the hair is one."""
    return bool(whole[_HAIR] > 0 and whole.sum() == whole[_HAIR])
