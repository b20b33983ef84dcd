"""The networks of one bundle on one device, in PyTorch; the twin of `exported_networks`."""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.devices import choose_device, keep_freed_memory
from styleclip_rt.editing import kept
from styleclip_rt.editing.reconstruction import residue_shape
from styleclip_rt.editing.spaces import NearestLatents, Whitening
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import fingerprint, sample_z, style_channels
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2
from styleclip_rt.photos.torch_photos import TorchPhotos, torch_photos

Part = TypeVar("Part", bound=nn.Module)
Array = NDArray[np.float32]


class TorchNetworks:
    """A bundle's networks where they are to run; a bundle itself never moves.

    A network comes to the device when it is first asked for. Callable from several threads.

    Args:
        bundle: a bundle, its name or folder.
        device: as `choose_device` takes it.

    Raises:
        StyleClipError: unknown bundle or device.
    """

    def __init__(self, bundle: Bundle | str, device: str) -> None:
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.bundle = load_bundle(bundle)

    @property
    def name(self) -> str:
        """Of the bundle."""
        return self.bundle.name

    @cached_property
    def generator(self) -> StyleGAN2 | MobileStyleGAN:
        """That draws."""
        return self._here(self.bundle.generator)

    @cached_property
    def clip(self) -> CLIP:
        """That reads the prompt."""
        return self._here(self.bundle.clip)

    @cached_property
    def identity(self) -> ArcFace | InceptionResnetV1 | None:
        """That knows persons; None in a bundle of other things than faces."""
        network = self.bundle.identity
        return None if network is None else self._here(network)

    @cached_property
    def whitening(self) -> Whitening:
        """Of the generator's latents."""
        return kept.whitening(self.bundle, self.generator, self.fingerprint)

    @cached_property
    def nearest_latents(self) -> NearestLatents:
        """That finds the w+ of styles."""
        return NearestLatents(self.generator)

    @property
    def context_length(self) -> int:
        """Tokens that CLIP reads of a text, its two marks among them."""
        return self.bundle.clip.config.text.context_length

    @property
    def resolution(self) -> int:
        """Of an image, in px."""
        return self.bundle.generator.resolution

    @property
    def latent_shape(self) -> tuple[int, int]:
        """(n_latent, latent_dim) of w+."""
        return self.bundle.generator.n_latent, self.bundle.generator.latent_dim

    @cached_property
    def style_channels(self) -> tuple[int, ...]:
        """Of each style."""
        return style_channels(self.bundle.generator)

    @cached_property
    def fingerprint(self) -> str:
        """Of the generator."""
        return fingerprint(self.bundle.generator)

    @torch.inference_mode()
    def mapped(self, seeds: Sequence[int], truncation_psi: float) -> tuple[Array, Array]:
        """z and w, [len(seeds), latent_dim] each, of generated faces."""
        z = sample_z(self.generator, seeds)
        w = self.generator.mapping(z, truncation_psi)
        return z.cpu().numpy(), w.cpu().numpy()

    def mean_latent(self) -> Array:
        """w [latent_dim] of the mean face."""
        mean: Array = self.bundle.generator.mean_latent.numpy()
        return mean

    @property
    def photos(self) -> TorchPhotos:
        """Computes on the pixels of photographs, always on the CPU."""
        return torch_photos()

    @property
    def takes_photographs(self) -> bool:
        """The package has all that they need."""
        return True

    def to_styles(self, joined: Tensor) -> list[Tensor]:
        """All styles joined [N, channels] -> one [N, channels] each."""
        return list(torch.split(joined, list(self.style_channels), dim=1))

    @cached_property
    def residue_shape(self) -> tuple[int, ...]:
        """(C, R, R) of a start's residue."""
        bundle = self.bundle
        return residue_shape(bundle.generator, bundle.draft_resolution)

    @torch.inference_mode()
    def draw(
        self,
        latent: Tensor | Array | Sequence[Tensor],
        resolution: int | None = None,
        residue: Array | None = None,
    ) -> Tensor:
        """w+ or styles -> images [N, 3, H, W] in [0, 1], at full size or that of a draft, with a
        residue [N, C, R, R] if there is one; in float32 and one at a time, to bound memory."""
        in_w_plus = isinstance(latent, Tensor | np.ndarray)
        parts = [torch.as_tensor(latent).to(self.device)] if in_w_plus else latent
        added = None if residue is None else torch.from_numpy(residue).to(self.device)
        images = []
        for i in range(len(parts[0])):
            one = [part[i : i + 1] for part in parts]
            its = None if added is None else added[i : i + 1]
            image = self.generator.synthesis(one[0] if in_w_plus else one, resolution, residue=its)
            images.append(image.float() * 0.5 + 0.5)
        return torch.cat(images).clamp(0, 1)

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Tensor:
        """Unit text embeddings [len(prompts), D]."""
        return self.clip.encode_text(self.clip.tokenize(prompts).to(self.device))

    def _here(self, network: Part) -> Part:
        # Where all runs on the CPU, those who share a bundle share its weights.
        return network if self.device.type == "cpu" else copy.deepcopy(network).to(self.device)
