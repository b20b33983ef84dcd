"""Edits by mapper with the networks themselves, in PyTorch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle
from styleclip_rt.bundle.download import sha256_of
from styleclip_rt.bundle.mappers import find, load_for
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.moves import LatentMove
from styleclip_rt.runtime.moves import CheckedMove, another_clip
from styleclip_rt.runtime.torch_networks import TorchNetworks

SAME_TEXT = 0.999


class TorchMappers:
    """The engine "torch" of `styleclip_rt.runtime.mapper.MapperRuntime`, whose arguments it
    takes."""

    def __init__(
        self,
        bundle: Bundle | str,
        mappers: Sequence[str] | Mapping[str, Path],
        device: str,
        draft: bool,
    ) -> None:
        self.networks = TorchNetworks(bundle, device)
        bundle = self.networks.bundle
        self.resolution = bundle.draft_resolution if draft else None
        if self.resolution == 0:
            raise StyleClipError(f"the bundle {bundle.name!r} has no drafts to draw.")
        files = dict(mappers) if isinstance(mappers, Mapping) else {m: find(m) for m in mappers}
        self.moves: dict[str, LatentMove] = {
            name: load_for(bundle, path, name).to(self.networks.device)
            for name, path in files.items()
        }
        self.made_with: dict[str, object] = {
            "bundle": bundle.name,
            "weights": bundle.digest,
            "drawn at": self.resolution or self.networks.resolution,
            "mappers": {name: sha256_of(path) for name, path in files.items()},
        }
        self.prompts = {name: move.prompts for name, move in self.moves.items()}

    def given(self, w_plus: NDArray[np.float32]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return torch.from_numpy(w_plus).to(self.networks.device)

    @torch.inference_mode()
    def latents(
        self, w_plus: "Tensor | NDArray[np.float32]", moves: Sequence[CheckedMove]
    ) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        generator = self.networks.generator
        w_plus = torch.as_tensor(w_plus).to(self.networks.device)
        edited, styles, style_offsets = w_plus, None, []
        for name, prompt, strength in moves:
            move = self.moves[name]
            text = self._text(name, move, prompt, len(w_plus))
            if move.space == "s":
                styles = generator.styles(w_plus) if styles is None else styles
                style_offsets.append([strength * offset for offset in move.offset(styles, text)])
            else:
                offset = move.offset(w_plus, text)
                assert isinstance(offset, Tensor)
                edited = edited + strength * offset
        if not style_offsets:
            return edited
        moved = generator.styles(edited)
        return [sum(offsets, style) for style, *offsets in zip(moved, *style_offsets, strict=True)]

    @torch.inference_mode()
    def relevance(self, moves: Sequence[CheckedMove]) -> NDArray[np.float32]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        networks = self.networks
        if any(prompt is None for _, prompt, _ in moves):  # who knows what that is about
            return np.ones((1, 1), np.float32)
        prompts = [
            prompt if isinstance(prompt, str) else self.prompts[name][prompt]
            for name, prompt, _ in moves
            if prompt is not None
        ]
        where = networks.bundle.relevance(networks.text(prompts)).amax(dim=0)[0]
        told: NDArray[np.float32] = where.cpu().numpy()
        return told

    def one(self, latent: Tensor | list[Tensor], face: int) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        if isinstance(latent, Tensor):
            return latent[face : face + 1]
        return [style[face : face + 1] for style in latent]

    def draw(self, latent: Tensor | NDArray[np.float32] | list[Tensor]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return self.networks.draw(latent, self.resolution)

    def saved(self, latent: Tensor | list[Tensor]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        whole = torch.cat(latent, dim=1) if isinstance(latent, list) else latent
        return whole.clone().cpu()

    def _text(
        self, name: str, move: LatentMove, prompt: int | str | None, count: int
    ) -> Tensor | None:
        """The unit embeddings [count, text_dim] of a prompt; None where the move takes no text."""
        if move.texts is None:
            return None
        if isinstance(prompt, int):
            return move.texts[prompt].expand(count, -1)
        assert prompt is not None
        features = self.networks.text([*move.prompts, prompt])
        if float(F.cosine_similarity(features[:-1], move.texts).min()) < SAME_TEXT:
            raise another_clip(name, move.prompts)
        return features[-1].expand(count, -1)
