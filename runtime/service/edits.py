"""What is asked for becomes work for the queue: the runtimes' side of the service."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.moves import TRUNCATION_PSI
from styleclip_rt.runtime.results import save_latent
from styleclip_rt.runtime.service.formats import encoded
from styleclip_rt.runtime.service.jobs import Job
from styleclip_rt.runtime.service.photos import DRAFT_SIDE, Inversion, Photos, in_its_colours
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.queue import Kind, Queue
from styleclip_rt.runtime.service.schemas import EditRequest, Optimiser
from styleclip_rt.runtime.service.store import Store
from styleclip_rt.runtime.service.vocabulary import Vocabulary
from styleclip_rt.runtime.starts import Start, from_bytes, from_seeds
from styleclip_rt.settings import EditSettings

PICTURE, LATENT = "picture.png", "latent.safetensors"
DRAFT_EVERY = 3
"""Steps of the optimiser between two drafts."""


@dataclass(frozen=True)
class Edit:
    """An edit that can be made.

    Attributes:
        size: "full" or "draft".
        start: a seed, a latent, or the id of a photograph.
        moves: of mappers; none draws the face as it is.
        prompt, settings: of the optimiser.
        media: type that the picture is to have.
        kept: whether the result goes into the store, to be asked for.
        upload: the photograph, if it was sent along and is to be inverted first.
    """

    size: str
    start: int | Start | str
    moves: list[Move]
    any_prompt: bool
    prompt: str | None
    settings: dict[str, Any]
    media: str
    kept: bool
    upload: Inversion | None = None

    @property
    def kind(self) -> str:
        """Of work."""
        if self.upload is not None:
            return "upload"
        if self.prompt is not None:
            return "text"
        return f"photo-{self.size}" if isinstance(self.start, str) else self.size


class Edits:
    """See the module.

    Args:
        runtimes: "full" and, where there are drafts, "draft".
        steps: of the optimiser, at most.
        batch: quick edits drawn at once.
    """

    def __init__(
        self,
        runtimes: dict[str, MapperRuntime],
        vocabulary: Vocabulary,
        photos: Photos,
        store: Store,
        queue: Queue,
        steps: int,
        batch: int,
    ) -> None:
        self._runtimes, self._vocabulary, self._photos = runtimes, vocabulary, photos
        self._store, self._queue, self._steps = store, queue, steps
        networks = runtimes["full"].networks
        self.photographs, self.prompts = networks.takes_photographs, hasattr(networks, "bundle")
        draw, retouch, finish = self._draw, self._retouch, self._finish
        queue.serve(
            {
                "draft": Kind(draw, finish, 0.2, together=batch),
                "full": Kind(draw, finish, 0.5, behind=1, together=batch),
                "photo-draft": Kind(retouch, finish, 0.5),
                "photo-full": Kind(retouch, finish, 1, behind=1),
                "invert": Kind(photos.invert, lambda *_: None, 0.15, behind=10, long=True),
                "text": Kind(self._optimise, finish, 0.5, behind=10, long=True),
                "upload": Kind(self._invert_and_edit, finish, 0.15, behind=10, long=True),
            }
        )

    @cached_property
    def _editor(self) -> Editor:
        networks: Any = self._runtimes["full"].networks
        return Editor(networks.bundle, str(networks.device))

    def check_photographs(self) -> None:
        """Raises StyleClipError if photographs cannot be edited here."""
        if not self.photographs:
            raise StyleClipError(
                "photographs need engine torch, or all that 'styleclip export onnx' writes: this "
                "service edits seeds and latents."
            )

    def plan(
        self, wanted: EditRequest, media: str, kept: bool, upload: Inversion | None = None
    ) -> Edit:
        """An edit that can be made; of an `upload`, `wanted.photo` is the id.

        Raises:
            StyleClipError, Problem: it cannot.
        """
        if wanted.size not in self._runtimes:
            raise StyleClipError("this service draws no drafts: ask for the full size.")
        if wanted.photo is not None:
            self.check_photographs()
        moves, prompt = self._vocabulary.moves(wanted.moves, wanted.any_prompt), wanted.prompt
        if prompt is not None and wanted.optimiser is None:
            moves = self._vocabulary.read(prompt)
            prompt = None if moves else prompt
        if prompt is not None and not self.prompts:
            raise StyleClipError("free text that no look makes needs engine torch.")
        settings = self._settings(prompt, wanted.optimiser) if prompt is not None else {}
        start, any_prompt = self._start(wanted), wanted.any_prompt
        return Edit(wanted.size, start, moves, any_prompt, prompt, settings, media, kept, upload)

    def job(self, edit: Edit, owner: str, deadline: float | None) -> Job:
        """The work of an edit."""
        steps = self._steps_before(edit) + edit.settings.get("steps", 1)
        job = Job(edit.kind, edit, owner, steps, deadline)
        if edit.prompt is not None:
            job.note = self._doubt(edit.prompt)
        return job

    def result(self, id: str) -> Path:
        """The folder of what a job left."""
        return self._store.find("result", id, "result")

    def _doubt(self, prompt: str) -> str | None:
        networks: Any = self._runtimes["full"].networks
        (share,) = networks.bundle.known_text([prompt])
        if share is None or share == 1:
            return None
        if share == 0:
            return (
                f"this bundle's CLIP has never seen the words of {prompt!r}, so the edit is a "
                "guess and may make another person: say it in other words."
            )
        return (
            f"this bundle's CLIP has seen {share:.0%} of the prompt's words in training; what it "
            "makes of the others is a guess."
        )

    def _settings(self, prompt: str, wanted: Optimiser | None) -> dict[str, Any]:
        if not prompt.strip():
            raise StyleClipError("the prompt is empty: say how the face should look.")
        networks: Any = self._runtimes["full"].networks
        usual: EditSettings = networks.bundle.settings
        settings = wanted.model_dump(exclude_none=True) if wanted is not None else {}
        steps = settings.setdefault("steps", usual.steps)
        if steps > self._steps:
            raise StyleClipError(f"this service makes at most {self._steps} steps, not {steps}.")
        replace(usual, **settings)
        return settings

    def _start(self, wanted: EditRequest) -> int | Start | str:
        if wanted.seed is not None:
            return wanted.seed
        if wanted.photo is not None:
            self._store.find("photo", wanted.photo, "photograph")
            return wanted.photo
        content = wanted.latent
        if wanted.latent_id is not None:
            content = self.latent(wanted.latent_id)
        assert content is not None
        return self.one_latent(content)

    def latent(self, id: str) -> bytes:
        """The safetensors file of a latent that was sent, or that a job left."""
        for kind in ("latent", "result"):
            try:
                return (self._store.find(kind, id, "latent") / LATENT).read_bytes()
            except (Problem, OSError):
                continue
        raise Problem(404, "there is no such latent, or its time was over: send it again.")

    def one_latent(self, content: bytes) -> Start:
        """The face of a latent's file.

        Raises:
            StyleClipError: it holds none, several, or one of another generator.
        """
        starts = from_bytes(self._runtimes["full"].networks, content)
        if len(starts) > 1:
            raise StyleClipError(f"send one latent, not {len(starts)}.")
        return starts[0]

    def _draw(self, jobs: Sequence[Job]) -> list[Any]:
        runtime = self._runtimes[jobs[0].request.size]
        latents = [_tried(self._latent, job.request) for job in jobs]
        good = [latent for latent in latents if not isinstance(latent, Exception)]
        if len(good) == 1:
            images = [runtime.draw(good[0])[0]]
        else:
            images = runtime.engine.draw_together(good) if good else []
        drawn = iter(images)
        return [
            latent
            if isinstance(latent, Exception)
            else _tried(self._drawn, latent, next(drawn), job.request)
            for job, latent in zip(jobs, latents, strict=True)
        ]

    def _latent(self, edit: Edit) -> Any:
        runtime, start = self._runtimes[edit.size], edit.start
        if isinstance(start, int):
            (start,) = from_seeds(runtime.networks, [start], TRUNCATION_PSI)
        assert isinstance(start, Start)
        latent = runtime.w_plus([start])
        return runtime.latents(latent, edit.moves, edit.any_prompt) if edit.moves else latent

    def _drawn(self, latent: Any, image: Any, edit: Edit) -> tuple[Image.Image, Any]:
        runtime = self._runtimes["full"]
        return runtime.paint(to_pil(image), edit.moves), runtime.engine.saved(latent)

    def _retouch(self, jobs: Sequence[Job]) -> list[Any]:
        edit: Edit = jobs[0].request
        assert isinstance(edit.start, str)
        return [self._photos.edited(edit.start, edit.size, edit.moves, edit.any_prompt)]

    def _invert_and_edit(self, jobs: Sequence[Job]) -> list[Any]:
        (job,) = jobs
        edit: Edit = job.request
        assert edit.upload is not None
        whole = int(job.weight)
        self._photos.find(job, edit.upload, lambda step, _: self._queue.step(job, step, whole))
        return self._retouch(jobs) if edit.prompt is None else self._optimise(jobs)

    def _steps_before(self, edit: Edit) -> int:
        return 0 if edit.upload is None else self._photos.steps(edit.upload.quality)

    def _optimise(self, jobs: Sequence[Job]) -> list[Any]:
        (job,) = jobs
        edit: Edit = job.request
        assert edit.prompt is not None
        photo = None
        where: dict[str, Any] = {"seeds": [edit.start]}
        if isinstance(edit.start, str):
            photo, _ = self._photos.opened(edit.start, "full")
            where = {"starts": [photo.start]}
        elif isinstance(edit.start, Start):
            where = {"starts": [edit.start]}
        before = self._steps_before(edit)
        steps = before + edit.settings["steps"]

        def on_step(step: int, draft: Any) -> None:
            shown = job.watchers and step % DRAFT_EVERY == 0
            self._queue.step(job, before + step, steps, _jpeg(draft) if shown else None)

        (result,) = self._editor.edit_many(
            [edit.prompt], plain=True, on_step=on_step, **where, **edit.settings
        )
        image = result.image if photo is None else in_its_colours(result.image, photo)
        if edit.size == "draft":
            side = self._runtimes["draft"].engine.resolution if photo is None else DRAFT_SIDE
            image.thumbnail((side, side))
        return [(image, result.latent)]

    def _finish(self, job: Job, result: tuple[Image.Image, Any]) -> bytes | None:
        edit: Edit = job.request
        image, latent = result
        if not edit.kept:
            return encoded(image, edit.media)
        with self._store.entry("result", job.id) as folder:
            (folder / PICTURE).write_bytes(encoded(image, "image/png"))
            save_latent(latent, self._runtimes["full"].networks.fingerprint, folder)
        return None


def _tried(run: Any, *arguments: Any) -> Any:
    """What a function gives, or the exception that it raises."""
    try:
        return run(*arguments)
    except Exception as error:
        return error


def _jpeg(draft: Any) -> bytes:
    file = io.BytesIO()
    to_pil(draft[0]).save(file, "JPEG", quality=85)
    return file.getvalue()
