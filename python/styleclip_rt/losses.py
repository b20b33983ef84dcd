"""What an edit minimises.

StyleCLIP (Patashnik et al. 2021, equation 1): CLIP distance + l2 |latent - start|^2 + identity. Added
here: what the prompt does not speak of should stay, in pixels and in CLIP's own embedding.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class ImageEncoder(Protocol):
    """The image side of a CLIP."""

    image_resolution: int

    def encode_image(self, pixels: Tensor) -> Tensor: ...


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


def directional_gain(change: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Split a change of embedding [N, D] along a unit text direction [N, D].

    Returns:
        the signed length along it [N] and the squared length across it [N].
    """
    along = (change * direction).sum(dim=1)
    across = (change - along[:, None] * direction).square().sum(dim=1)
    return along, across


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


def relevance(encoder: ImageEncoder, image: Tensor, direction: Tensor, size: int = 16) -> Tensor:
    """Where the image would have to change to follow a text direction.

    The magnitude of the gradient of the embedding along `direction`, averaged to size x size,
    smoothed, and divided by its largest value.

    Args:
        encoder: a CLIP.
        image: [N, 3, H, W] in [0, 1].
        direction: [N, D] unit text directions.

    Returns:
        [N, 1, size, size] in [0, 1].
    """
    image = F.adaptive_avg_pool2d(image.detach(), encoder.image_resolution).requires_grad_(True)
    with torch.enable_grad():
        score = (encoder.encode_image(image) * direction).sum()
        (gradient,) = torch.autograd.grad(score, image)
    energy = F.adaptive_avg_pool2d(gradient.square().sum(dim=1, keepdim=True), size).sqrt()
    energy = F.avg_pool2d(energy, 3, stride=1, padding=1, count_include_pad=False)
    peak: Tensor = energy / energy.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    return peak
