"""The losses of an edit's steps, and their rates and weights. Needs no torch."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.errors import StyleClipError
from styleclip_rt.settings import EditSettings

LOSSES = ("total", "clip", "id", "l2", "preserve", "across")
NEUTRAL_PROMPT = "a face"
ADAM_BETAS = (0.9, 0.999)
MAX_PROMPT_LENGTH = 1000


def check_losses(losses: Mapping[str, NDArray[np.float32]], step: int) -> None:
    """Be sure that an edit can go on from what a step judged.

    Args:
        losses: [N] each, by name.
        step: which step, from 0.

    Raises:
        StyleClipError: one of them is no longer finite.
    """
    lost = [name for name, values in losses.items() if not np.isfinite(values).all()]
    if lost:
        # The total is lost with any other, which says more.
        which = next((name for name in lost if name != "total"), lost[0])
        raise StyleClipError(
            f"the loss {which!r} is no longer a finite number at step {step + 1}: start from "
            "another face, or set a lower learning rate or weights."
        )


def learning_rate_factor(step: int, steps: int) -> float:
    """StyleGAN2's projector schedule: up over 5 % of the steps, down as a cosine over 25 %."""
    t = step / steps
    down = min(1.0, (1.0 - t) / 0.25)
    down = 0.5 - 0.5 * math.cos(down * math.pi)
    return down * min(1.0, (step + 1) / max(1.0, 0.05 * steps))


def adam_schedule(settings: EditSettings) -> list[tuple[float, float]]:
    """For each step the two numbers that Adam needs of it: the learning rate divided by the first
    moment's bias correction, and the root of the second's (Kingma and Ba 2015, section 2)."""
    rows = []
    for step in range(settings.steps):
        rate = settings.learning_rate * learning_rate_factor(step, settings.steps)
        first, second = (1 - beta ** (step + 1) for beta in ADAM_BETAS)
        rows.append((rate / first, math.sqrt(second)))
    return rows


def loss_weights(settings: EditSettings) -> tuple[float, float, float, float, float]:
    """The numbers that an edit step weighs its losses with, in the order that it takes them:
    clip_target, then the weights of id, l2, preserve and across."""
    return (settings.clip_target, settings.id, settings.l2, settings.preserve, settings.across)
