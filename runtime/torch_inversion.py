"""Inversion with the networks themselves, in PyTorch."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from styleclip_rt.editing.reconstruction import Goal, Reconstruction, draft_sizes
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
        scale = self._scales[fine]
        if fine not in self._goals:
            self._goals[fine] = scale.goal(self._photograph)
        moved = torch.from_numpy(offset).to(self._photograph.device)
        total, identity, gradient = scale.judge(self._goals[fine], moved)
        return float(total), float(identity), gradient.cpu().numpy()

    @torch.no_grad()
    def latent(self, offset: Array) -> Array:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        moved = torch.from_numpy(offset).to(self._photograph.device)
        found: Array = self._scales[0].space.w_plus(moved)[0].float().cpu().numpy()
        return found
