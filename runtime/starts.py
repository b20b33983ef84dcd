"""Where an edit starts: a generated face, a saved latent, the mean face. Needs no torch.

Whoever edits takes a `Start`, and need not know where it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.checkpoints.latent_file import LatentFile, read_latents
from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos.mesh import Points
from styleclip_rt.photos.picture import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    Values = Tensor | NDArray[np.float32]
    """A tensor of the engine torch, an array of any other."""

Array = NDArray[np.float32]


class PictureFile(Protocol):
    """A user's picture, of which an edited face is a part."""

    @property
    def path(self) -> Path:
        """Of the picture's file."""

    @property
    def original(self) -> Image.Image:
        """The whole picture."""

    def mesh_in(self, pixels: Pixels) -> Points:
        """The face's mesh [478, 3] in the picture as it is or as edited [H, W, 3]."""

    def write(self, image: Image.Image, stem: Path, said: str) -> Path:
        """Write an edited picture as a file of the same kind, and what was done into it."""


class Scene(Protocol):
    """What a face was cut out of, and goes back into when it is edited."""

    @property
    def file(self) -> PictureFile | None:
        """Whose part it is; None for a face that is only drawn."""

    def put_back(
        self,
        before: Image.Image,
        after: Image.Image,
        relevance: NDArray[np.float32],
        onto: Image.Image | None = None,
    ) -> Image.Image:
        """The whole picture, or `onto`, which is the picture with other faces edited, with what
        changed between two drawings of the face, where the map [h, w] in [0, 1] of a prompt says
        that it may."""


@dataclass(frozen=True)
class Start:
    """One face to edit, as float32 arrays.

    Attributes:
        latent: w+ [n_latent, latent_dim]; or all styles joined [channels], where it was saved in
            StyleSpace.
        residue: [C, R, R], added to the generator's features of R px whatever the latent becomes;
            None for a face that is drawn by its latent alone.
        z: [latent_dim] that it was mapped from; None for other faces than generated ones.
        seed: of a generated face.
        source: where it came from, in words: "seed 7".
        scene: the photograph that it is in; or the drawing itself, of which is to stay what a
            prompt is not about; None for a face whose edits are drawn anew.
        onto: that photograph with other faces edited, which this one joins; None for as it is.
    """

    latent: Array
    z: Array | None = None
    seed: int | None = None
    source: str = ""
    scene: Scene | None = None
    onto: Image.Image | None = None
    residue: Array | None = None

    @property
    def in_style_space(self) -> bool:
        """Whether `latent` holds styles."""
        return self.latent.ndim == 1


class Latents(Protocol):
    """The latents of one generator, in whichever engine it runs.

    Attributes:
        fingerprint: of the generator; "" where it is not known.
        latent_shape: (n_latent, latent_dim) of w+.
        style_channels: of each style; none where the engine takes no styles.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def latent_shape(self) -> tuple[int, int]: ...
    @property
    def style_channels(self) -> tuple[int, ...]: ...

    def mapped(self, seeds: Sequence[int], truncation_psi: float) -> tuple[Array, Array]:
        """z and w, [len(seeds), latent_dim] each, of generated faces."""

    def mean_latent(self) -> Array:
        """w [latent_dim] of the mean face."""


def from_seeds(latents: Latents, seeds: Sequence[int], truncation_psi: float) -> list[Start]:
    """Generated faces.

    Raises:
        StyleClipError: a seed that is no whole number of 64 bits, or a truncation that is not
            finite.
    """
    if not np.isfinite(truncation_psi):
        raise StyleClipError(f"the truncation must be a finite number, not {truncation_psi}.")
    faces = []
    for seed in seeds:
        # One at a time: a product of several rows rounds otherwise, and a seed is one face.
        z, w = latents.mapped([seed], truncation_psi)
        faces.append(Start(_in_every_row(latents, w)[0], z[0], seed, f"seed {seed}"))
    return faces


def mean_face(latents: Latents) -> Start:
    """What truncation to nothing leaves of any face."""
    return Start(_in_every_row(latents, latents.mean_latent()[None])[0], source="mean face")


def from_file(latents: Latents, path: Path) -> list[Start]:
    """The faces whose latents a file holds, in any format of `read_latents`.

    Raises:
        StyleClipError: the file holds none, or latents of another generator.
    """
    found = read_latents(path)
    _check_generator(latents, found, path)
    return from_values(latents, found.latents, str(path), found.space)


def from_bytes(latents: Latents, content: bytes) -> list[Start]:
    """The same, of the bytes of a safetensors file."""
    found = read_latents(content)
    _check_generator(latents, found, "the latent that was sent")
    return from_values(latents, found.latents, "a latent", found.space)


def from_values(
    latents: Latents, values: "Values", source: str = "a latent", space: str = ""
) -> list[Start]:
    """Faces of given latents: w [N, latent_dim], w+ [N, n_latent, latent_dim], or all styles joined
    [N, channels]; floats of any width, tensors or arrays.

    Raises:
        StyleClipError: another shape, other numbers than floats, or some that are not finite.
    """
    array = as_float32(values)
    array = array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()
    rows, dim = latents.latent_shape
    channels = sum(latents.style_channels)
    each = array.shape[1:]
    if array.ndim > 1 and len(array) > 0:
        if each == (dim,) and space != "s":
            return [Start(w_plus, source=source) for w_plus in _in_every_row(latents, array)]
        if each == (rows, dim) or (channels and each == (channels,)):
            return [Start(np.ascontiguousarray(latent), source=source) for latent in array]
    n = len(array) if array.ndim > 1 and len(array) else "N"
    styles = f", or its styles [{n}, {channels}]" if channels else ""
    raise StyleClipError(
        f"{source} has shape {list(array.shape)}: this generator takes [{n}, {dim}] or "
        f"[{n}, {rows}, {dim}]{styles}."
    )


def residues(starts: Sequence[Start]) -> Array | None:
    """Those of faces [N, C, R, R], zeros for a face without; None where no face has one."""
    given = [start.residue for start in starts if start.residue is not None]
    if not given:
        return None
    each = [np.zeros_like(given[0]) if x.residue is None else x.residue for x in starts]
    return np.stack(each)


def check_together(starts: Sequence[Start], count: int, what: str) -> None:
    """Check that faces can be edited in one picture.

    Args:
        count: how many of `what` are given for them.

    Raises:
        StyleClipError: there are none, they are not in photographs, or `count` is another.
    """
    if not starts or any(start.scene is None or start.scene.file is None for start in starts):
        raise StyleClipError("only faces of a photograph are edited together: name one.")
    if len(starts) != count:
        raise StyleClipError(f"give one {what} for each of the {len(starts)} faces, not {count}.")


def as_float32(values: "Values") -> "Values":
    """Latents as float32, of the kind that they came in; floats of any width are cast.

    Raises:
        StyleClipError: other numbers than floats, or some that are not finite.
    """
    cast: Values
    if isinstance(values, np.ndarray):
        # ml_dtypes' bfloat16 and float8 are of no kind that NumPy knows.
        if values.dtype.kind != "f" and "float" not in values.dtype.name:
            raise _no_floats(str(values.dtype))
        with np.errstate(over="ignore"):
            cast = np.asarray(values, np.float32)
        finite = bool(np.isfinite(cast).all())
    elif hasattr(values, "is_floating_point"):
        if not values.is_floating_point() or values.is_meta or values.is_sparse:
            raise _no_floats(str(values.dtype))
        cast = values.detach().float()
        finite = bool(cast.isfinite().all())
    else:
        raise _no_floats(type(values).__name__)
    if not finite:
        raise StyleClipError("the latent has numbers that are not finite: save or fetch it again.")
    return cast


def _no_floats(kind: str) -> StyleClipError:
    return StyleClipError(f"a latent is a tensor or an array of floats, not {kind}.")


def _in_every_row(latents: Latents, w: Array) -> Array:
    """w [N, latent_dim] -> w+ [N, n_latent, latent_dim]."""
    return np.repeat(w[:, None], latents.latent_shape[0], axis=1)


def _check_generator(latents: Latents, found: LatentFile, source: object) -> None:
    if found.generator and latents.fingerprint and found.generator != latents.fingerprint:
        raise StyleClipError(
            f"{source} is a latent of another generator: edit it with the bundle that it was "
            "made with."
        )
