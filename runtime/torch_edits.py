"""Edits with the networks themselves, in PyTorch."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.devices import choose_device, choose_precision, keep_freed_memory
from styleclip_rt.editing.settings import (
    LOSSES,
    NEUTRAL_PROMPT,
    EditSettings,
    adam_schedule,
    loss_weights,
)
from styleclip_rt.editing.spaces import Space, Whitening, rows_of
from styleclip_rt.editing.step import EditStep, StepState, Targets
from styleclip_rt.editing.views import random_views
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import sample_z
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.cuda_graph import CudaGraph
from styleclip_rt.runtime.editor import EditedFace

StepResult = tuple[StepState, dict[str, Tensor], Tensor]
StepFunction = Callable[[StepState, "Constants", Tensor, Tensor], StepResult]
KindOfStep = tuple[object, ...]

GRAPHS_KEPT = 4


class Constants(NamedTuple):
    """What stays the same through the steps of an edit, and differs from edit to edit: the start in
    w+ and, in space z, in z; targets and weights as `EditStep` takes them."""

    start: Tensor
    z: Tensor | None
    targets: Targets
    weights: Tensor


class TorchEdits:
    """The engine "torch" of `styleclip_rt.runtime.editor.Editor`, whose arguments it takes."""

    def __init__(self, bundle: Bundle | str, device: str, precision: str) -> None:
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.precision = choose_precision(precision, self.device)
        self.bundle = load_bundle(bundle)
        self.generator = self.bundle.generator.to(self.device)
        self.clip = self.bundle.clip.to(self.device)
        self.identity = self.bundle.identity.to(self.device)
        self.settings = EditSettings(**dict(self.bundle.manifest.defaults))  # type: ignore[arg-type]
        self._whitening: Whitening | None = None
        self.uses_graphs = self.device.type == "cuda"
        self._graphs: dict[KindOfStep, CudaGraph[StepResult]] = {}
        self._graphs_turn = threading.Lock()

    def start(self, seeds: Sequence[int], truncation_psi: float) -> Tensor:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""
        return self._start(sample_z(self.generator, seeds), truncation_psi)

    def mean_latent(self) -> NDArray[np.float32]:
        """w [latent_dim] of the mean face."""
        mean: NDArray[np.float32] = self.generator.mean_latent.cpu().numpy()
        return mean

    @torch.inference_mode()
    def draw(self, latent: Tensor | list[Tensor]) -> Tensor:
        """w+ or styles -> images [N, 3, H, W] in [0, 1] at full size; in float32 and one at a time,
        to bound memory."""
        parts = [latent] if isinstance(latent, Tensor) else latent
        images = []
        for i in range(parts[0].shape[0]):
            one = [part[i : i + 1] for part in parts]
            images.append(self.generator.synthesis(one[0] if isinstance(latent, Tensor) else one))
        return (torch.cat(images) * 0.5 + 0.5).clamp(0, 1)

    def begin(
        self,
        prompts: Sequence[str],
        settings: EditSettings,
        seeds: Sequence[int] | None,
        latents: Tensor | NDArray[np.float32] | None,
    ) -> "TorchRun":
        """See `styleclip_rt.runtime.editor.EditEngine`."""
        texts, known_text = self._text_features(prompts)
        if latents is None:
            assert seeds is not None
            z = sample_z(self.generator, seeds)
            return TorchRun(
                self, settings, texts, known_text, z, self._start(z, settings.truncation_psi)
            )
        start = self._checked(torch.as_tensor(latents), len(prompts))
        return TorchRun(self, settings, texts, known_text, None, start)

    def whitening(self) -> Whitening:
        """Statistics of the generator's latents, measured at first use."""
        if self._whitening is None:
            self._whitening = Whitening(self.generator)
        return self._whitening

    def fast_step(self, kind: KindOfStep, step: StepFunction) -> StepFunction:
        """`step`, or on a GPU one graph for all edits whose steps are of that kind."""
        if not self.uses_graphs:
            return step
        with self._graphs_turn:
            graph = self._graphs.pop(kind, None) or CudaGraph(step)
            self._graphs[kind] = graph
            # Each holds the memory of a whole step.
            while len(self._graphs) > GRAPHS_KEPT:
                del self._graphs[next(iter(self._graphs))]
        return graph

    @torch.no_grad()
    def _start(self, z: Tensor, truncation_psi: float) -> Tensor:
        w = self.generator.mapping(z, truncation_psi)
        return w[:, None].repeat(1, self.generator.n_latent, 1)

    def _checked(self, latents: Tensor, count: int) -> Tensor:
        n_latent, dim = self.generator.n_latent, self.generator.latent_dim
        w = latents.detach().float().to(self.device)
        if w.shape[1:] not in ((dim,), (n_latent, dim)) or w.shape[0] != count:
            raise StyleClipError(
                f"the latent has shape {list(latents.shape)}: this generator takes "
                f"[{count}, {dim}] or [{count}, {n_latent}, {dim}]."
            )
        return w[:, None].repeat(1, n_latent, 1) if w.dim() == 2 else w

    def _text_features(self, prompts: Sequence[str]) -> tuple[Tensor, list[float | None]]:
        """Unit text embeddings [N + 1, D] of the prompts and the neutral one, and how well each
        prompt is known."""
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


class TorchRun:
    """One batched edit; everything constant is computed once, here."""

    def __init__(
        self,
        engine: TorchEdits,
        settings: EditSettings,
        texts: Tensor,
        known_text: list[float | None],
        z: Tensor | None,
        start: Tensor,
    ) -> None:
        self.engine, self.known_text = engine, known_text
        device = start.device
        edit_step = EditStep(
            engine.generator, engine.clip, engine.identity, settings, engine.precision
        )
        rows = rows_of(engine.generator, settings.layers)
        whitening = engine.whitening() if settings.whiten else None
        self.space = Space(engine.generator, settings.space, start, rows, z, whitening)
        with torch.no_grad():
            text, neutral = texts[:-1], texts[-1:]
            relevance = engine.bundle.relevance(text)
            offset = self.space.toward(engine.bundle.lead(text, start, settings.lead))
            self.state = StepState.zero(self.space)._replace(offset=offset)
            targets = edit_step.targets(start, text, neutral, relevance)
        weights = torch.tensor(loss_weights(settings), device=device)
        self.constants = Constants(start, z, targets, weights)
        self.schedule = torch.tensor(adam_schedule(settings), device=device)
        self.views = torch.from_numpy(
            random_views(settings.steps, settings.views, settings.view_strength)
        ).to(device)
        self.plain_step = _step_function(edit_step, self.space)
        self.take_step = engine.fast_step(_kind_of_step(settings, len(start)), self.plain_step)
        self.judged = self.kept = self.state.offset

    def step(self, step: int) -> tuple[dict[str, NDArray[np.float32]], Tensor]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        self.judged = self.state.offset
        self.state, losses, image = self.take_step(
            self.state, self.constants, self.schedule[step], self.views[step]
        )
        # One wait for the device, not one for each of them.
        rows = torch.stack([losses[name] for name in LOSSES]).cpu().numpy()
        return dict(zip(LOSSES, rows, strict=True)), image

    def keep(self, which: NDArray[np.bool_]) -> None:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        faces = torch.from_numpy(which).to(self.judged.device)
        shape = (-1,) + (1,) * (self.judged.dim() - 1)
        self.kept = torch.where(faces.view(shape), self.judged, self.kept)

    @torch.no_grad()
    def result(self, kept: bool) -> list[EditedFace]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        offset = self.kept if kept else self.state.offset
        images = self.engine.draw(self.space.latent(offset))
        originals = self.engine.draw(self.constants.start)
        latents = self.space.w_plus(offset).float().cpu()
        faces = []
        for i in range(len(images)):
            codes = [self.engine.identity.encode(x[i : i + 1]) for x in (images, originals)]
            faces.append(
                EditedFace(
                    to_pil(images[i]),
                    to_pil(originals[i]),
                    latents[i : i + 1],
                    float((codes[0] * codes[1]).sum()),
                )
            )
        return faces


def _step_function(edit_step: EditStep, space: Space) -> StepFunction:
    def step(state: StepState, constants: Constants, schedule: Tensor, views: Tensor) -> StepResult:
        around = space.around(constants.start, constants.z)
        return edit_step(around, state, constants.targets, constants.weights, schedule, views)

    return step


def _kind_of_step(settings: EditSettings, faces: int) -> KindOfStep:
    """Steps of one kind differ only in the tensors that they are given."""
    s = settings
    shape = (faces, s.space, s.layers, s.whiten, s.draft, s.views)
    return (*shape, s.clip, s.mode, s.id > 0, s.preserve > 0)
