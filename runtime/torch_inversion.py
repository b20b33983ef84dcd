"""Inversion with the networks themselves, in PyTorch."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from styleclip_rt.editing.reconstruction import Goal, Reconstruction, draft_sizes, residue_shape
from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos.encoder import photo_encoder
from styleclip_rt.runtime.torch_networks import TorchNetworks

Array = NDArray[np.float32]


class TorchInversion:
    """A `styleclip_rt.runtime.inversion.Inversion`.

    Args:
        networks: whose latents come out.
        photograph: float32 [3, S, S] in [0, 1], RGB, aligned as FFHQ is.
        precision: "fp32" or "bf16", of drawing and judging.

    Raises:
        StyleClipError: the networks know no persons.
    """

    def __init__(self, networks: TorchNetworks, photograph: Array, precision: str) -> None:
        if networks.identity is None:
            raise StyleClipError(
                f"the bundle {networks.bundle.name!r} draws no faces: photographs need one that "
                "does."
            )
        self._fingerprint = networks.fingerprint
        self._photograph = torch.from_numpy(photograph).to(networks.device)[None]
        self._scales = [
            Reconstruction(
                networks.generator,
                networks.clip,
                networks.identity,
                networks.whitening,
                size,
                precision,
            )
            for size in draft_sizes(networks.generator, networks.bundle.draft_resolution)
        ]
        self._own = networks.bundle.draft_resolution
        self._goals: dict[bool, Goal] = {}

    def first(self) -> Array:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        encoder = photo_encoder(self._fingerprint)
        if encoder is not None:
            encoder = copy.deepcopy(encoder).to(self._photograph.device)
        offset: Array = self._scales[0].first(self._photograph, encoder).cpu().numpy()
        return offset

    def judge(self, offset: Array, fine: bool) -> tuple[float, float, Array]:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        moved = torch.from_numpy(offset).to(self._photograph.device)
        total, identity, gradient = self._scales[fine].judge(self.goal(fine), moved)
        return float(total), float(identity), gradient.cpu().numpy()

    def goal(self, fine: bool) -> Goal:
        """What the photograph looks like at the size of small drafts, or of the bundle's own."""
        if fine not in self._goals:
            self._goals[fine] = self._scales[fine].goal(self._photograph)
        return self._goals[fine]

    @torch.no_grad()
    def latent(self, offset: Array) -> Array:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        moved = torch.from_numpy(offset).to(self._photograph.device)
        found: Array = self._scales[0].space.w_plus(moved)[0].float().cpu().numpy()
        return found

    def refinement(self, latent: Array) -> "TorchRefinement":
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        w_plus = torch.from_numpy(latent).to(self._photograph.device)[None]
        return TorchRefinement(self._scales, self.goal, w_plus, self._own)


class TorchRefinement:
    """A `styleclip_rt.runtime.inversion.Refinement`.

    Args:
        scales: that draw and judge small drafts, and the bundle's own.
        goal: what the photograph looks like to each of them.
        w_plus: [1, n_latent, latent_dim].
        own: size of the bundle's drafts.
    """

    def __init__(
        self,
        scales: Sequence[Reconstruction],
        goal: Callable[[bool], Goal],
        w_plus: Tensor,
        own: int,
    ) -> None:
        self._scales, self._goal, self._w_plus = scales, goal, w_plus
        generator = scales[0].step.generator
        self._shape = residue_shape(generator, own)
        with torch.no_grad():
            features = generator.features(generator.styles(w_plus), self._shape[-1])
        self._deviation = features.std(dim=(2, 3), keepdim=True)

    def first(self) -> Array:
        """See `styleclip_rt.runtime.inversion.Descent`."""
        return np.zeros((1, *self._shape), np.float32)

    def judge(self, offset: Array, fine: bool) -> tuple[float, float, Array]:
        """See `styleclip_rt.runtime.inversion.Descent`."""
        moved = torch.from_numpy(offset).to(self._w_plus.device)
        total, identity, gradient = self._scales[fine].judge_residue(
            self._goal(fine), self._w_plus, moved, self._deviation
        )
        return float(total), float(identity), gradient.cpu().numpy()

    def residue(self, offset: Array) -> Array:
        """See `styleclip_rt.runtime.inversion.Refinement`."""
        moved = torch.from_numpy(offset).to(self._w_plus.device) * self._deviation
        found: Array = moved[0].half().float().cpu().numpy()
        return found
