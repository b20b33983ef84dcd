"""What an edit leaves on disk: pictures, the latent, the parameters."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from styleclip_rt.editing.settings import LOSSES, EditSettings
from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import comparison, loss_plot, save_png

if TYPE_CHECKING:
    from torch import Tensor

    from styleclip_rt.runtime.mapper import MappedFace


HISTORY_FIELDS = (*LOSSES, "lr")


@dataclass
class EditResult:
    """One edited face.

    Attributes:
        prompt: what was asked.
        seed: of the start, None where it was a latent or the mean.
        image, original: PIL images at full resolution.
        latent: float32 w+ [1, n_latent, latent_dim], or [1, channels] in StyleSpace; a NumPy
            array where an engine without torch made it.
        history: one row a step with HISTORY_FIELDS.
        settings: all that shaped the edit.
        interrupted: Ctrl-C stopped it; the image is the best so far.
        known_text: share of the prompt's tokens that CLIP saw in training, None if not recorded.
        identity: cosine between the identity embeddings of image and original.
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
    identity: float
    frames: list[Image.Image] = field(default_factory=list)

    def save(self, folder: str | Path) -> Path:
        """Write pictures, latent and parameters into `folder` (made if missing).

        Raises:
            StyleClipError: the folder cannot be written.
        """
        return save_result(self, Path(folder))


def parameters(result: EditResult) -> dict[str, object]:
    """All that shaped an edit and how it ended, ready for JSON."""
    return {
        "prompt": result.prompt,
        "seed": result.seed,
        **dataclasses.asdict(result.settings),
        "steps_done": len(result.history),
        "interrupted": result.interrupted,
        "known_text": result.known_text,
        "identity": round(result.identity, 4),
        "final": {k: round(v, 6) for k, v in result.history[-1].items()},
    }


def check_writable(folder: Path) -> None:
    """Make `folder` and be sure that files can be written there, before the work is done.

    Raises:
        StyleClipError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StyleClipError(
            f"cannot write to {folder} ({error.strerror}): choose another folder with --out."
        ) from None


def save_result(result: EditResult, folder: Path) -> Path:
    """Write original.png, edited.png, comparison.png, loss.png, latent.safetensors, edit.json (and
    frames/ where frames were kept) into `folder`; every file appears whole or not at all.

    Raises:
        StyleClipError: the folder cannot be written, or the disk is full.
    """
    known = parameters(result)
    with _appearing_in(folder) as work:
        _write_pair(result.original, result.image, result.prompt, known, work)
        save_png(loss_plot(result.history), work / "loss.png", {"styleclip_rt": json.dumps(known)})
        save_file(
            {"latent": np.ascontiguousarray(result.latent)},
            work / "latent.safetensors",
            {"space": result.settings.space, "prompt": result.prompt},
        )
        for i, frame in enumerate(result.frames):
            (work / "frames").mkdir(exist_ok=True)
            save_png(frame, work / "frames" / f"{i:04d}.png", {})
    return folder


def save_mapped(face: "MappedFace", folder: Path, title: str, known: dict[str, object]) -> Path:
    """Write original.png, edited.png, comparison.png, latent.safetensors and edit.json into
    `folder`; every file appears whole or not at all.

    Raises:
        StyleClipError: the folder cannot be written, or the disk is full.
    """
    with _appearing_in(folder) as work:
        _write_pair(face.original, face.image, title, known, work)
        save_file({"latent": np.ascontiguousarray(face.latent[None])}, work / "latent.safetensors")
    return folder


def _write_pair(
    original: Image.Image, edited: Image.Image, title: str, known: dict[str, object], work: Path
) -> None:
    texts = {"styleclip_rt": json.dumps(known)}
    save_png(original, work / "original.png", texts)
    save_png(edited, work / "edited.png", texts)
    save_png(comparison(original, edited, title), work / "comparison.png", texts)
    (work / "edit.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _appearing_in(folder: Path) -> Iterator[Path]:
    """A folder for files that appear in `folder` when all are written."""
    check_writable(folder)
    try:
        work = Path(tempfile.mkdtemp(prefix=".edit.", dir=folder))
        try:
            yield work
            for path in sorted(p for p in work.rglob("*") if p.is_file()):
                target = folder / path.relative_to(work)
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise StyleClipError(
            f"cannot write the result to {folder} ({error.strerror}): free some space or choose "
            "another folder with --out."
        ) from None
