"""The editing loop: from a face and a sentence to the edited face."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from styleclip_rt.runtime.cuda_graph import CudaGraph
from styleclip_rt.runtime.results import HISTORY_FIELDS, EditResult
from torch import Tensor
from tqdm import tqdm

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.devices import choose_device, choose_precision
from styleclip_rt.edit_settings import (
    MAX_PROMPT_LENGTH,
    NEUTRAL_PROMPT,
    EditSettings,
    adam_schedule,
    learning_rate_factor,
    loss_weights,
)
from styleclip_rt.edit_step import EditStep, StepState
from styleclip_rt.errors import StyleClipError
from styleclip_rt.latents import Space, Whitening, rows_of, sample_z
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.pictures import to_pil
from styleclip_rt.views import random_views


class Editor:
    """Edits faces of one bundle; models are loaded and whitened once."""

    def __init__(self, bundle: Bundle, device: str = "auto", precision: str = "auto") -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.bundle = bundle
        self.generator = bundle.generator.to(self.device)
        self.clip = bundle.clip.to(self.device)
        self.identity = bundle.identity.to(self.device)
        self.settings = EditSettings(**_known_settings(dict(bundle.manifest.defaults)))
        self._whitening: Whitening | None = None

    @classmethod
    def from_bundle(
        cls, name: str = "ffhq-mobile", device: str = "auto", precision: str = "auto"
    ) -> "Editor":
        """Load a bundle by name or folder, fetching it on first use where that is possible.

        Args:
            name: a bundle of `styleclip bundle list`, or the path of one.
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
            precision: of the loop's drafts: "fp32", "bf16", or "auto": bf16 where it is native.

        Raises:
            StyleClipError: unknown bundle, device or precision.
        """
        return cls(load_bundle(name), device, precision)

    def edit(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        latent: Tensor | None = None,
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
        latents: Tensor | None = None,
        progress: bool = False,
        frames_every: int = 0,
        on_step: Callable[[int, Tensor], None] | None = None,
        **settings: Any,
    ) -> list[EditResult]:
        """Edit a batch in one run: prompt i on face i.

        Args:
            prompts: one a face.
            seeds: one a face; or
            latents: w [N, latent_dim] or w+ [N, n_latent, latent_dim] to start from.
            progress, frames_every, settings: as in `edit`.
            on_step: called after each step with its number and the drafts [N, 3, H, W] in [0, 1].

        Returns:
            one result a prompt, in order: the last step's, as StyleCLIP has it. After Ctrl-C (main
            thread only) or a plateau: that of the lowest total so far; the former marked
            `interrupted`.

        Raises:
            StyleClipError: a bad prompt, latent or setting.
        """
        chosen = replace(self.settings, **_known_settings(settings))
        texts, known_text = self._text_features(prompts)
        z, start = self._start(len(prompts), seeds, latents, chosen.truncation_psi)
        run = _Run(self, chosen, texts, z, start)
        bar = tqdm(total=chosen.steps, desc=_title(prompts), unit="step", disable=not progress)
        frames: list[Tensor] = []
        with bar, _interruptible() as interrupted:
            for step in range(chosen.steps):
                draft = run.step(step)
                if frames_every and step % frames_every == 0:
                    frames.append(draft)
                if on_step is not None:
                    on_step(step, draft)
                row = run.history[-1]
                bar.set_postfix(
                    {k: f"{float(row[k].mean()):.3f}" for k in ("clip", "id", "l2")}, refresh=False
                )
                bar.update()
                if interrupted.is_set() or run.stalled(chosen.patience):
                    break
        whole = len(run.history) == chosen.steps
        images, saved = run.result(run.offset if whole else run.best_offset)
        originals = self.draw(start)
        similarity = (self._identity(images) * self._identity(originals)).sum(dim=1)
        return [
            EditResult(
                prompt=prompt,
                seed=None if seeds is None else seeds[i],
                image=to_pil(images[i]),
                original=to_pil(originals[i]),
                latent=saved[i : i + 1].float().cpu(),
                history=[{k: float(v[i]) for k, v in row.items()} for row in run.history],
                settings=chosen,
                interrupted=interrupted.is_set(),
                known_text=known_text[i],
                identity=float(similarity[i]),
                frames=[to_pil(frame[i]) for frame in frames],
            )
            for i, prompt in enumerate(prompts)
        ]

    @torch.inference_mode()
    def draw(self, latent: Tensor | list[Tensor], resolution: int | None = None) -> Tensor:
        """Draw latents at full size, in float32 and one at a time to bound memory.

        Returns:
            [N, 3, H, W] in [0, 1].
        """
        count = latent.shape[0] if isinstance(latent, Tensor) else latent[0].shape[0]
        images = []
        for i in range(count):
            one = (
                latent[i : i + 1]
                if isinstance(latent, Tensor)
                else [style[i : i + 1] for style in latent]
            )
            images.append(self.generator.synthesis(one, resolution))
        return (torch.cat(images) * 0.5 + 0.5).clamp(0, 1)

    def known_text(self, prompt: str) -> float | None:
        """Share of a prompt's tokens that the bundle's CLIP saw in training; None if unrecorded."""
        return self._text_features([prompt])[1][0]

    def whitening(self) -> Whitening:
        """Statistics of the generator's latents, measured at first use."""
        if self._whitening is None:
            self._whitening = Whitening(self.generator)
        return self._whitening

    def _identity(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([self.identity.encode(image[None]) for image in images])

    def _start(
        self,
        count: int,
        seeds: Sequence[int] | None,
        latents: Tensor | None,
        truncation_psi: float,
    ) -> tuple[Tensor | None, Tensor]:
        n_latent, dim = self.generator.n_latent, self.generator.latent_dim
        if latents is not None:
            w = latents.detach().float().to(self.device)
            if w.shape[1:] not in ((dim,), (n_latent, dim)) or w.shape[0] != count:
                raise StyleClipError(
                    f"the latent has shape {list(latents.shape)}: this generator takes "
                    f"[{count}, {dim}] or [{count}, {n_latent}, {dim}]."
                )
            z = None
        else:
            if seeds is None or len(seeds) != count:
                raise StyleClipError("give one seed or one latent for each prompt.")
            z = sample_z(self.generator, seeds)
            with torch.no_grad():
                w = self.generator.mapping(z, truncation_psi)
        if w.dim() == 2:
            w = w[:, None].repeat(1, n_latent, 1)
        return z, w

    def _text_features(self, prompts: Sequence[str]) -> tuple[Tensor, list[float | None]]:
        """Unit text embeddings [N, D] of the prompts, and how well each is known."""
        for prompt in prompts:
            if not prompt.strip():
                raise StyleClipError("the prompt is empty: say how the face should look.")
            if len(prompt) > MAX_PROMPT_LENGTH:
                raise StyleClipError(
                    f"the prompt has {len(prompt)} characters: keep it within {MAX_PROMPT_LENGTH}."
                )
        tokens = tokenize([*prompts, NEUTRAL_PROMPT])
        with torch.no_grad():
            features = self.clip.encode_text(tokens.to(self.device))
        known = self.bundle.known_tokens
        shares: list[float | None] = []
        for row in tokens[:-1].tolist():
            words = row[1 : row.index(max(row))]
            shares.append(
                None if known is None else sum(t in known for t in words) / max(1, len(words))
            )
        return features, shares


class _Run:
    """One batched optimisation: everything constant is computed once, here."""

    def __init__(
        self,
        editor: Editor,
        settings: EditSettings,
        texts: Tensor,
        z: Tensor | None,
        start: Tensor,
    ) -> None:
        self.editor, self.settings = editor, settings
        device = start.device
        self.edit_step = EditStep(
            editor.generator, editor.clip, editor.identity, settings, editor.precision
        )
        rows = rows_of(editor.generator, settings.layers)
        whitening = editor.whitening() if settings.whiten else None
        self.space = Space(editor.generator, settings.space, start, rows, z, whitening)
        self.take_step = CudaGraph(self._step) if device.type == "cuda" else self._step
        with torch.no_grad():
            text, neutral = texts[:-1], texts[-1:]
            relevance = editor.bundle.relevance(text)
            offset = self.space.toward(editor.bundle.lead(text, start, settings.lead))
            self.state = StepState.zero(self.space)._replace(offset=offset)
            self.targets = self.edit_step.targets(start, text, neutral, relevance)
        self.weights = torch.tensor(loss_weights(settings), device=device)
        self.schedule = torch.tensor(adam_schedule(settings), device=device)
        self.views = torch.from_numpy(
            random_views(settings.steps, settings.views, settings.view_strength)
        ).to(device)
        self.history: list[dict[str, Tensor]] = []
        self.best_total = torch.full((start.shape[0],), torch.inf, device=device)
        self.best_offset = self.state.offset
        self.since_best = 0

    @property
    def offset(self) -> Tensor:
        """Where the optimisation stands."""
        return self.state.offset

    def _step(
        self, offset: Tensor, mean: Tensor, square: Tensor, schedule: Tensor, views: Tensor
    ) -> tuple[StepState, dict[str, Tensor], Tensor]:
        state = StepState(offset, mean, square)
        return self.edit_step(self.space, state, self.targets, self.weights, schedule, views)

    def step(self, step: int) -> Tensor:
        """One Adam step; returns the drafts that it judged, [N, 3, H, W] in [0, 1]."""
        s = self.settings
        judged = self.state.offset
        self.state, losses, image = self.take_step(
            *self.state, self.schedule[step], self.views[step]
        )
        self._keep_best(losses["total"], judged)
        rate = s.learning_rate * learning_rate_factor(step, s.steps)
        row = losses | {"lr": torch.full_like(losses["total"], rate)}
        self.history.append({k: row[k].cpu() for k in HISTORY_FIELDS})
        return image.clamp(0, 1)

    def _keep_best(self, total: Tensor, offset: Tensor) -> None:
        better = total < self.best_total
        self.since_best = 0 if bool(better.any()) else self.since_best + 1
        self.best_total = torch.where(better, total, self.best_total)
        shape = (-1,) + (1,) * (offset.dim() - 1)
        self.best_offset = torch.where(better.view(shape), offset, self.best_offset)

    def stalled(self, patience: int) -> bool:
        """No face of the batch has improved for `patience` steps."""
        return 0 < patience <= self.since_best

    @torch.no_grad()
    def result(self, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Full-size images [N, 3, H, W] in [0, 1] and the latents to save."""
        return self.editor.draw(self.space.latent(offset)), self.space.w_plus(offset)


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
