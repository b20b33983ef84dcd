"""How near drawings come to a photograph, and which way they come nearer.

First a latent is sought, then its residue: what the generator's features lack at RESIDUE px to draw
this one person (the feature tensor of Zhu et al. 2021, "Barbershop", and of Kang et al. 2021,
"BDInvert"). The latent stays as it was found, so that moves of it do what they do to any face; the
residue is added to whatever they make of it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.editing.losses import light_gradients, luminance
from styleclip_rt.editing.spaces import ROW_FREEDOM, Space, Whitening
from styleclip_rt.editing.step import EditStep
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.face_crop import FFHQ_FACE
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import Generator, to_w_plus, unfold
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.photos.encoder import PhotoEncoder
from styleclip_rt.settings import EditSettings

SMALL = 128
"""Of the drafts in px that an inversion begins with."""

ENCODED = 256
"""Principal axes that are taken from the encoder: to the smaller ones its half precision says
nothing, and they change next to nothing."""

COARSE = 64
LIGHT = 128
"""Sides in px at which colours, and gradients of luminance, are compared too."""

PIXELS, COLOURS, GRADIENTS, PERSON, CONTENT, DISTANCE = 1.0, 1.0, 4.0, 0.6, 0.3, 1e-4
"""Weights: L1 at the draft's size and at COARSE px, of gradients, of 1 - cosine of the identity's
and of CLIP's embeddings, and of the squared length of the whitened offset."""

FACE = 2.0
"""To a residue so much more important than the picture is the face in it."""

RESIDUE = 16
"""Side in px of the features that a residue is added to. Coarser ones hold less of a person; finer
ones hold pixels, which stay behind when an edit moves a mouth."""

STRENGTH = 2.0
"""Weight of the residue's mean square, in deviations of its channel: a smaller one says the same,
and leaves more to edits."""


class Goal(NamedTuple):
    """What a photograph looks like to the losses.

    Attributes:
        pixels: [1, 3, s, s] at the draft's size.
        coarse, gradients: [1, 3, COARSE, COARSE], and [1, 2, LIGHT - 1, LIGHT - 1].
        person, content: the identity network's and CLIP's unit embeddings, [1, E] and [1, D].
    """

    pixels: Tensor
    coarse: Tensor
    gradients: Tensor
    person: Tensor
    content: Tensor


class Reconstruction:
    """Drawings of one size around the mean face, in whitened w+, beside a photograph.

    Args:
        generator, clip, identity: frozen networks on one device.
        whitening: of the generator's latents.
        size: of the drawings in px.
        precision: "fp32" or "bf16", of drawing and judging.
    """

    def __init__(
        self,
        generator: Generator,
        clip: CLIP,
        identity: ArcFace | InceptionResnetV1,
        whitening: Whitening,
        size: int,
        precision: str = "fp32",
    ) -> None:
        settings = EditSettings(draft=size, id=PERSON, whiten=True)
        self.step = EditStep(generator, clip, identity, settings, precision)
        self.whitening = whitening
        mean = to_w_plus(generator, generator.mean_latent[None])
        self.space = Space(generator, "w+", mean, range(generator.n_latent), None, whitening)

    @torch.no_grad()
    def first(self, photograph: Tensor, encoder: PhotoEncoder | None) -> Tensor:
        """The offset of what the encoder sees in a photograph [1, 3, S, S] in [0, 1]; where there
        is no encoder, that of the mean face."""
        if encoder is None:
            return self.space.zero()
        mean = self.space.generator.mean_latent
        moved = unfold(encoder(photograph)) - unfold(mean)
        whitened = (moved @ self.whitening.inverse)[..., :ENCODED]
        whitened = F.pad(whitened, (0, moved.shape[-1] - whitened.shape[-1]))
        shared = whitened.mean(dim=1, keepdim=True)
        return torch.cat([shared, (whitened - shared) / ROW_FREEDOM], dim=1)

    @torch.no_grad()
    def goal(self, photograph: Tensor) -> Goal:
        """[1, 3, S, S] in [0, 1], aligned as FFHQ is, S no less than the size."""
        small = area_resample(photograph, self.step.resolution)
        return Goal(small, *_seen(small), self.step.identify(small), self.step.embed(small))

    def judge(self, goal: Goal, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weighted distance [] of an offset's drawing, the cosine [] of the identity's
        embeddings, and the gradient of the former."""
        with torch.enable_grad():
            offset = offset.detach().requires_grad_(True)
            image = self.step.draw(self.space.latent(offset))
            coarse, gradients = _seen(image)
            person = (self.step.identify(image) * goal.person).sum()
            content = (self.step.embed(image) * goal.content).sum()
            total = (
                PIXELS * (image - goal.pixels).abs().mean()
                + COLOURS * (coarse - goal.coarse).abs().mean()
                + GRADIENTS * (gradients - goal.gradients).abs().mean()
                + PERSON * (1 - person)
                + CONTENT * (1 - content)
                + DISTANCE * offset.square().sum()
            )
            (gradient,) = torch.autograd.grad(total, offset)
        return total.detach(), person.detach(), gradient

    def judge_residue(
        self, goal: Goal, w_plus: Tensor, residue: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same of the drawing of w+ [1, n_latent, latent_dim] with a residue [1, C, R, R] in
        deviations [1, C, 1, 1] of the features; the gradient is the residue's."""
        with torch.enable_grad():
            residue = residue.detach().requires_grad_(True)
            image = self.step.draw(w_plus, residue * deviation)
            person = (self.step.identify(image) * goal.person).sum()
            total = (
                _face_first(image, goal.pixels)
                + PERSON * (1 - person)
                + STRENGTH * residue.square().mean()
            )
            (gradient,) = torch.autograd.grad(total, residue)
        return total.detach(), person.detach(), gradient


def draft_sizes(generator: Generator, own: int) -> tuple[int, int]:
    """Of the drafts that an inversion begins with and of those that the best ends with, in px.

    Args:
        own: of the bundle's drafts.
    """
    small = min((size for size in generator.draft_sizes if SMALL <= size <= own), default=own)
    return small, own


def residue_shape(generator: Generator, own: int) -> tuple[int, ...]:
    """(C, R, R) of a residue, R being RESIDUE, or less where drafts are tiny; arguments as for
    `draft_sizes`."""
    small, _ = draft_sizes(generator, own)
    side = min(RESIDUE, (small or generator.resolution) // 2)
    mean = generator.styles(to_w_plus(generator, generator.mean_latent[None]))
    return tuple(generator.features(mean, side).shape[1:])


def _face_first(image: Tensor, photograph: Tensor) -> Tensor:
    """How far colours and gradients [1, 3, S, S] of a drawing are from a photograph's, at several
    sizes, FACE times as important where FFHQ has the face."""
    total = image.new_zeros(())
    sides = {min(side, image.shape[-1]) for side in (COARSE, LIGHT, image.shape[-1])}
    for side in sorted(sides):
        drawn, seen = F.adaptive_avg_pool2d(image, side), F.adaptive_avg_pool2d(photograph, side)
        top, left, bottom, right = (round(edge * side) for edge in FFHQ_FACE)
        for weight, window in (
            (1 / (1 + FACE), ...),
            (FACE / (1 + FACE), (..., slice(top, bottom), slice(left, right))),
        ):
            one, other = drawn[window], seen[window]
            lines = light_gradients(luminance(one)) - light_gradients(luminance(other))
            total = total + weight * (
                PIXELS * (one - other).abs().mean() + GRADIENTS * lines.abs().mean()
            )
    return total


def _seen(image: Tensor) -> tuple[Tensor, Tensor]:
    light = F.adaptive_avg_pool2d(luminance(image), LIGHT)
    return F.adaptive_avg_pool2d(image, COARSE), light_gradients(light)
