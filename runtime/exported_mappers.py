"""Edits by mapper with exported graphs, without torch."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from styleclip_rt.engines import Array
from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.exported_networks import ExportedNetworks
from styleclip_rt.runtime.moves import MAX_STRENGTH, CheckedMove, another_clip

SAME_MOVE = 0.05
"""How far, as a share of its length, a move by number may be from the same move by text."""


class ExportedMappers:
    """An engine of `styleclip_rt.runtime.mapper.MapperRuntime` that runs exported files.

    Args:
        folder: where ``styleclip export`` put them.
        mappers: as for the runtime; of a file, its name is what counts.
        engine: one of `styleclip_rt.engines.KINDS`.
        device: "cpu" or "cuda".
        draft: draw drafts.

    Raises:
        StyleClipError: a file is missing, broken, or of another bundle than the rest; or a mapper
            moves in StyleSpace.
    """

    def __init__(
        self,
        folder: Path,
        mappers: Sequence[str] | Mapping[str, Path],
        engine: str,
        device: str,
        draft: bool,
    ) -> None:
        files = mappers if isinstance(mappers, Mapping) else {name: Path(name) for name in mappers}
        self._graphs = {name: f"{path.stem}.mapper" for name, path in files.items()}
        names = ("mapping", *self._graphs.values())
        drawing = "draft" if draft else "synthesis"
        self.networks = ExportedNetworks(folder, names, engine, device, drawing)
        self.made_with = self.networks.made_with
        self.prompts: dict[str, tuple[str, ...]] = {}
        for name, graph in self._graphs.items():
            info = self.networks[graph].info
            if info.outputs[0].name != "w_plus_edited":
                raise StyleClipError(
                    f"the mapper {name!r} moves in StyleSpace, which the exported synthesis does "
                    "not take: use engine torch, or its mapper_synthesis file."
                )
            self.prompts[name] = info.prompts
        self.limits = dict.fromkeys(self.prompts, (0.0, MAX_STRENGTH))

    @property
    def resolution(self) -> int:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        return self.networks.resolution

    def drafts(self) -> "ExportedMappers":
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        twin = copy.copy(self)
        twin.networks = self.networks.drawing("draft")
        return twin

    def given(self, latents: Array) -> Array:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        return latents

    def latents(self, w_plus: Array, moves: Sequence[CheckedMove]) -> Array:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        first, *others = [self._edited(w_plus, move) for move in moves]
        for other in others:
            first = first + (other - w_plus)
        return first

    def latents_from(self, styles: Array, moves: Sequence[CheckedMove]) -> Array:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        raise StyleClipError("exported mappers start from w+: edit styles with engine torch.")

    def relevance(self, moves: Sequence[CheckedMove]) -> Array:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        if any(prompt is None for _, prompt, _ in moves):  # who knows what that is about
            return np.ones((1, 1), np.float32)
        prompts = [
            prompt if isinstance(prompt, str) else self.prompts[name][prompt]
            for name, prompt, _ in moves
            if prompt is not None
        ]
        self.networks.load("clip_text")
        where: Array = self.networks.relevance(self.networks.text(prompts)).max(0)
        return where

    def one(self, latent: Array, face: int) -> Array:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return latent[face : face + 1]

    def draw(self, latent: Array, residue: Array | None = None) -> Array:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return self.networks.draw(latent)

    def draw_together(self, latents: Sequence[Array]) -> list[Array]:
        """See `styleclip_rt.runtime.moves.MapperEngine`; one after the other, as exports are of
        one face."""
        return [self.draw(latent)[0] for latent in latents]

    def saved(self, latent: Array) -> Array:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return latent

    def _edited(self, w_plus: Array, move: CheckedMove) -> Array:
        graph, count = self._graphs[move.mapper], len(w_plus)
        inputs = {"w_plus": w_plus, "strength": np.full(count, move.strength, np.float32)}
        if isinstance(move.prompt, int):
            inputs["prompt"] = np.full(count, move.prompt, np.int64)
        elif move.prompt is not None:
            graph = f"{graph}_text"
            text = self._text(w_plus[:1], move.mapper, move.prompt)
            inputs["text"] = np.repeat(text, count, axis=0)
        return self.networks.run(graph, **inputs)["w_plus_edited"]

    def _text(self, w_plus: Array, mapper: str, prompt: str) -> Array:
        """The unit embedding [1, text_dim] of a prompt that the mapper was not trained for."""
        graph, prompts = self._graphs[mapper], self.prompts[mapper]
        self.networks.load("clip_text", f"{graph}_text")
        features = self.networks.text([*prompts, prompt])
        # The files do not hold the embeddings of training; what the mapper makes of them does too.
        faces = {
            "w_plus": np.repeat(w_plus, len(prompts), axis=0),
            "strength": np.ones(len(prompts), np.float32),
        }
        numbers = np.arange(len(prompts))
        by_number = self.networks.run(graph, prompt=numbers, **faces)["w_plus_edited"] - w_plus
        by_text = self.networks.run(f"{graph}_text", text=features[:-1], **faces)["w_plus_edited"]
        error = np.linalg.norm(by_text - w_plus - by_number)
        if error > SAME_MOVE * np.linalg.norm(by_number):
            raise another_clip(mapper, prompts)
        return features[-1:]
