"""What is asked of a mapper, and of the engines that compute it. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.networks import Networks

MAX_STRENGTH = 1.5
"""Of mappers, which go one way only; looks have ranges of their own."""
TRUNCATION_PSI = 0.7


@dataclass(frozen=True, init=False)
class Move:
    """What one mapper, or one look, is to do: `Move("hair-colour", "red hair", 0.7)`, or
    `Move("smiling", 0.7)`.

    Attributes:
        mapper: its name; or, where looks are taken, that of a look.
        prompt: one of those that it was trained for; "" for a mapper that has only one, or none,
            and for a look.
        strength: 0 changes nothing, 1 is as trained, at most MAX_STRENGTH. A look tells its own
            range; below 0 it goes the other way.
    """

    mapper: str
    prompt: str = ""
    strength: float = 1.0

    def __init__(self, mapper: str, prompt: str | float = "", strength: float = 1.0) -> None:
        alone = not isinstance(prompt, str)  # a look and its strength
        object.__setattr__(self, "mapper", mapper)
        object.__setattr__(self, "prompt", "" if alone else prompt)
        object.__setattr__(self, "strength", prompt if alone else strength)


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
        networks: of the generator.
        prompts: mapper -> the prompts that it was trained for, in order.
        limits: mapper -> the least and the most strength that it takes.
        made_with: what decides what an edit becomes, ready for JSON.
        resolution: of its images, in px.
    """

    prompts: dict[str, tuple[str, ...]]
    limits: dict[str, tuple[float, float]]
    made_with: dict[str, object]

    @property
    def networks(self) -> Networks: ...
    @property
    def resolution(self) -> int: ...

    def drafts(self) -> "MapperEngine":
        """The same networks, drawing drafts.

        Raises:
            StyleClipError: there are none.
        """

    def given(self, latents: NDArray[np.float32]) -> Any:
        """w+ [N, n_latent, latent_dim], or all styles joined [N, channels], as this engine takes
        them."""

    def latents(self, w_plus: Any, moves: Sequence[CheckedMove]) -> Any:
        """w+ -> the edited w+, or styles."""

    def latents_from(self, styles: NDArray[np.float32], moves: Sequence[CheckedMove]) -> Any:
        """All styles joined [N, channels] -> the edited styles.

        Raises:
            StyleClipError: this engine takes no styles.
        """

    def relevance(self, moves: Sequence[CheckedMove]) -> NDArray[np.float32]:
        """[h, w] in [0, 1]: where in faces the moves change things."""

    def one(self, latent: Any, face: int) -> Any:
        """What `latents` gives -> the same of one face."""

    def draw(self, latent: Any, residue: NDArray[np.float32] | None = None) -> Any:
        """What `latents` gives -> images [N, 3, H, W] in [0, 1]; a residue as in
        `Networks.draw`."""

    def draw_together(self, latents: Sequence[Any]) -> list[Any]:
        """What `latents` gives, of one face each -> an image [3, H, W] in [0, 1] of each, drawn at
        once where this engine can; the last bits may differ from those drawn alone."""

    def saved(self, latent: Any) -> Any:
        """What `latents` gives, as one tensor or array [N, ...] to keep."""


def another_clip(mapper: str, prompts: Sequence[str]) -> StyleClipError:
    """A text was to be mixed by a mapper that knows another CLIP's embeddings."""
    return StyleClipError(
        f"the mapper {mapper!r} was trained with another CLIP than this bundle's, so "
        f"it serves only its own prompts: {', '.join(prompts)}."
    )
