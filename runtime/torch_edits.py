"""Edits with the networks themselves, in PyTorch."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle
from styleclip_rt.devices import choose_precision
from styleclip_rt.editing.schedule import LOSSES, NEUTRAL_PROMPT, adam_schedule, loss_weights
from styleclip_rt.editing.spaces import Space, Whitening, rows_of
from styleclip_rt.editing.step import EditStep, StepState, Targets
from styleclip_rt.editing.views import random_views
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.cuda_graph import CudaGraph
from styleclip_rt.runtime.results import EditedFace
from styleclip_rt.runtime.starts import Start, residues
from styleclip_rt.runtime.torch_networks import TorchNetworks
from styleclip_rt.settings import EditSettings

if TYPE_CHECKING:
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.moves import Move

StepResult = tuple[StepState, dict[str, Tensor], Tensor]
StepFunction = Callable[[StepState, "Constants", Tensor, Tensor], StepResult]
KindOfStep = tuple[object, ...]

GRAPHS_KEPT = 4


class Constants(NamedTuple):
    """What stays the same through the steps of an edit, and differs from edit to edit.

    Attributes:
        start: w+ [N, n_latent, latent_dim], or styles.
        z: of the start [N, latent_dim], in space z; None in any other.
        targets, weights: as `EditStep` takes them.
    """

    start: Tensor | list[Tensor]
    z: Tensor | None
    targets: Targets
    weights: Tensor


class TorchEdits:
    """The engine "torch" of `styleclip_rt.runtime.editor.Editor`, whose arguments it takes."""

    def __init__(self, bundle: Bundle | str, device: str, precision: str) -> None:
        self.networks = TorchNetworks(bundle, device)
        self.bundle, self.device = self.networks.bundle, self.networks.device
        self.precision = choose_precision(precision, self.device)
        self.settings = self.bundle.settings
        self.made_with: dict[str, object] = {
            "bundle": self.bundle.name,
            "weights": self.bundle.digest,
            "precision": self.precision,
        }
        self.uses_graphs = self.device.type == "cuda"
        self._graphs: dict[KindOfStep, CudaGraph[StepResult]] = {}
        self._graphs_turn = threading.Lock()

    def begin(
        self, prompts: Sequence[str], settings: EditSettings, starts: Sequence[Start]
    ) -> "TorchRun":
        """See `styleclip_rt.runtime.editor.EditEngine`."""
        return TorchRun(self, settings, self.networks.text([*prompts, NEUTRAL_PROMPT]), starts)

    def known_text(self, prompts: Sequence[str]) -> list[float | None]:
        """See `styleclip_rt.runtime.editor.EditEngine`."""
        return self.bundle.known_text(prompts)

    def move_on(
        self,
        runtime: "MapperRuntime",
        start: Start,
        reached: NDArray[np.float32],
        moves: "Sequence[Move]",
        prompt: str,
    ) -> EditedFace:
        """A face that the optimiser has brought so far, moved on by looks.

        Args:
            runtime: that has their mappers.
            start: the face as it was.
            reached: w+ [n_latent, latent_dim], or all styles joined [channels].
            prompt: that the optimiser followed; "" where it did nothing.
        """
        face = runtime.moved(start, reached, moves)
        drawings = [
            torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
            for image in (face.image, face.original)
        ]
        same = self.same_person(*(drawing.to(self.device) for drawing in drawings))
        face = face._replace(identity=same)
        where = torch.from_numpy(runtime.relevance(moves))[None, None]
        if prompt:
            other = self.bundle.relevance(self.networks.text([prompt]))[:, :1].cpu()
            size = max(where.shape[2:], other.shape[2:])
            where = torch.maximum(F.interpolate(where, size), F.interpolate(other, size))
        return runtime.placed(face, start, moves, where[0, 0].numpy())

    def same_person(self, image: Tensor, original: Tensor) -> float | None:
        """Cosine of the identity embeddings of two drawings [1, 3, H, W] in [0, 1]; None where no
        network knows persons."""
        network = self.networks.identity
        if network is None:
            return None
        with torch.no_grad():
            return float((network.encode(image) * network.encode(original)).sum())

    def whitening(self) -> Whitening:
        """Statistics of the generator's latents, measured at first use."""
        return self.networks.whitening

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


class TorchRun:
    """One batched edit; everything constant is computed once, here."""

    def __init__(
        self,
        engine: TorchEdits,
        settings: EditSettings,
        texts: Tensor,
        starts: Sequence[Start],
    ) -> None:
        self.engine, self.starts = engine, starts
        self.networks, device = engine.networks, engine.device
        generator, clip, identity = (
            self.networks.generator,
            self.networks.clip,
            self.networks.identity,
        )
        edit_step = EditStep(generator, clip, identity, settings, engine.precision)
        start = self._start(starts)
        z = self._z(starts) if settings.space == "z" else None
        rows = rows_of(generator, settings.layers)
        whitening = engine.whitening() if settings.whiten else None
        self.space = Space(generator, settings.space, start, rows, z, whitening)
        with torch.no_grad():
            text, neutral = texts[:-1], texts[-1:]
            self.relevance = engine.bundle.relevance(text)
            offset = self.space.zero()
            if isinstance(start, Tensor):
                offset = self.space.toward(engine.bundle.lead(text, start, settings.lead))
            self.state = StepState.zero(self.space)._replace(offset=offset)
            added = residues(starts)
            residue = None if added is None else torch.from_numpy(added).to(device)
            targets = edit_step.targets(start, text, neutral, self.relevance, residue)
        weights = torch.tensor(loss_weights(settings), device=device)
        self.constants = Constants(start, z, targets, weights)
        self.schedule = torch.tensor(adam_schedule(settings), device=device)
        self.views = torch.from_numpy(
            random_views(settings.steps, settings.views, settings.view_strength)
        ).to(device)
        self.plain_step = _step_function(edit_step, self.space)
        kind = (
            *_kind_of_step(settings, len(starts)),
            isinstance(start, Tensor),
            residue is None,
        )
        self.take_step = engine.fast_step(kind, self.plain_step)
        self.judged = self.kept = self.state.offset

    def _start(self, starts: Sequence[Start]) -> Tensor | list[Tensor]:
        """w+ [N, n_latent, latent_dim] of the faces, or their styles where one is given in
        StyleSpace."""
        networks, styled = self.networks, [start.in_style_space for start in starts]
        latents = [torch.tensor(start.latent)[None].to(networks.device) for start in starts]
        if not any(styled):
            return torch.cat(latents)
        with torch.no_grad():
            each = [
                networks.to_styles(latent) if given else networks.generator.styles(latent)
                for latent, given in zip(latents, styled, strict=True)
            ]
        return [torch.cat(parts) for parts in zip(*each, strict=True)]

    def _z(self, starts: Sequence[Start]) -> Tensor | None:
        if any(start.z is None for start in starts):
            return None
        z = np.stack([start.z for start in starts if start.z is not None])
        return torch.from_numpy(z).to(self.networks.device)

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
        residue = residues(self.starts)
        images = self.networks.draw(self.space.latent(offset), residue=residue)
        originals = self.networks.draw(self.constants.start, residue=residue)
        latents = self.space.w_plus(offset).float().cpu()
        faces = []
        for i, start in enumerate(self.starts):
            face = EditedFace(
                to_pil(images[i]),
                to_pil(originals[i]),
                latents[i],
                self.engine.same_person(images[i : i + 1], originals[i : i + 1]),
            )
            faces.append(face.in_scene(start, self.relevance[i, 0].cpu().numpy()))
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
