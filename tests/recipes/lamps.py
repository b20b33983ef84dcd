"""A generator whose styles are two lamps, and a data set of its faces."""

import torch

from recipes.labels.regions import to_oklab


class UpperHalf:
    """Stands in for the masks of a data set: hair above, all else below."""

    def of(self, rows: list[int]) -> torch.Tensor:
        masks = torch.zeros(len(rows), 5, 64, 64)
        masks[:, 0, :32] = 1
        masks[:, 1, 32:, :32] = masks[:, 2, 32:, 32:] = 1
        return masks


class Rows:
    """Stands in for a data set."""

    def __init__(self, latents: torch.Tensor) -> None:
        self.latents = latents

    def __len__(self) -> int:
        return len(self.latents)

    def w(self, rows: list[int]) -> torch.Tensor:
        return self.latents[rows]


class TwoLamps:
    """Stands in for a generator: one style lights the whole picture, the other its lower half."""

    n_latent, latent_dim, resolution, style_rows = 2, 4, 64, (0, 1)
    mean_latent = torch.zeros(4)

    def mapping(self, z: torch.Tensor) -> torch.Tensor:
        return z

    def styles(self, w_plus: torch.Tensor) -> list[torch.Tensor]:
        return [w_plus[:, 0], w_plus[:, 1]]

    def synthesis(self, w_plus: torch.Tensor, resolution: int) -> torch.Tensor:
        all_, lower = 0.1 * w_plus[:, 0, 0], 0.1 * w_plus[:, 1, 1]
        halves = torch.stack((all_, all_ + lower), 1).repeat_interleave(resolution // 2, 1)
        return halves[:, None, :, None].expand(-1, 3, -1, resolution)

    def halves(self, w_plus: torch.Tensor) -> torch.Tensor:
        """Lightness of the upper and the lower half in OKLab, [N, 2]."""
        image = self.synthesis(w_plus, 64) * 0.5 + 0.5
        return to_oklab(image)[:, 0].unflatten(1, (2, -1)).mean(dim=(2, 3))
