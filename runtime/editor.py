"""The editing loop: from a face and a sentence to the edited face.

It is the same for every engine, and needs no torch: an engine makes the steps.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from styleclip_rt.editing.schedule import LOSSES, check_losses, learning_rate_factor
from styleclip_rt.errors import StyleClipError
from styleclip_rt.folders import exports_folder
from styleclip_rt.pictures import to_pil
from styleclip_rt.reading import Reading, read
from styleclip_rt.runtime.looks import mappers_for, moves_of, moves_read
from styleclip_rt.runtime.moves import Move
from styleclip_rt.runtime.networks import Networks
from styleclip_rt.runtime.prompts import check_prompt
from styleclip_rt.runtime.results import EditedFace, EditedGroup, EditResult
from styleclip_rt.runtime.starts import Start, check_together, from_seeds, from_values
from styleclip_rt.settings import EditSettings

if TYPE_CHECKING:
    from torch import Tensor

    from styleclip_rt.bundle import Bundle
    from styleclip_rt.photos.faces import Which
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.photographs import OnStep, Photograph
    from styleclip_rt.runtime.torch_edits import TorchEdits

    Values = Tensor | NDArray[np.float32]
    """A tensor of the engine torch, an array of any other."""


class EditRun(Protocol):
    """One batched edit, under way in an engine."""

    def step(self, step: int) -> "tuple[dict[str, NDArray[np.float32]], Values]":
        """Judge the faces as they stand and take an Adam step: their LOSSES, [N] each, and the
        drafts that were judged, [N, 3, H, W], about [0, 1]."""

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Remember those of the faces [N] that the last step judged."""

    def result(self, kept: bool) -> list[EditedFace]:
        """The faces as they stand, or those that `keep` remembers."""


class EditEngine(Protocol):
    """What computes edits of one bundle.

    Attributes:
        settings: those that the bundle was tuned for.
        networks: that tell its latents, and draw.
        made_with: what else decides what an edit becomes, ready for JSON.
    """

    settings: EditSettings
    made_with: dict[str, object]

    @property
    def networks(self) -> Networks: ...

    def known_text(self, prompts: Sequence[str]) -> list[float | None]:
        """How much of each prompt CLIP saw in training, 0 to 1; None if that is not recorded."""

    def begin(
        self, prompts: Sequence[str], settings: EditSettings, starts: Sequence[Start]
    ) -> EditRun:
        """Begin an edit of as many faces as there are prompts.

        Raises:
            StyleClipError: a start of another generator, or settings that this engine cannot
                follow.
        """


class Editor:
    """Edits faces of one bundle; networks are loaded once.

    Args:
        bundle: a bundle, its name or folder.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        precision: in which the loop draws and judges: "fp32", "bf16", or "auto": bf16 where it is
            native.
        engine: "torch", or one that runs exported files without torch: "onnxruntime".
        exports: folder of the exported files; the bundle's in the cache.

    Raises:
        StyleClipError: unknown bundle, device, precision or engine, or exported files are missing.
    """

    def __init__(
        self,
        bundle: "Bundle | str" = "ffhq-mobile",
        device: str = "auto",
        precision: str = "auto",
        engine: str = "torch",
        exports: str | Path | None = None,
    ) -> None:
        self.engine: EditEngine
        self._mappers: MapperRuntime | None = None
        self._torch: TorchEdits | None = None
        self._served: dict[str, bool] = {}
        self._engine, self._device, self._exports = engine, device, exports
        self._bundle = bundle
        if engine == "torch":
            from styleclip_rt.runtime import torch_edits

            self.engine = self._torch = torch_edits.TorchEdits(bundle, device, precision)
        else:
            from styleclip_rt.runtime.exported_edits import ExportedEdits

            folder = exports_folder(bundle, exports)
            self.engine = ExportedEdits(folder, engine, device, precision)
        self.settings = self.engine.settings

    @classmethod
    def from_bundle(
        cls,
        name: str = "ffhq-mobile",
        device: str = "auto",
        precision: str = "auto",
        engine: str = "torch",
        exports: str | Path | None = None,
    ) -> "Editor":
        """Load a bundle by name or folder, fetching it on first use where that is possible.

        Arguments and errors are those of the class.
        """
        return cls(name, device, precision, engine, exports)

    def edit(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        latent: "Values | None" = None,
        start: Start | None = None,
        image: "str | Path | Photograph | None" = None,
        plain: bool = False,
        keep_rest: bool = False,
        progress: bool = False,
        frames_every: int = 0,
        **settings: Any,
    ) -> EditResult:
        """Edit one face; see `edit_many`.

        Args:
            prompt: what the face should look like, e.g. "red hair and a slight smile". Looks that
                it names (`styleclip looks` lists them) are applied, and the optimiser makes what
                no look covers.
            seed: which generated face to start from (0 if nothing else is given); or
            latent: w [1, latent_dim], w+ [1, n_latent, latent_dim] or styles [1, channels]; or
            start: of `styleclip_rt.runtime.starts`; or
            image: a photograph, as `invert` takes or gives it: the result's image has its size.
            plain: let the optimiser make all of it, as StyleCLIP does. Where settings of it are
                given, it does anyway; and with another engine than torch, or a generator that has
                no looks.
            keep_rest: of the drawing before stays, pixel by pixel, what the prompt is not about;
                of a photograph it does anyway.
            progress: show a progress bar on stderr.
            frames_every: keep a draft every so many steps.
            settings: fields of `EditSettings` that differ from the bundle's.
        """
        if image is not None:
            if start is not None:
                raise StyleClipError("give a start or an image, not both.")
            start = (self.invert(image) if isinstance(image, str | Path) else image).start
        nothing = seed is None and latent is None and start is None
        (result,) = self.edit_many(
            [prompt],
            seeds=[0] if nothing else None if seed is None else [seed],
            latents=latent,
            starts=None if start is None else [start],
            plain=plain,
            keep_rest=keep_rest,
            progress=progress,
            frames_every=frames_every,
            **settings,
        )
        return result

    def invert(
        self,
        image: str | Path,
        face: str | int = "largest",
        quality: str = "fast",
        on_step: "OnStep | None" = None,
    ) -> "Photograph":
        """Find a face in a photograph and the latent that draws it; then every edit of it is quick.

        Args:
            image: the picture's file, or the folder that `styleclip invert` made of it.
            face: "largest", or a number, 1 for the leftmost.
            quality: "fast" or "best".
            on_step: see `styleclip_rt.runtime.inversion.invert`.

        Raises:
            StyleClipError: there is no picture or no such face, or this engine cannot.
        """
        if face == "all":
            raise StyleClipError("invert gives one face: invert_faces gives all of them.")
        return self.invert_faces(image, face, quality, on_step)[0]

    def invert_faces(
        self,
        image: str | Path,
        faces: "Which | Sequence[Which]" = "all",
        quality: str = "fast",
        on_step: "OnStep | None" = None,
    ) -> "list[Photograph]":
        """The faces of one photograph, from left to right, for `edit_together`; see `invert`.

        Args:
            faces: "all", or several numbers, 1 for the leftmost; they come in that order.
        """
        from styleclip_rt.runtime.photographs import open_photograph

        return open_photograph(self.engine.networks, Path(image), faces, quality, on_step=on_step)

    def edit_together(
        self,
        prompts: str | Sequence[str],
        faces: "Sequence[Photograph | Start]",
        *,
        plain: bool = False,
        progress: bool = False,
        frames_every: int = 0,
        on_step: "Callable[[int, Values], None] | None" = None,
        **settings: Any,
    ) -> EditedGroup[EditResult]:
        """Edit several faces of one photograph into one picture of it, one after the other.

        Args:
            prompts: one for all, or one a face.
            faces: of `invert_faces`.
            plain: as in `edit`.
            progress, frames_every, on_step, settings: as in `edit_many`.

        Raises:
            StyleClipError: as for `edit_many`; or the faces are not of one photograph.
        """
        starts = [face if isinstance(face, Start) else face.start for face in faces]
        texts = [prompts] * len(starts) if isinstance(prompts, str) else prompts
        check_together(starts, len(texts), "prompt")
        how = self._how(texts, settings, plain)
        edits = self._edits(texts, starts, how, progress, frames_every, on_step, together=True)
        return EditedGroup(list(edits))

    def apply(self, face: "Start | Photograph", moves: "Sequence[Move]") -> EditedFace:
        """Edit a face by looks and mappers, without the optimiser; offsets add up.

        Args:
            face: a start of `styleclip_rt.runtime.starts`, or what `invert` gives: the result's
                image is the whole photograph then.
            moves: such as `Move("smiling", 0.7)` and `Move("red hair")`, looks that
                `styleclip looks` lists; or a mapper's, `Move("hair-colour", "red hair", 0.7)`.

        Raises:
            StyleClipError: no move, no such look or mapper, a strength out of range, or this
                engine does not have it.
        """
        start = face if isinstance(face, Start) else face.start
        resolved = moves_of(moves)
        runtime = self._holding(mappers_for(resolved))
        (edited,) = runtime.edit_starts([start], resolved)
        return edited

    def _holding(self, mappers: Sequence[str]) -> "MapperRuntime":
        """What applies at least the named mappers; all that it once held it keeps."""
        from styleclip_rt.runtime.mapper import MapperRuntime

        held = () if self._mappers is None else tuple(self._mappers.prompts)
        if self._mappers is None or not set(mappers) <= set(held):
            names = dict.fromkeys((*held, *mappers))
            bundle: Any = self.engine.networks if self._engine == "torch" else self._bundle
            self._mappers = MapperRuntime(
                bundle, tuple(names), self._device, self._engine, self._exports
            )
        return self._mappers

    def edit_many(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int] | None = None,
        latents: "Values | None" = None,
        starts: Sequence[Start] | None = None,
        plain: bool = False,
        keep_rest: bool = False,
        progress: bool = False,
        frames_every: int = 0,
        on_step: "Callable[[int, Values], None] | None" = None,
        **settings: Any,
    ) -> list[EditResult]:
        """Edit many faces: prompt i on face i, each as it would be alone.

        Args:
            prompts: one a face.
            seeds: one a face; or
            latents: w [N, latent_dim], w+ [N, n_latent, latent_dim] or styles [N, channels]; or
            starts: of `styleclip_rt.runtime.starts`.
            plain, keep_rest, progress, frames_every, settings: as in `edit`.
            on_step: called after each step of a face with its number and the draft [1, 3, H, W],
                about [0, 1].

        Returns:
            one result a prompt, in order. The optimiser's is the last step's, as StyleCLIP has it;
            after Ctrl-C (main thread only) or a plateau, that of the lowest total so far; the
            former marked `interrupted`, and faces whose turn had not come are missing.

        Raises:
            StyleClipError: a bad prompt, latent or setting, or a loss that is no number any more.
        """
        return list(
            self.edits(
                prompts,
                seeds=seeds,
                latents=latents,
                starts=starts,
                plain=plain,
                keep_rest=keep_rest,
                progress=progress,
                frames_every=frames_every,
                on_step=on_step,
                **settings,
            )
        )

    def edits(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int] | None = None,
        latents: "Values | None" = None,
        starts: Sequence[Start] | None = None,
        plain: bool = False,
        keep_rest: bool = False,
        progress: bool = False,
        frames_every: int = 0,
        on_step: "Callable[[int, Values], None] | None" = None,
        **settings: Any,
    ) -> Iterator[EditResult]:
        """The results of `edit_many`, each as soon as it is there.

        One face after the other: matrix products and convolutions add in another order for another
        number of faces, and the optimiser makes a visible difference of the last bit. So a face
        comes out as it would alone, and memory is that of one.
        """
        how = self._how(prompts, settings, plain)
        faces = self._starts(seeds, latents, starts, how.settings.truncation_psi)
        if keep_rest:
            from styleclip_rt.runtime import photographs

            faces = [photographs.keep_rest(face, self.engine.networks.photos) for face in faces]
        if len(faces) != len(prompts):
            raise StyleClipError(
                f"give one seed or one latent for each prompt: there are {len(faces)} faces for "
                f"{len(prompts)} prompts."
            )
        yield from self._edits(prompts, faces, how, progress, frames_every, on_step)

    def reading(self, prompt: str) -> Reading | None:
        """What of a prompt looks make; None where this editor has none."""
        if self._torch is None or not self._has("looks"):
            return None
        reading = read(prompt)
        names = mappers_for(moves_read(reading))
        return reading if all(self._has(name) for name in names) else None

    def _has(self, mapper: str) -> bool:
        from styleclip_rt.bundle.mappers import serves

        assert self._torch is not None
        if mapper not in self._served:
            self._served[mapper] = serves(self._torch.bundle, mapper)
        return self._served[mapper]

    def _how(self, prompts: Sequence[str], settings: dict[str, Any], plain: bool) -> "_How":
        given = _known_settings(settings)
        chosen = replace(self.settings, **given)
        for prompt in prompts:
            check_prompt(prompt)
        if not prompts:
            raise StyleClipError("there is no prompt: say how the face should look.")
        return _How(chosen, plain or asks_for_optimiser(given), "space" in given)

    def _plan(self, prompt: str, plain: bool) -> "_Plan":
        reading = None if plain else self.reading(prompt)
        if reading is None or not reading.looks:
            return _Plan(prompt)
        rest = reading.rest
        # The optimiser would make anything of words that CLIP has never seen.
        if rest and self.engine.known_text([rest]) == [0]:
            rest = ""
        return _Plan(rest, tuple(moves_read(reading)), str(reading))

    def _edits(
        self,
        prompts: Sequence[str],
        faces: Sequence[Start],
        how: "_How",
        progress: bool,
        frames_every: int,
        on_step: "Callable[[int, Values], None] | None",
        together: bool = False,
    ) -> Iterator[EditResult]:
        """One after the other; `together`: each goes into the picture that the one before left."""
        known = self.engine.known_text(prompts)
        plans = [self._plan(prompt, how.plain) for prompt in prompts]
        total = how.settings.steps * sum(bool(plan.prompt) for plan in plans)
        bar = tqdm(
            total=total, desc=_title(prompts), unit="step", disable=not progress or not total
        )
        with bar, _interruptible() as interrupted:
            onto = None
            for prompt, face, share, plan in zip(prompts, faces, known, plans, strict=True):
                start = replace(face, onto=onto) if together else face
                chosen = how.settings
                if start.in_style_space and not how.space_given:
                    chosen = replace(chosen, space="s")
                result = self._edit(
                    prompt, plan, start, share, chosen, interrupted, bar, frames_every, on_step
                )
                yield result
                if together:
                    onto = result.image
                if interrupted.is_set():
                    return

    def _starts(
        self,
        seeds: Sequence[int] | None,
        latents: "Values | None",
        given: Sequence[Start] | None,
        truncation_psi: float,
    ) -> Sequence[Start]:
        networks = self.engine.networks
        if sum(each is not None for each in (seeds, latents, given)) == 1:
            if seeds is not None:
                return from_seeds(networks, seeds, truncation_psi)
            if latents is not None:
                return from_values(networks, latents)
            if given is not None:
                return given
        raise StyleClipError("give seeds, latents or starts, and only one of them.")

    def _edit(
        self,
        prompt: str,
        plan: "_Plan",
        start: Start,
        known_text: float | None,
        settings: EditSettings,
        interrupted: threading.Event,
        bar: "tqdm[Any]",
        frames_every: int,
        on_step: "Callable[[int, Values], None] | None",
    ) -> EditResult:
        history: list[dict[str, float]] = []
        frames: list[Values] = []
        face = None
        if plan.prompt:
            # What looks move on is put into its scene when they have.
            begun = replace(start, scene=None, onto=None) if plan.moves else start
            face = self._optimise(
                plan.prompt,
                begun,
                settings,
                interrupted,
                bar,
                frames_every,
                on_step,
                history,
                frames,
            )
        if plan.moves:
            assert self._torch is not None
            reached = start.latent if face is None else np.asarray(face.latent)
            runtime = self._holding(mappers_for(plan.moves))
            face = self._torch.move_on(runtime, start, reached, plan.moves, plan.prompt)
        assert face is not None
        return EditResult(
            prompt=prompt,
            seed=start.seed,
            image=face.image,
            original=face.original,
            latent=face.latent[None],
            identity=face.identity,
            generator=self.engine.networks.fingerprint,
            looks=plan.said,
            rest=plan.prompt if plan.moves else "",
            scene=face.scene,
            history=history,
            settings=settings,
            interrupted=interrupted.is_set(),
            known_text=known_text,
            frames=[to_pil(frame[0]) for frame in frames],
        )

    def _optimise(
        self,
        prompt: str,
        start: Start,
        settings: EditSettings,
        interrupted: threading.Event,
        bar: "tqdm[Any]",
        frames_every: int,
        on_step: "Callable[[int, Values], None] | None",
        history: list[dict[str, float]],
        frames: "list[Values]",
    ) -> EditedFace:
        """The steps of one edit, which `history` and `frames` tell of afterwards."""
        run = self.engine.begin([prompt], settings, [start])
        best, since_best = np.inf, 0
        for step in range(settings.steps):
            losses, drafts = run.step(step)
            check_losses(losses, step)
            row = {name: float(losses[name][0]) for name in LOSSES}
            better = row["total"] < best
            run.keep(np.array([better]))
            best, since_best = (row["total"], 0) if better else (best, since_best + 1)
            rate = settings.learning_rate * learning_rate_factor(step, settings.steps)
            history.append(row | {"lr": rate})
            if frames_every and step % frames_every == 0:
                frames.append(drafts)
            if on_step is not None:
                on_step(step, drafts)
            bar.set_postfix({k: f"{row[k]:.3f}" for k in ("clip", "id", "l2")}, refresh=False)
            bar.update()
            if interrupted.is_set() or 0 < settings.patience <= since_best:
                bar.update(settings.steps - step - 1)
                break
        (face,) = run.result(kept=len(history) < settings.steps)
        return face


class _How(NamedTuple):
    """How edits are made, and whether the optimiser alone makes them."""

    settings: EditSettings
    plain: bool
    space_given: bool


class _Plan(NamedTuple):
    """What the optimiser is asked for, "" for nothing, and the looks that are applied after it."""

    prompt: str
    moves: tuple[Move, ...] = ()
    said: str = ""


def asks_for_optimiser(settings: Mapping[str, object]) -> bool:
    """Whether settings of an edit are the optimiser's, and not only about the start."""
    return any(settings[name] is not None for name in settings if name != "truncation_psi")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that a step ends whole; a second one interrupts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


def _known_settings(settings: dict[str, Any]) -> dict[str, Any]:
    known = EditSettings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise StyleClipError(f"unknown setting {name!r}: choose from {', '.join(known)}.")
    return {name: value for name, value in settings.items() if value is not None}


def _title(prompts: Sequence[str]) -> str:
    return prompts[0][:40] if len(prompts) == 1 else f"{len(prompts)} edits"
