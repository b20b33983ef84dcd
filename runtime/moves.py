"""What is asked of a mapper, and of the engines that compute it. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.starts import Latents

MAX_STRENGTH = 1.5
TRUNCATION_PSI = 0.7


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
        networks: that tell the generator's latents.
        prompts: mapper -> the prompts that it was trained for, in order.
        made_with: what decides what an edit becomes, ready for JSON.
    """

    prompts: dict[str, tuple[str, ...]]
    made_with: dict[str, object]

    @property
    def networks(self) -> Latents: ...

    def given(self, w_plus: NDArray[np.float32]) -> Any:
        """An array as this engine takes it."""

    def latents(self, w_plus: Any, moves: Sequence[CheckedMove]) -> Any:
        """w+ -> the edited w+, or styles."""

    def relevance(self, moves: Sequence[CheckedMove]) -> NDArray[np.float32]:
        """[h, w] in [0, 1]: where in faces the moves change things.

        Raises:
            StyleClipError: this engine does not know.
        """

    def one(self, latent: Any, face: int) -> Any:
        """What `latents` gives -> the same of one face."""

    def draw(self, latent: Any) -> Any:
        """What `latents` gives -> images [N, 3, H, W] in [0, 1]."""

    def saved(self, latent: Any) -> Any:
        """What `latents` gives, as one tensor or array [N, ...] to keep."""


def another_clip(mapper: str, prompts: Sequence[str]) -> StyleClipError:
    """A text was to be mixed by a mapper that knows another CLIP's embeddings."""
    return StyleClipError(
        f"the mapper {mapper!r} was trained with another CLIP than this bundle's, so "
        f"it serves only its own prompts: {', '.join(prompts)}."
    )
