"""Latent mappers (Patashnik et al. 2021, section 5): networks that make an edit in one pass.

Every mapper gives an *offset*: the edited latent is ``latent + strength * offset``, so that
strength and the composition of several mappers are sums, made by whoever runs them.

Weights are held *effective*: the run-time scales of the equalised learning rate are folded in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2
OFFSET_SCALE = 0.1
DEPTH = 4
SHARPNESS = 40.0


class MapperNet(nn.Module):
    """Pixel norm, then equalised fully connected layers with leaky ReLU.

    The norm runs over dimension 1, as in StyleCLIP: over channels for a style [N, C], but over
    *rows* for a group of w+ [N, rows, D].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=1 / math.sqrt(width))
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width] or [N, rows, width] -> the same shape."""
        x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK) * 2**0.5
        return x


@dataclass(frozen=True)
class LevelsMapperConfig:
    """Shape of a `LevelsMapper`.

    Attributes:
        group_sizes: rows of w+ in the groups coarse, middle and fine, which follow each other.
        groups: those that the mapper moves.
        latent_dim: width of w.
    """

    group_sizes: tuple[int, int, int] = (4, 4, 10)
    groups: tuple[str, ...] = ("coarse", "middle", "fine")
    latent_dim: int = 512


class LevelsMapper(nn.Module):
    """StyleCLIP's mapper: one network for each group of rows of w+, each optional."""

    def __init__(self, config: LevelsMapperConfig) -> None:
        super().__init__()
        self.config = config
        self.n_latent = sum(config.group_sizes)
        self.nets = nn.ModuleDict({name: MapperNet(config.latent_dim) for name in config.groups})

    def forward(self, w_plus: Tensor) -> Tensor:
        """w+ [N, n_latent, latent_dim] -> its offset, zero in the groups without a network."""
        coarse, middle, fine = torch.split(w_plus, self.config.group_sizes, dim=1)
        parts = {"coarse": coarse, "middle": middle, "fine": fine}
        moves = [torch.zeros_like(part) for part in parts.values()]
        for i, (name, part) in enumerate(parts.items()):
            if name in self.config.groups:
                moves[i] = OFFSET_SCALE * self.nets[name](part)
        return torch.cat(moves, dim=1)


@dataclass(frozen=True)
class StyleSpaceMapperConfig:
    """Shape of a `StyleSpaceMapper`.

    Attributes:
        channels: channels of every style of the generator, in order.
        moved: indices of the styles that the mapper moves.
    """

    channels: tuple[int, ...]
    moved: tuple[int, ...]


class StyleSpaceMapper(nn.Module):
    """StyleCLIP's mapper in StyleSpace: one network for each style."""

    def __init__(self, config: StyleSpaceMapperConfig) -> None:
        super().__init__()
        self.config = config
        self.nets = nn.ModuleDict({str(i): MapperNet(config.channels[i]) for i in config.moved})

    def forward(self, styles: Sequence[Tensor]) -> list[Tensor]:
        """Styles, each [N, channels], -> an offset for each, zero for those without a network."""
        return [
            OFFSET_SCALE * self.nets[str(i)](style)
            if i in self.config.moved
            else torch.zeros_like(style)
            for i, style in enumerate(styles)
        ]
