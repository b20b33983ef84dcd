"""From an aligned photograph to the latent that draws it nearest, and to what that leaves out.

The editor's own way, backwards: Adam in whitened w+ (`editing.spaces`, so that what comes out is
still a face that can be edited) on the generator's drafts, small ones first, from where the
photograph's encoder (`photos.encoder`) points, or from the mean face of a generator without one.
StyleGAN2's projector (Karras et al. 2020, appendix D) does it in w for generated images.

No latent is one person. In an engine that can draw it, the residue of the latent that was found
(`editing.reconstruction`) is sought in the same way.

It is the same for every engine, and needs no torch: an engine judges.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.editing.schedule import learning_rate_factor

QUALITIES = {"fast": 24, "best": 80}
"""Steps to a latent at most, on small drafts (`editing.reconstruction`); of the best, the second
half on the bundle's."""

REFINING = {"fast": 20, "best": 32}
"""Steps to its residue at most, of the best on the bundle's drafts."""

LEARNING_RATE, ADAM_BETAS, ADAM_EPS = 0.12, (0.5, 0.9), 1e-8
"""Adam forgets soon here: its usual betas remember more steps than there are."""

PATIENCE, GAIN, HALVINGS = 8, 0.003, 3
"""Where so many steps have not lowered the total by so large a part of it, the rate is halved;
where it was halved so often already, it stops."""

Array = NDArray[np.float32]


class Step(NamedTuple):
    """How near a step came: the total, and the cosine of the identity embeddings."""

    total: float
    identity: float


class Descent(Protocol):
    """What steps bring nearer to one photograph in an engine."""

    def first(self) -> Array:
        """The offset [1, ...] to begin with."""

    def judge(self, offset: Array, fine: bool) -> tuple[float, float, Array]:
        """How far an offset's draft, a small one or the bundle's own, is from the photograph; the
        cosine of their identity embeddings; and the gradient of the distance."""


class Refinement(Descent, Protocol):
    """The search for a residue; its offsets are in deviations of the features."""

    def residue(self, offset: Array) -> Array:
        """The residue [C, R, R] of an offset, in numbers that half precision holds."""


class Inversion(Descent, Protocol):
    """The search for a latent; its offsets are in whitened w+."""

    def latent(self, offset: Array) -> Array:
        """The w+ [n_latent, latent_dim] of an offset."""

    def refinement(self, latent: Array) -> Refinement | None:
        """The search for the residue of w+ [n_latent, latent_dim]; None in an engine that draws
        none."""


class Inverted(NamedTuple):
    """What draws a photograph nearest: float32 w+ [n_latent, latent_dim] and its residue [C, R, R],
    if the engine draws one."""

    latent: Array
    residue: Array | None


def invert(
    inversion: Inversion,
    quality: str = "fast",
    on_step: Callable[[int, int, Step], None] | None = None,
) -> Inverted:
    """What draws the face of a photograph nearest.

    Args:
        inversion: of the photograph.
        quality: one of QUALITIES.
        on_step: called after each step with its number, how many there are at most, and how near it
            came.
    """
    best, steps, further = quality == "best", QUALITIES[quality], REFINING[quality]

    def told(step: int, near: Step) -> None:
        if on_step is not None:
            on_step(step, steps + further, near)

    stages = [(False, steps // 2), (True, steps - steps // 2)] if best else [(False, steps)]
    latent = inversion.latent(_descend(inversion, stages, told))
    refinement = inversion.refinement(latent)
    if refinement is None:
        return Inverted(latent, None)
    offset = _descend(refinement, [(best, further)], lambda step, near: told(steps + step, near))
    return Inverted(latent, refinement.residue(offset))


def _descend(
    descent: Descent, stages: Sequence[tuple[bool, int]], on_step: Callable[[int, Step], None]
) -> Array:
    """The nearest offset.

    Args:
        descent: of a photograph.
        stages: one after the other, whether on the bundle's own drafts and how many steps at most.
        on_step: called after each step with its number and how near it came.
    """
    steps, done, halved = sum(count for _, count in stages), 0, 0
    offset = descent.first()
    adam = _Adam(offset)
    for fine, count in stages:
        best, kept, since, expected = float("inf"), offset, 0, float("inf")
        step, end = done, done + count
        while step < end:
            total, identity, gradient = descent.judge(offset, fine)
            if total < best:
                best, kept = total, offset
            rate = LEARNING_RATE * learning_rate_factor(step, steps) / 2**halved
            offset = offset - adam.move(gradient, rate)
            on_step(step, Step(total, identity))
            since = 0 if best < expected else since + 1
            if since == 0:
                expected = best * (1 - GAIN)
            step += 1
            if since == PATIENCE:
                halved, since = halved + 1, 0
                step = step if halved <= HALVINGS else end
        done, offset = end, kept
    return offset


class _Adam:
    """Kingma and Ba 2015."""

    def __init__(self, offset: Array) -> None:
        self.mean, self.square, self.steps = np.zeros_like(offset), np.zeros_like(offset), 0

    def move(self, gradient: Array, rate: float) -> Array:
        """What a step subtracts."""
        self.steps += 1
        first, second = (np.float32(beta) for beta in ADAM_BETAS)
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient * gradient
        corrected = np.sqrt(self.square) / np.float32((1 - ADAM_BETAS[1] ** self.steps) ** 0.5)
        length = np.float32(rate / (1 - ADAM_BETAS[0] ** self.steps))
        return np.asarray(length * self.mean / (corrected + np.float32(ADAM_EPS)), np.float32)
