"""From an aligned photograph to the latent that draws it nearest.

The editor's own way, backwards: Adam in whitened w+ (`editing.spaces`, so that what comes out is
still a face that can be edited) on the generator's draft, from the mean face. StyleGAN2's projector
(Karras et al. 2020, appendix D) does it in w for generated images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.editing.losses import light_gradients, luminance
from styleclip_rt.editing.schedule import learning_rate_factor
from styleclip_rt.editing.spaces import Space, Whitening
from styleclip_rt.editing.step import EditStep
from styleclip_rt.models.generator import to_w_plus
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.runtime.torch_networks import TorchNetworks
from styleclip_rt.settings import EditSettings

QUALITIES = {"fast": 60, "best": 200}
"""Steps of each."""

LEARNING_RATE = 0.12
COARSE = 64
LIGHT = 128
"""Sides in px at which colours, and gradients of luminance, are compared too."""

PIXELS, COLOURS, GRADIENTS, PERSON, CONTENT, DISTANCE = 1.0, 1.0, 4.0, 0.6, 0.3, 1e-4
"""Weights: L1 at the draft's size and at COARSE px, of gradients, of 1 - cosine of the identity's
and of CLIP's embeddings, and of the squared length of the whitened offset."""


class Step(NamedTuple):
    """How near a step came: the total, and the cosine of the identity embeddings."""

    total: float
    identity: float


def invert(
    networks: TorchNetworks,
    photograph: Tensor,
    quality: str = "fast",
    precision: str = "fp32",
    on_step: Callable[[int, int, Step], None] | None = None,
) -> NDArray[np.float32]:
    """The w+ [n_latent, latent_dim] that draws the face of a photograph nearest.

    Args:
        networks: whose latent it becomes.
        photograph: float32 [3, S, S] in [0, 1], RGB, aligned as FFHQ is.
        quality: one of QUALITIES.
        precision: "fp32" or "bf16", of drawing and judging.
        on_step: called after each step with its number, how many there are, and how near it came.
    """
    generator, steps = networks.generator, QUALITIES[quality]
    draft = networks.bundle.draft_resolution
    settings = EditSettings(draft=draft, id=PERSON, whiten=True)
    draw = EditStep(generator, networks.clip, networks.identity, settings, precision)
    goal = _Goal(draw, photograph.to(networks.device)[None])
    mean = to_w_plus(generator, generator.mean_latent[None])
    space = Space(generator, "w+", mean, range(generator.n_latent), None, Whitening(generator))
    offset = space.zero().requires_grad_(True)
    optimiser = torch.optim.Adam([offset], lr=LEARNING_RATE)
    best, kept = float("inf"), offset.detach().clone()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * learning_rate_factor(step, steps)
        total, identity = goal.distance(draw.draw(space.latent(offset)))
        total = total + DISTANCE * offset.square().sum()
        (offset.grad,) = torch.autograd.grad(total, offset)
        reached = float(total.detach())
        if reached < best:
            best, kept = reached, offset.detach().clone()
        optimiser.step()
        if on_step is not None:
            on_step(step, steps, Step(reached, float(identity)))
    with torch.no_grad():
        latent = space.w_plus(kept)[0]
    nearest: NDArray[np.float32] = latent.float().cpu().numpy()
    return nearest


class _Goal:
    """What the photograph looks like to the losses, computed once."""

    def __init__(self, draw: EditStep, photograph: Tensor) -> None:
        self.step = draw
        with torch.no_grad():
            small = area_resample(photograph, draw.resolution)
            self.pixels = small
            self.coarse, self.gradients = _seen(small)
            self.person = draw.identify(small)
            self.content = draw.embed(small)

    def distance(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 3, H, W] of the draft's size -> the weighted distance, and the identity's cosine."""
        coarse, gradients = _seen(image)
        person = (self.step.identify(image) * self.person).sum()
        content = (self.step.embed(image) * self.content).sum()
        total = (
            PIXELS * (image - self.pixels).abs().mean()
            + COLOURS * (coarse - self.coarse).abs().mean()
            + GRADIENTS * (gradients - self.gradients).abs().mean()
            + PERSON * (1 - person)
            + CONTENT * (1 - content)
        )
        return total, person.detach()


def _seen(image: Tensor) -> tuple[Tensor, Tensor]:
    light = F.adaptive_avg_pool2d(luminance(image), LIGHT)
    return F.adaptive_avg_pool2d(image, COARSE), light_gradients(light)
