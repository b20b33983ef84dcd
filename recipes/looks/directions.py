"""Solve for directions in StyleSpace: as much of a look as possible for as little of all else.

A direction d, in standard deviations of the styles, is the same for every face. What it does to a
measure of one face is, to first order, that measure's gradient times d. Over some dozens of faces
the solution of

    minimise  sum over what is held (gradient . d / spread)^2 / faces + ridge * d' P^-1 d - gain . d

is a linear system as large as there are gradients. P is what is natural: in part every channel by
itself, in part as channels vary together in random faces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gradients:
    """Gradients of measures with respect to the styles, of some faces.

    names: of the measure of every row.
    rows: [K, channels], in units of the measure a standard deviation of a channel.
    values: [K], the measures.
    """

    names: tuple[str, ...]
    rows: Tensor
    values: Tensor

    def of(self, name: str) -> Tensor:
        """The rows of one measure."""
        return self.rows[[i for i, each in enumerate(self.names) if each == name]]

    def spread(self, name: str) -> float:
        """Standard deviation of one measure over the faces."""
        values = self.values[[i for i, each in enumerate(self.names) if each == name]]
        return float(values.std())


class Solver:
    """Solves for directions that share gradients and prior.

    Args:
        gradients: of what is moved and of what is held.
        spread: measure -> what counts as one of it.
        natural: [channels, D], how channels vary together: its rows have about unit length.
        share: of `natural` in the prior, 0 to 1.
        ridge: weight of a direction's length.
    """

    def __init__(
        self,
        gradients: Gradients,
        spread: Mapping[str, float],
        natural: Tensor,
        share: float = 0.5,
        ridge: float = 1e-3,
    ) -> None:
        self.gradients, self.spread, self.ridge = gradients, dict(spread), ridge
        self.natural, self.share = natural, share
        counts = {name: gradients.names.count(name) for name in set(gradients.names)}
        scale = [1 / (self.spread[name] * counts[name] ** 0.5) for name in gradients.names]
        self.rows = gradients.rows * torch.tensor(scale, dtype=torch.float32)[:, None]
        along = self.rows @ natural
        own, together = self.rows @ self.rows.T, along @ along.T
        self._gram = (1 - share) * own + share * together

    def gain(self, target: Mapping[str, float]) -> Tensor:
        """[channels]: how fast a weighted sum of measures, in spreads, rises on average."""
        total = sum(abs(weight) for weight in target.values())
        means = [
            weight / total / self.spread[name] * self.gradients.of(name).mean(0)
            for name, weight in target.items()
        ]
        return torch.stack(means).sum(0)

    def solve(
        self,
        target: Mapping[str, float],
        free: Sequence[str] = (),
        hold: Mapping[str, float] | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        """The direction [channels] that raises the target by one spread.

        Args:
            target: measure -> weight.
            free: measures that may do what they like.
            hold: measure -> how much more than 1 it is held.
            start: [channels], a direction to be cleaned instead of the gain's own.
        """
        gain = self.gain(target)
        raised = self._prior(gain[:, None])[:, 0] if start is None else start
        direction = self.clean(raised, (*target, *free), hold)
        return direction / (gain @ direction)

    def clean(
        self, direction: Tensor, free: Sequence[str], hold: Mapping[str, float] | None = None
    ) -> Tensor:
        """The direction nearest to another that leaves alone what is not free."""
        weight = torch.tensor(
            [0.0 if name in free else (hold or {}).get(name, 1.0) for name in self.gradients.names]
        )
        held = weight > 0
        weight, rows = weight[held], self.rows[held]
        gram = self._gram[held][:, held] * weight[:, None] * weight
        matrix = gram + self.ridge * torch.eye(len(gram))
        moved = torch.linalg.solve(matrix, weight * (rows @ direction)) * weight
        return direction - self._prior(rows.T @ moved[:, None])[:, 0]

    def report(self, direction: Tensor) -> dict[str, float]:
        """Measure -> what the direction does to it on average, in spreads."""
        return {
            name: float((self.gradients.of(name) @ direction).mean()) / self.spread[name]
            for name in sorted(set(self.gradients.names))
        }

    def _prior(self, x: Tensor) -> Tensor:
        return (1 - self.share) * x + self.share * (self.natural @ (self.natural.T @ x))
