"""Edits with exported graphs, without torch.

The graphs are texts, mapping, what an edit starts from, its step, and the final image. What is left
for this process is NumPy: tables of numbers, and one face after the other.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.editing.schedule import LOSSES, NEUTRAL_PROMPT, adam_schedule, loss_weights
from styleclip_rt.editing.views import random_views
from styleclip_rt.engines import Array
from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.exported_networks import ExportedNetworks
from styleclip_rt.runtime.results import EditedFace
from styleclip_rt.runtime.starts import Start
from styleclip_rt.settings import EditSettings

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
        self.networks = ExportedNetworks(folder, GRAPHS, engine, device)
        self.made_with = self.networks.made_with
        self.settings = EditSettings.of(self.networks["edit_step"].info.settings)

    def known_text(self, prompts: Sequence[str]) -> list[float | None]:
        """None of each: the files do not say which words CLIP has seen."""
        return [None] * len(prompts)

    def begin(
        self, prompts: Sequence[str], settings: EditSettings, starts: Sequence[Start]
    ) -> "ExportedRun":
        """See `styleclip_rt.runtime.editor.EditEngine`."""
        self._check(settings)
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


class ExportedRun:
    """One batched edit; everything constant is computed once, here."""

    def __init__(
        self,
        networks: ExportedNetworks,
        prompts: Sequence[str],
        settings: EditSettings,
        starts: Sequence[Start],
    ) -> None:
        self.networks, self.starts = networks, starts
        self.start = start = np.stack([start.latent for start in starts])
        features = networks.text([*prompts, NEUTRAL_PROMPT])
        text, neutral = features[:-1], features[-1:]
        self.text = text
        targets = networks.run("edit_start", start=start, text=text, neutral=neutral)
        offset = targets.pop("offset")
        self.state = {"offset": offset, "mean": 0 * offset, "square": 0 * offset}
        self.constants = {
            "start": start,
            "text": text,
            **targets,
            "weights": np.array(loss_weights(settings), np.float32),
            "schedule": np.array(adam_schedule(settings), np.float32),
            "views": random_views(settings.steps, settings.views, settings.view_strength),
        }
        self.judged = self.kept = offset

    def step(self, step: int) -> tuple[dict[str, NDArray[np.float32]], Array]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        self.judged = self.state["offset"]
        out = self.networks.run("edit_step", step=np.array(step), **self.state, **self.constants)
        self.state = {name: out[f"next_{name}"] for name in self.state}
        return dict(zip(LOSSES, out["losses"], strict=True)), out["image"]

    def keep(self, which: NDArray[np.bool_]) -> None:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        faces = which.reshape(-1, *(1 for _ in self.judged.shape[1:]))
        self.kept = np.where(faces, self.judged, self.kept)

    def result(self, kept: bool) -> list[EditedFace]:
        """See `styleclip_rt.runtime.editor.EditRun`."""
        offset = self.kept if kept else self.state["offset"]
        latents = self.networks.run("edit_latent", start=self.start, offset=offset)["w_plus"]
        faces = []
        for i, start in enumerate(self.starts):
            pair = [self.networks.draw(w_plus[i : i + 1]) for w_plus in (latents, self.start)]
            codes = [self.networks.run("identity", image=image)["embedding"] for image in pair]
            face = EditedFace(
                to_pil(pair[0][0]),
                to_pil(pair[1][0]),
                latents[i],
                float((codes[0] * codes[1]).sum()),
            )
            if start.scene is not None:
                where = self.networks.relevance(self.text[i : i + 1])[0]
                face = face.in_scene(start, where)
            faces.append(face)
        return faces
