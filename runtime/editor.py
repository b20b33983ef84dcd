"""The editing loop: from a face and a sentence to the edited face.

It is the same for every engine, and needs no torch: an engine makes the steps.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from styleclip_rt.editing.settings import MAX_PROMPT_LENGTH, EditSettings, learning_rate_factor
from styleclip_rt.errors import StyleClipError
from styleclip_rt.folders import exports_folder
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.results import HISTORY_FIELDS, EditResult

if TYPE_CHECKING:
    from torch import Tensor

    from styleclip_rt.bundle import Bundle

    Values = Tensor | NDArray[np.float32]
    """A tensor of the engine torch, an array of any other."""


class EditedFace(NamedTuple):
    """How an edit ended for one face; the fields are those of `EditResult`."""

    image: Image.Image
    original: Image.Image
    latent: "Values"
    identity: float


class EditRun(Protocol):
    """One batched edit, under way in an engine.

    Attributes:
        known_text: see `EditResult`; one a face.
    """

    known_text: list[float | None]

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
    """

    settings: EditSettings

    def start(self, seeds: Sequence[int], truncation_psi: float) -> "Values":
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""

    def mean_latent(self) -> "NDArray[np.float32]":
        """w [latent_dim] of the mean face."""

    def draw(self, latent: Any) -> "Values":
        """w+, as from `start` -> images [N, 3, H, W] in [0, 1] at full size."""

    def begin(
        self,
        prompts: Sequence[str],
        settings: EditSettings,
        seeds: Sequence[int] | None,
        latents: "Values | None",
    ) -> EditRun:
        """Begin an edit of as many faces as there are prompts.

        Raises:
            StyleClipError: latents of another shape, or settings that this engine cannot follow.
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
        if engine == "torch":
            from styleclip_rt.runtime.torch_edits import TorchEdits

            self.engine = TorchEdits(bundle, device, precision)
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
        progress: bool = False,
        frames_every: int = 0,
        **settings: Any,
    ) -> EditResult:
        """Edit one face; see `edit_many`.

        Args:
            prompt: what the face should look like, e.g. "red lipstick".
            seed: which generated face to start from (0 if neither seed nor latent is given).
            latent: start from this instead: w [1, latent_dim] or w+ [1, n_latent, latent_dim].
            progress: show a progress bar on stderr.
            frames_every: keep a draft every so many steps.
            settings: fields of `EditSettings` that differ from the bundle's.
        """
        seeds = None if latent is not None else [0 if seed is None else seed]
        return self.edit_many(
            [prompt],
            seeds=seeds,
            latents=latent,
            progress=progress,
            frames_every=frames_every,
            **settings,
        )[0]

    def edit_many(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int] | None = None,
        latents: "Values | None" = None,
        progress: bool = False,
        frames_every: int = 0,
        on_step: "Callable[[int, Values], None] | None" = None,
        **settings: Any,
    ) -> list[EditResult]:
        """Edit a batch in one run: prompt i on face i.

        Args:
            prompts: one a face.
            seeds: one a face; or
            latents: w [N, latent_dim] or w+ [N, n_latent, latent_dim] to start from.
            progress, frames_every, settings: as in `edit`.
            on_step: called after each step with its number and the drafts [N, 3, H, W], about
                [0, 1].

        Returns:
            one result a prompt, in order: the last step's, as StyleCLIP has it. After Ctrl-C (main
            thread only) or a plateau: that of the lowest total so far; the former marked
            `interrupted`.

        Raises:
            StyleClipError: a bad prompt, latent or setting.
        """
        chosen = replace(self.settings, **_known_settings(settings))
        for prompt in prompts:
            _check_prompt(prompt)
        if latents is None and (seeds is None or len(seeds) != len(prompts)):
            raise StyleClipError("give one seed or one latent for each prompt.")
        run = self.engine.begin(prompts, chosen, seeds, latents)
        best = np.full(len(prompts), np.inf)
        since_best = 0
        history: list[dict[str, NDArray[np.float32]]] = []
        frames: list[Values] = []
        bar = tqdm(total=chosen.steps, desc=_title(prompts), unit="step", disable=not progress)
        with bar, _interruptible() as interrupted:
            for step in range(chosen.steps):
                losses, drafts = run.step(step)
                better = losses["total"] < best
                run.keep(better)
                best = np.where(better, losses["total"], best)
                since_best = 0 if better.any() else since_best + 1
                rate = chosen.learning_rate * learning_rate_factor(step, chosen.steps)
                row = losses | {"lr": np.full(len(prompts), rate, np.float32)}
                history.append({name: row[name] for name in HISTORY_FIELDS})
                if frames_every and step % frames_every == 0:
                    frames.append(drafts)
                if on_step is not None:
                    on_step(step, drafts)
                bar.set_postfix(
                    {k: f"{row[k].mean():.3f}" for k in ("clip", "id", "l2")}, refresh=False
                )
                bar.update()
                if interrupted.is_set() or 0 < chosen.patience <= since_best:
                    break
        return [
            EditResult(
                prompt=prompt,
                seed=None if seeds is None else seeds[i],
                **face._asdict(),
                history=[{k: float(v[i]) for k, v in row.items()} for row in history],
                settings=chosen,
                interrupted=interrupted.is_set(),
                known_text=run.known_text[i],
                frames=[to_pil(frame[i]) for frame in frames],
            )
            for i, (prompt, face) in enumerate(
                zip(prompts, run.result(kept=len(history) < chosen.steps), strict=True)
            )
        ]


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


def _check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise StyleClipError("the prompt is empty: say how the face should look.")
    if len(prompt) > MAX_PROMPT_LENGTH:
        raise StyleClipError(
            f"the prompt has {len(prompt)} characters: keep it within {MAX_PROMPT_LENGTH}."
        )


def _title(prompts: Sequence[str]) -> str:
    return prompts[0][:40] if len(prompts) == 1 else f"{len(prompts)} edits"
