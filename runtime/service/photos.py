"""Photographs that were uploaded: inverted once, then edited as often as is asked."""

import json
import shutil
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import sha256_of
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.service.jobs import Job
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.queue import Queue
from styleclip_rt.runtime.service.store import FULL, Store
from styleclip_rt.runtime.starts import residues

if TYPE_CHECKING:
    from styleclip_rt.photos.faces import Box
    from styleclip_rt.runtime.inversion import Step
    from styleclip_rt.runtime.photographs import Photograph

DRAFT_SIDE = 768
"""Pixels of the larger side of a photograph in drafts."""
OPEN = 2
"""Photographs whose pixels are in memory, at each size."""
UPLOAD, KNOWN = "upload", "known.json"
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/tiff": ".tiff",
    "image/heic": ".heic",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "application/octet-stream": ".img",
}
"""Of uploads, by their media type."""


def suffix_of(content_type: str) -> str:
    """Of the file of a picture; raises Problem if a Content-Type says that it is none."""
    media = content_type.partition(";")[0].strip().lower()
    if media not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise Problem(415, f"send the picture with a Content-Type that is one of {known}.")
    return SUFFIXES[media]


@dataclass(frozen=True)
class Inversion:
    """What is asked for with an upload."""

    folder: Path
    face: str | int
    quality: str


class Photos:
    """See the module; all but `count_pixels` and `known` is called by the queue's worker."""

    def __init__(
        self, runtimes: dict[str, MapperRuntime], store: Store, queue: Queue, most_pixels: int
    ) -> None:
        self._runtimes, self._store, self._queue = runtimes, store, queue
        self._most_pixels = most_pixels
        self._open: OrderedDict[tuple[str, str], tuple[Photograph, Image.Image]] = OrderedDict()
        self._turn = threading.Lock()

    def count_pixels(self, folder: Path) -> tuple[int, int]:
        """Width and height that an upload's file says; nothing is decoded.

        Raises:
            Problem: it is no picture, or has too many pixels.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(_upload(folder)) as image:
                    width, height = image.size
        except Image.DecompressionBombError:
            raise self._too_large("is enormous") from None
        except Exception:  # Pillow's readers raise what they like at hostile bytes.
            detail = "this is no picture that can be read: send a JPEG, PNG, WebP, TIFF or HEIC."
            raise Problem(415, detail) from None
        if width * height > self._most_pixels:
            raise self._too_large(f"has {width} x {height} pixels")
        return width, height

    def _too_large(self, how: str) -> Problem:
        most = f"{self._most_pixels / 1e6:.4g} megapixels"
        return Problem(413, f"the picture {how}: send one of at most {most}.")

    def invert(self, jobs: Sequence[Job]) -> list[object]:
        """The work of an upload."""
        (job,) = jobs
        self.find(job, job.request, lambda step, steps: self._queue.step(job, step, steps))
        return [None]

    def find(self, job: Job, wanted: Inversion, told: Callable[[int, int], None]) -> None:
        """Find the face of an upload and the latent that draws it; the upload becomes what
        `Photograph.save` writes.

        Args:
            job: that does it.
            told: called after each step with its number, and how many there are at most.
        """
        from styleclip_rt.photos.faces import from_the_left
        from styleclip_rt.runtime.photographs import open_photograph

        def on_step(step: int, steps: int, near: "Step") -> None:
            told(step, steps)

        networks = self._runtimes["full"].networks
        upload = _upload(wanted.folder)
        try:
            found, *_ = open_photograph(
                networks, upload, wanted.face, wanted.quality, on_step=on_step
            )
            drawn = self._runtimes["full"].draw(found.latent[None], residues([found.start]))[0]
            try:
                found.save(wanted.folder, drawn)
            except StyleClipError:
                raise Problem(503, FULL, 60) from None
            boxes = sorted((found.face.box, *found.others), key=from_the_left)
            known = {
                "face": _sides(found.face.box),
                "faces": [_sides(box) for box in boxes],
                "turned": round(abs(found.face.yaw), 1),
            }
            self.note(wanted.folder, known)
            if job.cancelled.is_set():  # it was deleted while it was saved
                shutil.rmtree(wanted.folder, ignore_errors=True)
        except StyleClipError as error:
            raise StyleClipError(str(error).replace(str(upload), "the photograph")) from None
        except OSError:
            if not wanted.folder.is_dir():
                raise Problem(410, "the photograph was deleted meanwhile.") from None
            raise
        finally:
            upload.unlink(missing_ok=True)

    def edited(
        self, id: str, size: str, moves: Sequence[Move], any_prompt: bool
    ) -> tuple[Image.Image, object]:
        """The whole photograph, edited, and the edited latent."""
        runtime = self._runtimes[size]
        photo, before = self.opened(id, size)
        image, latent = photo.original, runtime.w_plus([photo.start])
        if moves:
            latent = runtime.latents(latent, moves, any_prompt)
            where = runtime.relevance(moves, any_prompt)
            drawn = runtime.draw(latent, residues([photo.start]))[0]
            image = photo.put_back(before, to_pil(drawn), where)
            image = runtime.paint(image, moves, photo.start)
        return in_its_colours(image, photo), runtime.engine.saved(latent)

    def opened(self, id: str, size: str) -> "tuple[Photograph, Image.Image]":
        """A photograph for drawings of that size, and the drawing of it as it is."""
        folder = self._store.find("photo", id, "photograph")
        if (found := self._open.get((id, size))) is not None:
            self._open.move_to_end((id, size))
            return found
        from styleclip_rt.runtime.photographs import open_photograph

        runtime = self._runtimes[size]
        if "face" not in self.known(id):
            raise Problem(409, "this photograph is not inverted: wait for its job, or upload anew.")
        try:
            (photo,) = open_photograph(runtime.networks, folder)
        except StyleClipError as error:
            raise StyleClipError(str(error).replace(str(folder), "the photograph")) from None
        start = photo.start
        before = to_pil(runtime.draw(runtime.w_plus([start]), residues([start]))[0])
        if size == "draft":
            photo = photo.smaller(max(before.size), DRAFT_SIDE)
        with self._turn:
            self._open[id, size] = photo, before
            while len([key for key in self._open if key[1] == size]) > OPEN:
                del self._open[next(key for key in self._open if key[1] == size)]
        return photo, before

    def digest(self, folder: Path) -> str:
        """SHA-256 of an upload that is not inverted yet."""
        return sha256_of(_upload(folder))

    def forget(self, id: str) -> None:
        """Delete a photograph, here and on the disk."""
        with self._turn:
            for size in self._runtimes:
                self._open.pop((id, size), None)
        self._store.delete("photo", id)

    def note(self, folder: Path, more: dict[str, object]) -> None:
        """Keep what was found of a photograph."""
        path = folder / KNOWN
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps(before | more), encoding="utf-8")

    def steps(self, quality: str) -> int:
        """Of an inversion."""
        from styleclip_rt.runtime.inversion import QUALITIES, REFINING

        return QUALITIES[quality] + REFINING[quality]

    def known(self, id: str) -> dict[str, object]:
        """What is known of a photograph: its size and job, and its face once it is inverted."""
        folder = self._store.find("photo", id, "photograph")
        try:
            known: dict[str, object] = json.loads((folder / KNOWN).read_text(encoding="utf-8"))
        except OSError:
            return {}
        return known


def _sides(box: "Box") -> dict[str, float]:
    return dict(zip(("left", "top", "right", "bottom"), box, strict=True))


def _upload(folder: Path) -> Path:
    return next(folder.glob(f"{UPLOAD}*"), folder / UPLOAD)


def in_its_colours(image: Image.Image, photo: "Photograph") -> Image.Image:
    """A picture with the photograph's colour profile and, where it has the size, its alpha."""
    picture = photo.picture
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    if picture.alpha is not None and picture.size == image.size:
        image.putalpha(Image.fromarray(picture.alpha))
    return image
