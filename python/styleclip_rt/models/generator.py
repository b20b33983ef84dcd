"""What this package asks of a generator, whichever it is, and what holds for all of them."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.random_numbers import check_seed

LEAK = 0.2


class Generator(Protocol):
    """A generator, as everything that stands on it sees it.

    Attributes:
        resolution: width and height of its images in px.
        n_latent, latent_dim: of w+.
        style_rows: for each style, the row of w+ that feeds it.
    """

    resolution: int
    n_latent: int
    latent_dim: int
    style_rows: tuple[int, ...]

    @property
    def mean_latent(self) -> Tensor: ...
    @property
    def layer_groups(self) -> dict[str, range]:
        """ "coarse", "middle" and "fine" -> rows of w+."""

    @property
    def draft_sizes(self) -> tuple[int, ...]:
        """Resolutions in px that `synthesis` draws, ascending, up to the full one."""

    def affines(self) -> list[nn.Linear]:
        """The layer that makes each style of its row of w+, in the order of `styles`."""

    def mapping(self, z: Tensor, truncation_psi: float = ...) -> Tensor: ...
    def styles(self, w_plus: Tensor) -> list[Tensor]: ...
    def features(self, styles: Sequence[Tensor], resolution: int) -> Tensor:
        """What the layers above `resolution` px are given: [N, C, resolution, resolution]."""

    def synthesis(
        self,
        latent: Tensor | Sequence[Tensor],
        resolution: int | None = ...,
        *,
        residue: Tensor | None = ...,
    ) -> Tensor:
        """The image of a latent; a residue [N, C, R, R] is added to its `features` at R px."""


def sample_z(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """z [len(seeds), latent_dim], one independent draw a seed, the same on every device.

    Raises:
        StyleClipError: see `check_seed`.
    """
    draws = [
        torch.randn(
            1, generator.latent_dim, generator=torch.Generator().manual_seed(check_seed(seed))
        )
        for seed in seeds
    ]
    return torch.cat(draws).to(generator.mean_latent.device)


def to_w_plus(generator: Generator, w: Tensor) -> Tensor:
    """w [N, latent_dim] -> w+ [N, n_latent, latent_dim], the same w in every row."""
    return w[:, None].repeat(1, generator.n_latent, 1)


def style_channels(generator: Generator) -> tuple[int, ...]:
    """How many channels each style has."""
    return tuple(affine.out_features for affine in generator.affines())


def unfold(w: Tensor) -> Tensor:
    """Undo the last leaky ReLU of the mapping network (its gain does not matter here)."""
    return torch.where(w >= 0, w, w / LEAK)


def fold(p: Tensor) -> Tensor:
    """The last leaky ReLU of the mapping network; inverse of `unfold`."""
    return F.leaky_relu(p, LEAK)


def fingerprint(generator: nn.Module) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the weights that give latents their
    meaning: the mapping network and the affine layers."""
    digest = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        if "mapping_layers" in name or "affine" in name:
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
