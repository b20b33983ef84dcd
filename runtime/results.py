"""What an edit leaves on disk: pictures, the latent, the parameters."""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt import files
from styleclip_rt.checkpoints.latent_file import save_latents
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import appearing_in
from styleclip_rt.files import check_writable as check_writable
from styleclip_rt.pictures import comparison, loss_plot, save_png
from styleclip_rt.runtime.starts import PictureFile, Start
from styleclip_rt.settings import EditSettings

if TYPE_CHECKING:
    from torch import Tensor


_FILES = (
    "original.png",
    "edited.png",
    "comparison.png",
    "loss.png",
    "loss-*.png",
    "latent.safetensors",
    "latent-*.safetensors",
    "frames/*.png",
)
"""What an edit may leave beside its edit.json."""

INVERTED = "photograph.json"
"""What a folder holds that `styleclip invert` wrote."""

LARGEST_TILE = 1024
"""Pixels a side of the pictures in a comparison."""


class EditedFace(NamedTuple):
    """One edited face, whatever edited it.

    Attributes:
        image, original: PIL images at full resolution; whole photographs where the face is in one.
        latent: float32 w+ [n_latent, latent_dim], or all styles joined [channels] where it moved in
            StyleSpace; a NumPy array where an engine without torch made it.
        identity: cosine between the identity embeddings of image and original; None where no
            network compared them.
        scene: the photograph that image is an edit of, if it is one.
    """

    image: Image.Image
    original: Image.Image
    latent: "Tensor | NDArray[np.float32]"
    identity: float | None = None
    scene: PictureFile | None = None

    def in_scene(self, start: Start, relevance: NDArray[np.float32]) -> "EditedFace":
        """The same in the picture that the face was cut out of, if it was; see `Scene`."""
        scene = start.scene
        if scene is None:
            return self
        whole = scene.put_back(self.original, self.image, relevance, start.onto)
        if scene.file is None:
            return self._replace(image=whole)
        return self._replace(image=whole, original=scene.file.original, scene=scene.file)


@dataclass
class EditResult:
    """One edited face.

    Attributes:
        prompt: what was asked.
        seed: of the start, None where it was a latent or the mean.
        image, original: PIL images at full resolution.
        latent: float32 w+ [1, n_latent, latent_dim], or [1, channels] in StyleSpace; a NumPy
            array where an engine without torch made it.
        history: one row a step with every loss, unweighted but for their total, and the learning
            rate `lr`; none where the optimiser had nothing to do.
        settings: all that shaped the edit.
        interrupted: Ctrl-C stopped it; the image is the best so far.
        known_text: share of the prompt's tokens that CLIP saw in training, None if not recorded.
        identity: cosine between the identity embeddings of image and original; None where the
            bundle has no identity network.
        looks: that the prompt names and that were applied, such as "smiling 0.5, red hair 1"; ""
            where the optimiser alone made the edit.
        rest: of such a prompt, what the optimiser made; "" where looks are all.
        generator: the `fingerprint` of the generator whose latent it is, "" where that is unknown.
        scene: the photograph that image is an edit of, if it is one.
        frames: drafts along the way, if asked for.
    """

    prompt: str
    seed: int | None
    image: Image.Image
    original: Image.Image
    latent: "Tensor | NDArray[np.float32]"
    history: list[dict[str, float]]
    settings: EditSettings
    interrupted: bool
    known_text: float | None
    identity: float | None
    looks: str = ""
    rest: str = ""
    generator: str = ""
    scene: PictureFile | None = None
    frames: list[Image.Image] = field(default_factory=list)

    def save(self, folder: str | Path) -> Path:
        """Write pictures, latent and parameters into `folder` (made if missing).

        Raises:
            StyleClipError: the folder cannot be written.
        """
        return save_result(self, Path(folder))


Edited = TypeVar("Edited", EditedFace, EditResult)


@dataclass(frozen=True)
class EditedGroup(Generic[Edited]):
    """Several faces of one photograph, edited in one picture.

    Attributes:
        faces: in the order in which they were edited; the image of each shows those before it too.
    """

    faces: list[Edited]

    @property
    def image(self) -> Image.Image:
        """The photograph with all of them edited."""
        return self.faces[-1].image

    @property
    def original(self) -> Image.Image:
        """The photograph."""
        return self.faces[-1].original

    @property
    def scene(self) -> PictureFile | None:
        """Which photograph it is."""
        return self.faces[-1].scene


def check_spared(photograph: Path | None, folder: Path) -> None:
    """Check that no photograph is lost when an edit is written to a folder.

    Args:
        photograph: that is edited, if any.

    Raises:
        StyleClipError: it would be, or one that was inverted.
    """
    if (folder / INVERTED).exists():
        raise StyleClipError(
            f"{folder} holds a photograph that was inverted, which an edit would spoil: choose "
            "another folder with --out."
        )
    if photograph is not None:
        files.check_spared(photograph, folder, ("edited*", "edit.json", *_FILES))


def parameters(result: EditResult) -> dict[str, object]:
    """All that shaped an edit and how it ended, ready for JSON."""
    return {
        "prompt": result.prompt,
        "seed": result.seed,
        **({"looks": result.looks, "rest": result.rest} if result.looks else {}),
        **dataclasses.asdict(result.settings),
        "steps_done": len(result.history),
        "interrupted": result.interrupted,
        "known_text": result.known_text,
        "identity": None if result.identity is None else round(result.identity, 4),
        "final": {k: round(v, 6) for row in result.history[-1:] for k, v in row.items()},
    }


def folder_names(jobs: Sequence[tuple[str, str]]) -> list[str]:
    """A folder name for each (prompt, which face), such as "red-hair-seed7"; no two are alike, on
    file systems that ignore case and the form of Unicode too."""
    names: list[str] = []
    taken: set[str] = set()
    for prompt, face in jobs:
        # Letters of any script; 255 bytes are the most that file systems take.
        slug = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", prompt).lower()).strip("-")
        slug = slug.encode()[:60].decode(errors="ignore").rstrip("-") or "prompt"
        stem = name = f"{slug}-{face}" if face else slug
        number = 2
        while _key(name) in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(_key(name))
        names.append(name)
    return names


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def save_result(result: EditResult, folder: Path) -> Path:
    """Write original.png, edited.png, comparison.png, loss.png (where the optimiser had something
    to do), latent.safetensors, edit.json (and frames/ where frames were kept) into `folder`, all
    together. An edited photograph is a file of the photograph's own format, and has no original.png
    beside it.

    Raises:
        StyleClipError: the folder cannot be written, or the disk is full.
    """
    known = parameters(result)
    with _together(folder, result.scene) as work:
        _write_pair(result, result.prompt, known, work)
        if result.history:
            texts = {"styleclip_rt": json.dumps(known)}
            save_png(loss_plot(result.history), work / "loss.png", texts)
        save_latent(result.latent, result.generator, work, prompt=result.prompt)
        _write_frames(result, work)
    return folder


def save_mapped(
    face: EditedFace, generator: str, folder: Path, title: str, known: dict[str, object]
) -> Path:
    """Write original.png, edited.png, comparison.png, latent.safetensors and edit.json into
    `folder`, all together.

    Raises:
        StyleClipError: the folder cannot be written, or the disk is full.
    """
    with _together(folder, face.scene) as work:
        _write_pair(face, title, known, work)
        save_latent(face.latent[None], generator, work)
    return folder


def save_group(
    group: EditedGroup[EditResult] | EditedGroup[EditedFace],
    generator: str,
    folder: Path,
    title: str,
    known: dict[str, object],
) -> Path:
    """Write the edited photograph, comparison.png and edit.json into `folder`, and of each face
    latent-N.safetensors and, where the optimiser edited it, loss-N.png; all together.

    Raises:
        StyleClipError: the folder cannot be written, or the disk is full.
    """
    faces: Sequence[EditedFace | EditResult] = group.faces
    with _together(folder, group.scene) as work:
        _write_pair(group, title, known, work)
        for number, face in enumerate(faces, 1):
            latent = face.latent
            if isinstance(face, EditResult):
                texts = {"styleclip_rt": json.dumps(parameters(face))}
                if face.history:
                    save_png(loss_plot(face.history), work / f"loss-{number}.png", texts)
                _write_frames(face, work, f"{number}-")
            else:
                latent = latent[None]
            save_latent(latent, generator, work, f"latent-{number}.safetensors")
    return folder


def save_latent(
    latent: "Tensor | NDArray[np.float32]",
    generator: str,
    folder: Path,
    name: str = "latent.safetensors",
    **more: str,
) -> None:
    """Write a file of latents: w+ [N, n_latent, latent_dim] or styles [N, channels] of the
    generator with that fingerprint."""
    values = np.asarray(latent)
    space = "w+" if values.ndim == 3 else "s"
    save_latents(folder / name, values, space, generator, **more)


def _write_pair(
    face: EditedFace | EditResult | EditedGroup[EditedFace] | EditedGroup[EditResult],
    title: str,
    known: dict[str, object],
    work: Path,
) -> None:
    texts = {"styleclip_rt": json.dumps(known)}
    # Compressing takes longest, and lets other threads run.
    with ThreadPoolExecutor() as beside:
        written: list[Future[object]]
        if face.scene is None:
            written = [
                beside.submit(save_png, face.original, work / "original.png", texts),
                beside.submit(save_png, face.image, work / "edited.png", texts),
            ]
        else:
            written = [
                beside.submit(face.scene.write, face.image, work / "edited", f"edited: {title}")
            ]
        tile = min(LARGEST_TILE, max(face.original.size))
        save_png(comparison(face.original, face.image, title, tile), work / "comparison.png", texts)
        for each in written:
            each.result()
    (work / "edit.json").write_text(
        json.dumps(known, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )


def _write_frames(result: EditResult, work: Path, which: str = "") -> None:
    for i, frame in enumerate(result.frames):
        (work / "frames").mkdir(exist_ok=True)
        save_png(frame, work / "frames" / f"{which}{i:04d}.png", {})


@contextmanager
def _together(folder: Path, scene: PictureFile | None) -> Iterator[Path]:
    """A folder for the files of one result, which appear in `folder` when all are written."""
    check_writable(folder)
    check_spared(None if scene is None else scene.path, folder)
    try:
        with appearing_in(folder, "edit.json", _FILES) as work:
            yield work
    except OSError as error:
        raise StyleClipError(
            f"cannot write the result to {folder} ({error.strerror}): free some space or choose "
            "another folder with --out."
        ) from None
