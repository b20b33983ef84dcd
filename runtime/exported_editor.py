"""A whole edit on exported graphs, without torch.

The graphs are those of ``styleclip export onnx``: texts, mapping, what an edit starts from, its
step, and the final image. What is left for this process is NumPy: tables of numbers and the loop.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from styleclip_rt.runtime.results import HISTORY_FIELDS, EditResult
from tqdm import tqdm

from styleclip_rt import engines
from styleclip_rt.edit_settings import (
    LOSSES,
    MAX_PROMPT_LENGTH,
    NEUTRAL_PROMPT,
    EditSettings,
    adam_schedule,
    learning_rate_factor,
    loss_weights,
)
from styleclip_rt.engines import Array, Engine
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.models.tokenizer import token_rows
from styleclip_rt.random_numbers import Random
from styleclip_rt.views import random_views

GRAPHS = (
    "clip_text",
    "mapping",
    "synthesis",
    "identity",
    "edit_start",
    "edit_step",
    "edit_latent",
)
FIXED = ("space", "layers", "clip", "whiten", "draft", "mode", "views", "lead")
"""Settings that are built into the graphs of an edit."""


class ExportedEditor:
    """Edits faces with the exported graphs of one bundle.

    Args:
        folder: where ``styleclip export onnx`` put them.
        device: "cpu", or "cuda" where ONNX Runtime has it.

    Raises:
        ExportError: a graph is missing, broken, or of another bundle than the others.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._graphs: dict[str, Engine] = {}
        for name in GRAPHS:
            path = folder / f"{name}.onnx"
            if not path.is_file():
                raise ExportError(
                    f"{path} is missing: make it with 'styleclip export onnx --out {folder}'."
                )
            self._graphs[name] = engines.load(path, device)
        bundles = {engine.info.bundle for engine in self._graphs.values()}
        edits = {self._graphs[n].info.weights for n in ("edit_start", "edit_step", "edit_latent")}
        if len(bundles) > 1 or len(edits) > 1:
            raise ExportError(
                f"the files in {folder} are of different bundles ({', '.join(sorted(bundles))}) "
                "or of different weights: export them all again."
            )
        self.bundle_name = bundles.pop()
        self.settings = EditSettings(**dict(self._graphs["edit_step"].info.settings))  # type: ignore[arg-type]

    def edit(
        self,
        prompt: str,
        *,
        seed: int = 0,
        latent: NDArray[np.float32] | None = None,
        progress: bool = False,
        **settings: Any,
    ) -> EditResult:
        """Edit one face, as `styleclip_rt.Editor.edit` does.

        Args:
            prompt: what the face should look like.
            seed: which generated face to start from.
            latent: start from this w+ [1, n_latent, latent_dim] instead.
            progress: show a progress bar on stderr.
            settings: fields of `EditSettings` that differ from those of the export.

        Raises:
            StyleClipError: a bad prompt, latent or setting, or one that is built into the graphs.
        """
        chosen = self._settings(settings)
        if not prompt.strip() or len(prompt) > MAX_PROMPT_LENGTH:
            raise StyleClipError(
                f"the prompt must have from 1 to {MAX_PROMPT_LENGTH} characters: "
                "say how the face should look."
            )
        start = self._start(seed, chosen.truncation_psi) if latent is None else latent
        tokens = np.array(token_rows([prompt, NEUTRAL_PROMPT]), np.int64)
        texts = self._run("clip_text", tokens=tokens)["embedding"]
        targets = self._run("edit_start", start=start, text=texts[:1], neutral=texts[1:])
        offset = targets.pop("offset")
        constants = {
            "start": start,
            "text": texts[:1],
            **targets,
            "weights": np.array(loss_weights(chosen), np.float32),
            "schedule": np.array(adam_schedule(chosen), np.float32),
            "views": random_views(chosen.steps, chosen.views, chosen.view_strength),
        }
        history, offset, interrupted = self._loop(chosen, constants, offset, prompt, progress)
        edited = self._run("edit_latent", start=start, offset=offset)["w_plus"]
        images = [self._run("synthesis", w_plus=w)["image"] * 0.5 + 0.5 for w in (edited, start)]
        faces = [self._run("identity", image=np.clip(i, 0, 1))["embedding"] for i in images]
        return EditResult(
            prompt=prompt,
            seed=seed if latent is None else None,
            image=_to_pil(images[0]),
            original=_to_pil(images[1]),
            latent=edited,
            history=history,
            settings=chosen,
            interrupted=interrupted,
            known_text=None,
            identity=float((faces[0] * faces[1]).sum()),
        )

    def _loop(
        self,
        settings: EditSettings,
        constants: Mapping[str, Array],
        offset: Array,
        prompt: str,
        progress: bool,
    ) -> tuple[list[dict[str, float]], Array, bool]:
        """All steps; the history, the last offset (after Ctrl-C or a plateau the best), and
        whether Ctrl-C stopped it."""
        mean, square = np.zeros_like(offset), np.zeros_like(offset)
        history: list[dict[str, float]] = []
        best, best_offset, since_best = np.inf, offset, 0
        bar = tqdm(total=settings.steps, desc=prompt[:40], unit="step", disable=not progress)
        interrupted = False
        with bar:
            try:
                for step in range(settings.steps):
                    moving = {"offset": offset, "mean": mean, "square": square}
                    out = self._run("edit_step", step=np.array(step), **moving, **constants)
                    row = {n: float(v) for n, v in zip(LOSSES, out["losses"][:, 0], strict=True)}
                    rate = settings.learning_rate * learning_rate_factor(step, settings.steps)
                    history.append({n: (row | {"lr": rate})[n] for n in HISTORY_FIELDS})
                    since_best = 0 if row["total"] < best else since_best + 1
                    if row["total"] < best:
                        best, best_offset = row["total"], offset
                    offset, mean, square = (
                        out[f"next_{name}"] for name in ("offset", "mean", "square")
                    )
                    bar.set_postfix(
                        {k: f"{row[k]:.3f}" for k in ("clip", "id", "l2")}, refresh=False
                    )
                    bar.update()
                    if 0 < settings.patience <= since_best:
                        break
            except KeyboardInterrupt:
                if not history:
                    raise
                interrupted = True
        whole = len(history) == settings.steps
        return history, offset if whole else best_offset, interrupted

    def _settings(self, changes: Mapping[str, Any]) -> EditSettings:
        given = {name: value for name, value in changes.items() if value is not None}
        for name, value in given.items():
            if not hasattr(self.settings, name):
                raise StyleClipError(f"unknown setting {name!r}.")
            built_in = getattr(self.settings, name)
            if name in FIXED and value != built_in:
                raise StyleClipError(
                    f"{name} is built into the exported step as {built_in!r}: leave it so, or "
                    "use engine torch."
                )
        chosen = replace(self.settings, **given)
        for name in ("id", "preserve"):
            if getattr(chosen, name) > 0 and not getattr(self.settings, name) > 0:
                raise StyleClipError(f"the exported step was built without {name}: leave it at 0.")
        return chosen

    def _start(self, seed: int, psi: float) -> Array:
        (shape,) = (p.shape for p in self._graphs["mapping"].info.inputs if p.name == "z")
        rows, dim = self._graphs["synthesis"].info.inputs[0].shape[1:]
        assert isinstance(shape[1], int) and isinstance(rows, int) and isinstance(dim, int)
        z = Random(seed).normal(shape[1])[None]
        w = self._run("mapping", z=z, psi=np.array(psi, np.float32))["w"]
        return np.ascontiguousarray(np.broadcast_to(w[:, None], (1, rows, dim)))

    def _run(self, graph: str, **inputs: Array) -> dict[str, Array]:
        return self._graphs[graph](inputs)


def _to_pil(image: Array) -> Image.Image:
    """[1, 3, H, W] in [0, 1] -> PIL RGB."""
    pixels = (np.clip(image[0], 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels)
