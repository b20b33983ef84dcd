"""The units in which moves of w+ are learnt: standard deviations of the style channels."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from styleclip_rt.models.generator import Generator

STATISTICS = 4096


class StyleUnits(nn.Module):
    """Lets directions of w+ be learnt in the generator's own units.

    Adam moves every number by about the same amount a step, so what the numbers stand for decides
    what is learnt first. Here they are, for each direction, a move of w that all rows share, in
    principal components, and then a move of every style channel, each in standard deviations.
    Wu et al. 2021 (StyleSpace) show that single channels are what disentangles best.
    """

    def __init__(self, axes: Tensor, lifts: list[Tensor]) -> None:
        """axes [latent_dim, latent_dim]; lifts: for each row [channels of that row, latent_dim]."""
        super().__init__()
        self.axes = nn.Buffer(axes, persistent=False)
        self.widths = [lift.shape[0] for lift in lifts]
        for i, lift in enumerate(lifts):
            self.register_buffer(f"lift{i}", lift, persistent=False)

    @property
    def width(self) -> int:
        """Numbers that make up one direction."""
        return self.axes.shape[0] + sum(self.widths)

    def forward(self, units: Tensor) -> Tensor:
        """[M, width] -> [M, rows, latent_dim]."""
        shared, *parts = torch.split(units, [self.axes.shape[0], *self.widths], dim=1)
        moves = [part @ getattr(self, f"lift{i}") for i, part in enumerate(parts)]
        return (shared @ self.axes)[:, None] + torch.stack(moves, dim=1)


@dataclass(frozen=True)
class StyleStatistics:
    """How w and the styles of a generator vary.

    mean [latent_dim]; axes [latent_dim, latent_dim], on the CPU, row i principal axis i of w times
    its standard deviation, largest first; deviations, of each style [channels].
    """

    mean: Tensor
    axes: Tensor
    deviations: list[Tensor]

    @property
    def coordinates(self) -> Tensor:
        """[latent_dim, latent_dim]: row i times w tells how many standard deviations w lies along
        axis i."""
        return self.axes / self.axes.square().sum(dim=1, keepdim=True)

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator) -> "StyleStatistics":
        random_ = torch.Generator().manual_seed(0)
        z = torch.randn(STATISTICS, generator.latent_dim, generator=random_)
        w = generator.mapping(z.to(generator.mean_latent.device))
        # On the CPU, whose axes point the same way every time.
        variance, vectors = torch.linalg.eigh(torch.cov(w.T.double()).cpu())
        axes = (vectors * variance.clamp_min(1e-12).sqrt()).T.flip(0).float()
        styles = generator.styles(w[:, None].expand(-1, generator.n_latent, -1))
        return cls(w.mean(dim=0), axes, [s.std(dim=0).clamp_min(1e-6) for s in styles])


@torch.no_grad()
def style_lifts(generator: Generator, rows: list[int], deviations: list[Tensor]) -> list[Tensor]:
    """For each row, the moves of w [channels, latent_dim] that move its style channels by one
    standard deviation each (as nearly as its affine layers can, by their pseudo-inverse)."""
    dim, count = generator.latent_dim, generator.n_latent
    probe = torch.eye(dim, device=generator.mean_latent.device)[:, None].expand(-1, count, -1)
    origin = generator.styles(torch.zeros_like(probe[:1]))
    responses = [at - zero for at, zero in zip(generator.styles(probe), origin, strict=True)]
    lifts = []
    for row in rows:
        mine = [i for i, fed_by in enumerate(generator.style_rows) if fed_by == row]
        response = torch.cat([responses[i] for i in mine], dim=1).double().cpu()
        inverse = torch.linalg.pinv(response, rtol=1e-3)
        deviation = torch.cat([deviations[i] for i in mine]).double().cpu()
        lifts.append((deviation[:, None] * inverse).float().to(probe.device))
    return lifts
