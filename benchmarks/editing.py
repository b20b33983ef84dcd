"""The editor's own step, ready to be run again and again outside of an edit."""

import torch
from torch import Tensor

from styleclip_rt.editing.schedule import adam_schedule, loss_weights
from styleclip_rt.editing.spaces import Space, Whitening, rows_of
from styleclip_rt.editing.step import EditStep, StepState
from styleclip_rt.editing.views import random_views
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import Generator
from styleclip_rt.settings import EditSettings


class Edit:
    """An edit that goes on for ever: `step` draws, judges, and takes one Adam step.

    It does what `styleclip_rt.runtime.editor` does between two steps of its progress bar, less
    the book-keeping of losses.
    """

    def __init__(
        self,
        generator: Generator,
        clip: CLIP,
        identity: ArcFace | InceptionResnetV1,
        settings: EditSettings,
        start: Tensor,
        tokens: Tensor,
        precision: str = "fp32",
    ) -> None:
        """start: w+ [N, L, D]; tokens: [2, T], the prompt and the neutral text."""
        self.settings = settings
        self.edit_step = EditStep(generator, clip, identity, settings, precision)
        whitening = Whitening(generator) if settings.whiten else None
        rows = rows_of(generator, settings.layers)
        self.space = Space(generator, settings.space, start, rows, whitening=whitening)
        self.state = StepState.zero(self.space)
        with torch.no_grad():
            text, neutral = clip.encode_text(tokens)[:, None]
            text = text.expand(len(start), -1)
            everywhere = start.new_ones(len(start), 1, 1, 1)
            self.targets = self.edit_step.targets(start, text, neutral, everywhere)
        self.weights = start.new_tensor(loss_weights(settings))
        self.schedule = start.new_tensor(adam_schedule(settings))
        views = random_views(settings.steps, settings.views, settings.view_strength)
        self.views = torch.from_numpy(views).to(start)
        self.done = 0

    def step(self) -> dict[str, Tensor]:
        """The losses [N] of where it stood before the step."""
        row = self.done % self.settings.steps
        self.state, losses, _ = self.edit_step(
            self.space,
            self.state,
            self.targets,
            self.weights,
            self.schedule[row],
            self.views[row],
        )
        self.done += 1
        return losses
