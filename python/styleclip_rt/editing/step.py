"""One step of an edit as a pure function of tensors.

The editor calls it step by step. It keeps no state and decides nothing by the data, so the same
code can be captured (CUDA graph) or traced, gradient and all, into a graph that needs no Python.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.editing.losses import Preservation, length_across, smooth_cosine
from styleclip_rt.editing.schedule import ADAM_BETAS, LOSSES
from styleclip_rt.editing.spaces import Space
from styleclip_rt.editing.views import apply_views
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import Generator
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.settings import EditSettings

ADAM_EPS = 1e-8


class StepState(NamedTuple):
    """What a step hands to the next: the offset (see `Space`) and Adam's two moments of it, all
    float32 of one shape [N, ...]."""

    offset: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def zero(cls, space: Space) -> "StepState":
        """At the start of an edit."""
        return cls(space.zero(), space.zero(), space.zero())


class Targets(NamedTuple):
    """What stays the same through an edit.

    Attributes:
        text: unit embeddings [N, D] of the prompts.
        direction: unit vectors [N, D] from the neutral text's embedding to the prompts'.
        embedding: CLIP's unit embeddings [N, D] of the originals.
        identity: the identity network's unit embeddings [N, E] of the originals.
        preservation: what the originals look like, and where they should stay so.
        residue: of the faces, as `Generator.synthesis` takes it, [N, C, R, R]; None for none.
    """

    text: Tensor
    direction: Tensor
    embedding: Tensor
    identity: Tensor
    preservation: Preservation
    residue: Tensor | None = None


class EditStep:
    """One step of edits of one kind.

    What the settings decide here is the kind: space, draft size, CLIP loss, mode, and whether the
    identity network and the preservation are needed at all. The numbers (weights, rates, views)
    come with every call.

    Args:
        generator, clip, identity: frozen networks on one device; without an identity network its
            loss is zero.
        settings: of the edit.
        precision: "bf16" draws and judges under autocast; latents, embeddings, losses and Adam are
            float32.
    """

    def __init__(
        self,
        generator: Generator,
        clip: CLIP,
        identity: ArcFace | InceptionResnetV1 | None,
        settings: EditSettings,
        precision: str = "fp32",
    ) -> None:
        self.generator, self.clip, self.identity = generator, clip, identity
        self.precision = precision
        self.resolution = settings.draft or generator.resolution
        self.directional = settings.clip == "directional"
        self.tied = settings.mode == "edit"
        self.uses_identity = self.tied and settings.id > 0 and identity is not None
        self.uses_preservation = self.tied and settings.preserve > 0

    def draw(self, latent: Tensor | list[Tensor], residue: Tensor | None = None) -> Tensor:
        """w+ [N, n_latent, latent_dim], or styles, and a residue [N, C, R, R] -> the draft
        [N, 3, H, W], about [0, 1]."""
        with self._arithmetic(latent if isinstance(latent, Tensor) else latent[0]):
            image = self.generator.synthesis(latent, self.resolution, residue=residue)
        return torch.add(image.new_full((), 0.5, dtype=torch.float32), image.float(), alpha=0.5)

    def targets(
        self,
        start: Tensor | list[Tensor],
        text: Tensor,
        neutral: Tensor,
        relevance: Tensor,
        residue: Tensor | None = None,
    ) -> Targets:
        """Look at the originals.

        Args:
            start: w+ [N, n_latent, latent_dim], or styles.
            text, neutral: unit text embeddings [N, D] of the prompts and [1, D] of "a face".
            relevance: where each prompt may change a face, [N, 1, h, w] in [0, 1].
            residue: of the faces, [N, C, R, R]; None for none.
        """
        original = self.draw(start, residue)
        return Targets(
            text=text,
            direction=F.normalize(text - neutral, dim=1),
            embedding=self.embed(original),
            identity=self.identify(original),
            preservation=Preservation.of(original, 1 - relevance),
            residue=residue,
        )

    def _arithmetic(self, x: Tensor) -> torch.autocast:
        """Within it, networks multiply in the step's precision."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def embed(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] -> CLIP's unit embeddings [N, D]."""
        with self._arithmetic(images):
            return self.clip.encode_image(images)

    def identify(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] -> the identity network's unit embeddings [N, E]; E is 0 without
        one."""
        if self.identity is None:
            return images.new_zeros(len(images), 0)
        with self._arithmetic(images):
            return self.identity.encode(images)

    def __call__(
        self,
        space: Space,
        state: StepState,
        targets: Targets,
        weights: Tensor,
        schedule: Tensor,
        views: Tensor,
    ) -> tuple[StepState, dict[str, Tensor], Tensor]:
        """Judge the drafts of an offset and take one Adam step (Kingma and Ba 2015) from it.

        Args:
            space: where the offset is counted from.
            state: from the step before, `StepState.zero` for the first.
            targets: from `targets`.
            weights: [5], `edit_settings.loss_weights`.
            schedule: [2], this step's row of `edit_settings.adam_schedule`.
            views: [V - 1, 15], this step's row of `views.random_views`.

        Returns:
            the next state; LOSSES of the given one, [N] each, unweighted but for their total; and
            the drafts that were judged, [N, 3, H, W], about [0, 1].
        """
        with torch.enable_grad():
            offset = state.offset.detach().requires_grad_(True)
            image = self.draw(space.latent(offset), targets.residue)
            losses = self.losses(image, offset, targets, weights, views)
            (gradient,) = torch.autograd.grad(losses["total"].sum(), offset)
        with torch.no_grad():
            beta1, beta2 = ADAM_BETAS
            mean = state.mean.lerp(gradient, 1 - beta1)
            square = (state.square * beta2).addcmul(gradient, gradient, value=1 - beta2)
            rate, root = schedule.unbind(0)
            moved = state.offset + -rate * mean / (square.sqrt() / root + ADAM_EPS)
        detached = {name: losses[name].detach() for name in LOSSES}
        return StepState(moved, mean, square), detached, image.detach()

    def losses(
        self,
        image: Tensor,
        offset: Tensor,
        targets: Targets,
        weights: Tensor,
        views: Tensor,
        seen: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Every term [N]; those that cannot matter are zero.

        `seen` is what CLIP is shown of `image`, if that is not all of it; the rest as above.
        """
        clip_target, id_weight, l2_weight, preserve_weight, across_weight = weights.unbind(0)
        small = area_resample(image if seen is None else seen, self.clip.image_resolution)
        embedding = self.embed(apply_views(small, views))
        embedding = embedding.view(views.shape[0] + 1, image.shape[0], -1)
        change = (embedding - targets.embedding).mean(dim=0)
        if self.directional:
            reached = smooth_cosine(change, targets.direction)
        else:
            reached = (embedding * targets.text).sum(dim=2).mean(dim=0)
        clip = F.relu(clip_target - reached)
        across = length_across(change, targets.direction)
        l2 = offset.square().flatten(1).sum(dim=1)
        identity = preserve = torch.zeros_like(clip)
        if self.uses_identity:
            identity = 1 - (self.identify(image) * targets.identity).sum(dim=1)
        if self.uses_preservation:
            preserve = targets.preservation.distance(image)
        total = clip
        if self.tied:
            total = (
                total
                + id_weight * identity
                + l2_weight * l2
                + preserve_weight * preserve
                + across_weight * across
            )
        return {
            "total": total,
            "clip": clip,
            "id": identity,
            "l2": l2,
            "preserve": preserve,
            "across": across,
        }
