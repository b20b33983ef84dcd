"""What moves a latent, whichever way it was found: a trained mapper, or a direction.

A move gives an *offset*: the edited latent is ``latent + strength * offset``, so that strength and
the composition of several moves are sums, made by whoever runs them. A new kind of edit is one
class that has these members.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from styleclip_rt.models.generator import Generator, style_channels

FORWARD = (0.0, 1.5)
"""Strengths of a move that was made to go one way only; 1 is as it was trained."""

Latent = Tensor | Sequence[Tensor]
"""w+ [N, n_latent, latent_dim], or StyleSpace: one [N, channels] for each style."""


class LatentMove(Protocol):
    """One edit, or one edit for each of several prompts.

    Attributes:
        space: of the latents that it looks at and moves: "w+" or "s".
        shape: (n_latent, latent_dim) of w+, or the channels of every style.
        prompts: that it was made for, in order; none where it has one edit without a name.
        texts: their unit embeddings [prompts, text_dim], None for a move that takes no text.
        regions: [prompts, h, w] in [0, 1], where in an aligned face each changes something; None
            where that is what its prompt says.
        limits: the least and the most strength that it was made for.
    """

    @property
    def space(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def prompts(self) -> tuple[str, ...]: ...
    @property
    def texts(self) -> Tensor | None: ...
    @property
    def regions(self) -> Tensor | None: ...
    @property
    def limits(self) -> tuple[float, float]: ...

    def offset(self, latent: Latent, text: Tensor | None) -> Latent:
        """A latent of that space, and unit embeddings [N, text_dim] where it takes text -> what is
        to be added, in the same shape."""


def fits(move: LatentMove, generator: Generator) -> bool:
    """Whether a move is for latents of this shape."""
    if move.space == "s":
        return move.shape == style_channels(generator)
    return move.shape == (generator.n_latent, generator.latent_dim)
