"""Edits with exported graphs, without torch.

The graphs are texts, mapping, what an edit starts from, its step, and the final image. What is left
for this process is NumPy: tables of numbers, and one face after the other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from styleclip_rt.runtime.editor import EditedFace
from styleclip_rt.runtime.exported_networks import ExportedNetworks

from styleclip_rt.edit_settings import (
    LOSSES,
    NEUTRAL_PROMPT,
    EditSettings,
    adam_schedule,
    loss_weights,
)
from styleclip_rt.engines import Array
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.tokenizer import token_rows
from styleclip_rt.pictures import to_pil
from styleclip_rt.views import random_views

if TYPE_CHECKING:
    from torch import Tensor

GRAPHS = (
    "clip_text",
    "mapping",
    "synthesis",
    "identity",
    "edit_start",
    "edit_step",
    "edit_latent",
)
BUILT_IN = ("space", "layers", "clip", "whiten", "draft", "mode", "views", "lead")
"""Settings that are constants of the graphs."""
STATE = ("offset", "mean", "square")
"""What a step hands to the next; see `styleclip_rt.edit_step.StepState`."""


class ExportedEdits:
    """An engine of `styleclip_rt.runtime.editor.Editor` that runs exported files.

    Args:
        folder: where ``styleclip export`` put them.
        engine: one of `styleclip_rt.engines.KINDS`.
        device: "cpu" or "cuda"; "auto" is the CPU.
        precision: "auto"; it was chosen at export.

    Raises:
        StyleClipError: a precision is given, or a file is missing, broken, or of another bundle or
            other weights than the rest.
    """

    def __init__(self, folder: Path, engine: str, device: str, precision: str) -> None:
        if precision != "auto":
            raise StyleClipError(
                f"the precision of exported files was chosen when they were made: leave out "
                f"{precision}, or use engine torch."
            )
        if engine == "torchscript":
            raise StyleClipError(
                "TorchScript files hold no gradient to edit with: use engine onnxruntime or torch."
            )
        self.networks = ExportedNetworks(folder, GRAPHS, engine, device)
        built_for = self.networks["edit_step"].info.settings
        self.settings = EditSettings(**dict(built_for))  # type: ignore[arg-type]

    def start(self, seeds: Sequence[int], truncation_psi: float) -> Array:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""
        return self.networks.start(seeds, truncation_psi)

    def mean_latent(self) -> Array:
        """w [latent_dim] of the mean face."""
        return self.networks.mean_latent()

    def draw(self, latent: Array) -> Array:
        """w+ -> images [N, 3, H, W] in [0, 1] at full size."""
        return self.networks.draw(latent)

    def begin(
        self,
        prompts: Sequence[str],
        settings: EditSettings,
        seeds: Sequence[int] | None,
        latents: "Tensor | Array | None",
    ) -> "ExportedRun":
        """See `styleclip_rt.runtime.editor.EditEngine`."""
        self._check(settings)
        if latents is None:
            assert seeds is not None
            starts = self.start(seeds, settings.truncation_psi)
        else:
            starts = self._checked(np.asarray(latents, np.float32), len(prompts))
        return ExportedRun(self.networks, prompts, settings, starts)

    def _check(self, settings: EditSettings) -> None:
        for name in BUILT_IN:
            built_in = getattr(self.settings, name)
            if getattr(settings, name) != built_in:
                raise StyleClipError(
                    f"{name} is built into the exported step as {built_in!r}: leave it so, or "
                    "use engine torch."
                )
        for name in ("id", "preserve"):
            if getattr(settings, name) > 0 and not getattr(self.settings, name) > 0:
                raise StyleClipError(f"the exported step was built without {name}: leave it at 0.")

    def _checked(self, latents: Array, count: int) -> Array:
        rows, dim = self.networks.latent_shape
        if latents.shape[1:] not in ((dim,), (rows, dim)) or latents.shape[0] != count:
            raise StyleClipError(
                f"the latent has shape {list(latents.shape)}: this generator takes "
                f"[{count}, {dim}] or [{count}, {rows}, {dim}]."
            )
        return np.repeat(latents[:, None], rows, axis=1) if latents.ndim == 2 else latents


class ExportedRun:
    """Edits of several faces, which take their steps in turn: the graphs take one face."""

    def __init__(
        self,
        networks: ExportedNetworks,
        prompts: Sequence[str],
        settings: EditSettings,
        starts: Array,
    ) -> None:
        self.networks, self.starts = networks, starts
        # The files do not say which words CLIP has seen.
        self.known_text: list[float | None] = [None] * len(prompts)
        tokens = np.array(token_rows([*prompts, NEUTRAL_PROMPT]), np.int64)
        *texts, neutral = np.split(
            networks.run("clip_text", tokens=tokens)["embedding"], len(prompts) + 1
        )
        tables = {
            "weights": np.array(loss_weights(settings), np.float32),
            "schedule": np.array(adam_schedule(settings), np.float32),
            "views": random_views(settings.steps, settings.views, settings.view_strength),
        }
        self._constants: list[dict[str, Array]] = []
        self._states: list[dict[str, Array]] = []
        for i, text in enumerate(texts):
            start = starts[i : i + 1]
            targets = networks.run("edit_start", start=start, text=text, neutral=neutral)
            offset = targets.pop("offset")
            zero = np.zeros_like(offset)
            self._states.append({"offset": offset, "mean": zero, "square": zero})
            self._constants.append({"start": start, "text": text, **targets, **tables})
        self._judged = [state["offset"] for state in self._states]
        self._kept = list(self._judged)

    def step(self, step: int) -> tuple[dict[str, NDArray[np.float32]], Array]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        self._judged = [state["offset"] for state in self._states]
        outputs = [
            self.networks.run("edit_step", step=np.array(step), **state, **constants)
            for state, constants in zip(self._states, self._constants, strict=True)
        ]
        self._states = [{name: out[f"next_{name}"] for name in STATE} for out in outputs]
        losses = np.concatenate([out["losses"] for out in outputs], axis=1)
        drafts = np.concatenate([out["image"] for out in outputs])
        return dict(zip(LOSSES, losses, strict=True)), drafts

    def keep(self, which: NDArray[np.bool_]) -> None:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        for i in np.flatnonzero(which):
            self._kept[i] = self._judged[i]

    def result(self, kept: bool) -> list[EditedFace]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        offsets = self._kept if kept else [state["offset"] for state in self._states]
        return [self._face(self.starts[i : i + 1], offset) for i, offset in enumerate(offsets)]

    def _face(self, start: Array, offset: Array) -> EditedFace:
        latent = self.networks.run("edit_latent", start=start, offset=offset)["w_plus"]
        images = [self.networks.draw(w_plus) for w_plus in (latent, start)]
        faces = [self.networks.run("identity", image=image)["embedding"] for image in images]
        return EditedFace(
            to_pil(images[0][0]),
            to_pil(images[1][0]),
            latent,
            float((faces[0] * faces[1]).sum()),
        )
