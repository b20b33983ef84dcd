"""The networks of a bundle, and what is known of looks in its latents."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from styleclip_rt.bundle.manifest import Manifest
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import Generator, unfold
from styleclip_rt.models.looks import LookDirections, RegionPrior
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2
from styleclip_rt.models.tokenizer import share_known
from styleclip_rt.settings import EditSettings


@dataclass(frozen=True)
class Bundle:
    """The networks of a bundle, on the CPU, in float32, in eval mode and frozen.

    ``identity`` knows persons, None for a generator of something else than faces;
    ``known_tokens`` are the text tokens that CLIP saw in training, None where that is unrecorded;
    ``region_prior`` says where in a face a prompt may change things, None where it may anywhere;
    ``look_directions`` say which way a look lies in the generator's latents, None where unmeasured.
    """

    name: str
    manifest: Manifest
    generator: StyleGAN2 | MobileStyleGAN
    clip: CLIP
    identity: ArcFace | InceptionResnetV1 | None
    known_tokens: frozenset[int] | None = None
    region_prior: RegionPrior | None = None
    look_directions: LookDirections | None = None

    @property
    def settings(self) -> EditSettings:
        """Of an edit, as the manifest has them, with a draft that the generator draws."""
        return replace(self.manifest.settings, draft=self.draft_resolution)

    @property
    def draft_resolution(self) -> int:
        """Pixels a side of what edits are made on; 0 where that is the full size."""
        return fitting_draft(self.generator, self.manifest.settings.draft)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights, in hexadecimal."""
        digest = hashlib.sha256()
        parts = (
            self.generator,
            self.clip,
            self.identity,
            self.region_prior,
            self.look_directions,
        )
        for number, part in enumerate(parts):
            for name, value in () if part is None else sorted(part.state_dict().items()):
                digest.update(f"{number} {name} {value.dtype} {list(value.shape)}".encode())
                digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def known_text(self, prompts: Sequence[str]) -> list[float | None]:
        """How many of each prompt's words CLIP saw in training, 0 to 1; None if unrecorded."""
        known = self.known_tokens
        if known is None:
            return [None] * len(prompts)
        return [share_known(prompt, known) for prompt in prompts]

    @torch.no_grad()
    def lead(
        self, texts: Tensor, start: Tensor, reading: float, hold: Sequence[str] = ()
    ) -> Tensor:
        """Unit text embeddings [N, D] and w+ [N, n_latent, latent_dim] -> the move of unfolded
        latents [N, latent_dim] after which a face reads as having the look (`LookDirections.lead`);
        zero for a bundle without directions. ``hold`` as there."""
        directions = self.look_directions
        if directions is None or reading == 0:
            return torch.zeros_like(start[:, 0])
        phrases = self.clip.encode_text(self.clip.tokenize(directions.phrases).to(texts.device))
        p = (unfold(start) - unfold(self.generator.mean_latent)).mean(dim=1)
        return directions.to(texts.device).lead(texts, phrases, p, reading, hold)

    @torch.no_grad()
    def relevance(self, texts: Tensor) -> Tensor:
        """Unit text embeddings [N, D] -> where they may change a face, [N, 1, h, w] in [0, 1];
        everywhere, for a bundle without a region prior."""
        if self.region_prior is None:
            return texts.new_ones(texts.shape[0], 1, 1, 1)
        prior = self.region_prior.to(texts.device)
        phrases = self.clip.encode_text(self.clip.tokenize(prior.phrases).to(texts.device))
        return prior.relevance(texts, phrases)


def fitting_draft(generator: Generator, wanted: int) -> int:
    """The size in px that a generator draws which comes nearest to a draft of `wanted` from above;
    0, the full one, where that is the full one or none is wanted."""
    fitting = [size for size in generator.draft_sizes if size >= wanted > 0]
    draft = min(fitting, default=0)
    return 0 if draft == generator.resolution != wanted else draft
