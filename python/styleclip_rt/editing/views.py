"""Random views of one image: crop, scale, perspective, colour.

A small image tower is easy to fool with patterns that survive only in one exact alignment;
averaging over views takes them away.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.random_numbers import Random

if TYPE_CHECKING:
    from torch import Tensor

PARAMETERS = 15
"""Of one view: a homography (9 numbers, row by row), then gain and shift of each colour."""


def random_views(steps: int, count: int, strength: float, seed: int = 0) -> NDArray[np.float32]:
    """The parameters of `count` views at each step: float32 [steps, count - 1, PARAMETERS].

    The first view of every step is the plain image and needs none. `strength`, 0 to 1, says how far
    the others vary; at 0 they are the image.
    """
    random = Random(seed)
    views = [_random_view(random, strength) for _ in range(steps * (count - 1))]
    return np.array(views, np.float32).reshape(steps, count - 1, PARAMETERS)


def _random_view(random: Random, s: float) -> NDArray[np.float32]:
    zoom = 1 - 0.5 * s + 0.5 * s * random.signed(1)
    homography = np.eye(3, dtype=np.float32)
    homography[:2, :2] = np.eye(2, dtype=np.float32) * zoom + 0.3 * s * random.signed(2, 2) * 0.5
    homography[:2, 2] = 0.5 * s * random.signed(2)
    homography[2, :2] = 0.3 * s * random.signed(2)
    gain = 1 + 0.3 * s * random.signed(3)
    shift = 0.1 * s * random.signed(3)
    return np.concatenate((homography.ravel(), gain, shift))


def apply_views(images: "Tensor", parameters: "Tensor") -> "Tensor":
    """[N, 3, H, W] in [0, 1] and parameters [V - 1, PARAMETERS] -> [V * N, 3, H, W], view-major;
    the first view is plain."""
    import torch

    return torch.cat([images, *(_view(images, row) for row in parameters.unbind(0))])


def _view(images: "Tensor", parameters: "Tensor") -> "Tensor":
    import torch
    from torch.nn import functional as F

    n, _, height, width = images.shape
    homography = parameters[:9].view(3, 3)
    ys = torch.linspace(-1 + 1 / height, 1 - 1 / height, height, device=images.device)
    xs = torch.linspace(-1 + 1 / width, 1 - 1 / width, width, device=images.device)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), dim=-1) @ homography.T
    grid = (points[..., :2] / points[..., 2:]).to(images.dtype)
    view = F.grid_sample(
        images, grid.expand(n, -1, -1, -1), padding_mode="reflection", align_corners=False
    )
    gain, shift = parameters[9:].to(images.dtype).view(2, 1, 3, 1, 1)
    varied: torch.Tensor = view * gain + shift
    return varied
