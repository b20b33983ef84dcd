"""Edits in milliseconds: trained mappers applied to the latents of one bundle.

Which engine computes them is chosen at the start; nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.folders import exports_folder
from styleclip_rt.pictures import to_pil

if TYPE_CHECKING:
    from torch import Tensor

    from styleclip_rt.bundle import Bundle

MAX_STRENGTH = 1.5


@dataclass(frozen=True)
class Move:
    """What one mapper is to do.

    Attributes:
        mapper: its name.
        prompt: one of those that it was trained for; "" for a mapper that has only one, or none.
        strength: 0 changes nothing, 1 is as trained, at most MAX_STRENGTH.
    """

    mapper: str
    prompt: str = ""
    strength: float = 1.0


@dataclass(frozen=True)
class MappedFace:
    """One edited face: PIL images at full resolution, and the edited latent: w+
    [n_latent, latent_dim], or the styles joined [channels] where a mapper in StyleSpace moved it.
    """

    image: Image.Image
    original: Image.Image
    latent: "Tensor | NDArray[np.float32]"


class CheckedMove(NamedTuple):
    """A move that can be made; `prompt` is a number among the mapper's own, other text where any
    will do, or None for a mapper that takes none."""

    mapper: str
    prompt: int | str | None
    strength: float


class MapperEngine(Protocol):
    """What computes edits by mapper; called from several threads.

    Its latents and images are tensors of the engine torch, NumPy arrays of any other.

    Attributes:
        latent_shape: (n_latent, latent_dim) of w+.
        prompts: mapper -> the prompts that it was trained for, in order.
    """

    prompts: dict[str, tuple[str, ...]]

    @property
    def latent_shape(self) -> tuple[int, int]: ...

    def start(self, seeds: Sequence[int], truncation_psi: float) -> Any:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""

    def latents(self, w_plus: Any, moves: Sequence[CheckedMove]) -> Any:
        """w+ -> the edited w+, or styles."""

    def draw(self, latent: Any) -> Any:
        """What `latents` gives -> images [N, 3, H, W] in [0, 1]."""

    def saved(self, latent: Any) -> Any:
        """What `latents` gives, as one tensor or array [N, ...] to keep."""


class MapperRuntime:
    """Holds a generator and its mappers; all is loaded in the constructor.

    Calls change nothing in it, so threads may share it. Latents and images are tensors with the
    engine "torch", NumPy arrays with any other.

    Args:
        bundle: whose generator draws: a bundle, its name or folder.
        mappers: names of `styleclip mapper list`, or files, by the names that moves give them.
        device: where to run.
        engine: "torch", or one that runs exported files without torch: "onnxruntime".
        exports: folder of the exported files; the bundle's in the cache.
        draft: draw the smaller images that edits are made on, for previews.

    Raises:
        StyleClipError: a mapper is unknown, unreadable, not exported, or was trained for another
            generator; or no such engine.
    """

    def __init__(
        self,
        bundle: "Bundle | str",
        mappers: Sequence[str] | Mapping[str, Path],
        device: str = "cpu",
        engine: str = "torch",
        exports: str | Path | None = None,
        draft: bool = False,
    ) -> None:
        self.engine: MapperEngine
        if engine == "torch":
            from styleclip_rt.runtime.torch_mappers import TorchMappers

            self.engine = TorchMappers(bundle, mappers, device, draft)
        else:
            from styleclip_rt.runtime.exported_mappers import ExportedMappers

            folder = exports_folder(bundle, exports)
            self.engine = ExportedMappers(folder, mappers, engine, device, draft)
        self.latent_shape = self.engine.latent_shape

    @classmethod
    def from_bundle(
        cls,
        mappers: Sequence[str],
        name: str = "ffhq-mobile",
        device: str = "cpu",
        engine: str = "torch",
        exports: str | Path | None = None,
        draft: bool = False,
    ) -> "MapperRuntime":
        """Load a bundle by name or folder, fetching it on first use where that is possible."""
        return cls(name, mappers, device, engine, exports, draft)

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """Mapper -> the prompts that it was trained for; none where its file does not say."""
        return dict(self.engine.prompts)

    def latents(self, w_plus: Any, moves: Sequence[Move], any_prompt: bool = False) -> Any:
        """Edit latents [N, n_latent, latent_dim] by all `moves` at once.

        Every mapper looks at the given latent, and their offsets are added.

        Args:
            w_plus: float32 w+ of this bundle's generator.
            moves: what to do; each mapper may serve several times.
            any_prompt: let mappers mix what they know for a prompt that they were not trained for.

        Returns:
            w+ of the same shape; or the styles, where a mapper in StyleSpace is among the moves.

        Raises:
            StyleClipError: another shape, an unknown mapper or prompt, a strength out of range.
        """
        if w_plus.ndim != 3 or tuple(w_plus.shape[1:]) != self.latent_shape:
            rows, dim = self.latent_shape
            raise StyleClipError(
                f"the latent has shape {list(w_plus.shape)}: this generator takes "
                f"[N, {rows}, {dim}]."
            )
        return self.engine.latents(w_plus, [self._checked(move, any_prompt) for move in moves])

    def draw(self, latent: Any) -> Any:
        """w+ or styles -> images [N, 3, H, W] in [0, 1]."""
        return self.engine.draw(latent)

    def start(self, seeds: Sequence[int], truncation_psi: float = 0.7) -> Any:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""
        return self.engine.start(seeds, truncation_psi)

    def edit(
        self, w_plus: Any, moves: Sequence[Move], any_prompt: bool = False
    ) -> list[MappedFace]:
        """Edit and draw; arguments and errors as for `latents`."""
        edited = self.latents(w_plus, moves, any_prompt)
        images, originals = self.draw(edited), self.draw(w_plus)
        saved = self.engine.saved(edited)
        return [
            MappedFace(to_pil(image), to_pil(original), latent)
            for image, original, latent in zip(images, originals, saved, strict=True)
        ]

    def _checked(self, move: Move, any_prompt: bool) -> CheckedMove:
        if move.mapper not in self.engine.prompts:
            known = ", ".join(self.engine.prompts) or "none is loaded"
            raise StyleClipError(f"unknown mapper {move.mapper!r}: choose from {known}.")
        if not 0 <= move.strength <= MAX_STRENGTH:
            raise StyleClipError(
                f"the strength must be from 0 to {MAX_STRENGTH}, but is {move.strength}."
            )
        prompts = self.engine.prompts[move.mapper]
        if not prompts:
            return CheckedMove(move.mapper, None, move.strength)
        wanted = " ".join(move.prompt.lower().split())
        if not wanted and len(prompts) == 1:
            wanted = prompts[0]
        if wanted in prompts:
            return CheckedMove(move.mapper, prompts.index(wanted), move.strength)
        if not any_prompt or not wanted:
            raise StyleClipError(
                f"the mapper {move.mapper!r} was not trained for the prompt {move.prompt!r}: "
                f"choose from {', '.join(prompts)}."
            )
        return CheckedMove(move.mapper, wanted, move.strength)


def another_clip(mapper: str, prompts: Sequence[str]) -> StyleClipError:
    """A text was to be mixed by a mapper that knows another CLIP's embeddings."""
    return StyleClipError(
        f"the mapper {mapper!r} was trained with another CLIP than this bundle's, so "
        f"it serves only its own prompts: {', '.join(prompts)}."
    )
