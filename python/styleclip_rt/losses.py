"""What an edit minimises.

StyleCLIP (Patashnik et al. 2021, equation 1): CLIP distance + l2 |latent - start|^2 + identity.
Added here: what the prompt does not speak of should stay, in pixels and in CLIP's own embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARPNESS = 20.0


class Views:
    """Random views of one image: crop, scale, perspective, colour.

    A small image tower is easy to fool with patterns that survive only in one exact alignment;
    averaging over views takes them away.
    """

    def __init__(self, count: int, strength: float, seed: int) -> None:
        self.count, self.strength = count, strength
        self._random = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] -> [count * N, 3, H, W], view-major; the first view is plain."""
        views = [images]
        for _ in range(self.count - 1):
            views.append(self._view(images))
        return torch.cat(views)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._random) * 2 - 1

    def _view(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        s = self.strength
        zoom = 1 - 0.5 * s + 0.5 * s * self._uniform(1)
        homography = torch.eye(3)
        homography[:2, :2] = torch.eye(2) * zoom + 0.3 * s * self._uniform(2, 2) * 0.5
        homography[:2, 2] = 0.5 * s * self._uniform(2)
        homography[2, :2] = 0.3 * s * self._uniform(2)
        ys = torch.linspace(-1 + 1 / height, 1 - 1 / height, height)
        xs = torch.linspace(-1 + 1 / width, 1 - 1 / width, width)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        points = torch.stack((x, y, torch.ones_like(x)), dim=-1) @ homography.T
        grid = (points[..., :2] / points[..., 2:]).to(images)
        view = F.grid_sample(
            images,
            grid.expand(n, -1, -1, -1),
            padding_mode="reflection",
            align_corners=False,
        )
        gain = (1 + 0.3 * s * self._uniform(1, 3, 1, 1)).to(images)
        return view * gain + (0.1 * s * self._uniform(1, 3, 1, 1)).to(images)


def length_across(change: Tensor, direction: Tensor) -> Tensor:
    """Squared length [N] of the part of a change of embedding [N, D] that is not along a unit text
    direction [N, D]: what changed that the prompt did not ask for."""
    along = (change * direction).sum(dim=1, keepdim=True)
    return (change - along * direction).square().sum(dim=1)


def luminance(image: Tensor) -> Tensor:
    """[N, 3, H, W] -> Rec. 709 luma [N, 1, H, W]."""
    weights = image.new_tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)
    return (image * weights).sum(dim=1, keepdim=True)


class Preservation:
    """Distance to the original, weighted by how little the prompt is about a place.

    L1 of pixels at 32 px (colour and light) plus L1 of luminance gradients at 128 px (structure).
    """

    def __init__(self, original: Tensor, weight: Tensor) -> None:
        """original [N, 3, H, W] in [0, 1]; weight [N, 1, h, w] in [0, 1]."""
        self._low, self._gradients = self._parts(original)
        self._low_weight = F.adaptive_avg_pool2d(weight, self._low.shape[-1])
        self._gradient_weight = F.interpolate(
            weight, self._gradients.shape[-2:], mode="bilinear", align_corners=False
        )

    @staticmethod
    def _parts(image: Tensor) -> tuple[Tensor, Tensor]:
        low = F.adaptive_avg_pool2d(image, 32)
        light = F.adaptive_avg_pool2d(luminance(image), 128)
        right = light[..., :-1, 1:] - light[..., :-1, :-1]
        down = light[..., 1:, :-1] - light[..., :-1, :-1]
        return low, torch.cat((right, down), dim=1)

    def __call__(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] -> distance [N]."""
        low, gradients = self._parts(image)
        pixels = ((low - self._low).abs() * self._low_weight).mean(dim=(1, 2, 3))
        structure = ((gradients - self._gradients).abs() * self._gradient_weight).mean(
            dim=(1, 2, 3)
        )
        return pixels + structure


class RegionPrior(nn.Module):
    """Where in an aligned face a prompt may change things.

    Faces are aligned, so lips, hair and skin lie nearly always in the same places. For each of some
    reference phrases there is a map of where that look changes a face; a prompt gets the maps of
    the phrases that its embedding is near to.
    """

    def __init__(self, phrases: Sequence[str], maps: Tensor) -> None:
        """maps [len(phrases), h, w] in [0, 1]."""
        super().__init__()
        self.phrases = list(phrases)
        self.maps = nn.Buffer(maps)

    def relevance(self, prompts: Tensor, phrases: Tensor) -> Tensor:
        """Unit embeddings of prompts [N, D] and of the phrases [P, D], in any CLIP's space ->
        [N, 1, h, w] in [0, 1], 1 where the prompt is most likely to change something."""
        share = torch.softmax(SHARPNESS * prompts @ phrases.T, dim=1)
        mixed = torch.einsum("np,phw->nhw", share, self.maps)[:, None]
        return (mixed / mixed.amax(dim=(2, 3), keepdim=True).clamp_min(1e-6)).clamp(0, 1)
