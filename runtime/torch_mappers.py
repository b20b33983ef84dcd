"""Edits by mapper with the networks themselves, in PyTorch."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle
from styleclip_rt.bundle.mappers import find, load_for
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import sha256_of
from styleclip_rt.models.moves import LatentMove
from styleclip_rt.runtime.moves import CheckedMove, another_clip
from styleclip_rt.runtime.torch_networks import TorchNetworks

SAME_TEXT = 0.999


class TorchMappers:
    """The engine "torch" of `styleclip_rt.runtime.mapper.MapperRuntime`, whose arguments it
    takes."""

    def __init__(
        self,
        bundle: Bundle | TorchNetworks | str,
        mappers: Sequence[str] | Mapping[str, Path],
        device: str,
        draft: bool,
    ) -> None:
        here = bundle if isinstance(bundle, TorchNetworks) else TorchNetworks(bundle, device)
        self.networks, bundle = here, here.bundle
        self._drawn_at = self._draft_resolution() if draft else None
        files = dict(mappers) if isinstance(mappers, Mapping) else {m: find(m) for m in mappers}
        self.moves: dict[str, LatentMove] = {
            name: load_for(bundle, path, name).to(self.networks.device)
            for name, path in files.items()
        }
        self.made_with: dict[str, object] = {
            "bundle": bundle.name,
            "weights": bundle.digest,
            "drawn at": self.resolution,
            "mappers": {name: sha256_of(path) for name, path in files.items()},
        }
        self.prompts = {name: move.prompts for name, move in self.moves.items()}
        self.limits = {name: move.limits for name, move in self.moves.items()}

    @property
    def resolution(self) -> int:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        return self._drawn_at or self.networks.resolution

    def drafts(self) -> "TorchMappers":
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        twin = copy.copy(self)
        twin._drawn_at = self._draft_resolution()
        twin.made_with = self.made_with | {"drawn at": twin.resolution}
        return twin

    def given(self, latents: NDArray[np.float32]) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        here = torch.from_numpy(latents).to(self.networks.device)
        return self.networks.to_styles(here) if here.dim() == 2 else here

    @torch.inference_mode()
    def latents(
        self, w_plus: "Tensor | NDArray[np.float32]", moves: Sequence[CheckedMove]
    ) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        return self._moved(torch.as_tensor(w_plus).to(self.networks.device), None, moves)

    @torch.inference_mode()
    def latents_from(
        self, styles: NDArray[np.float32], moves: Sequence[CheckedMove]
    ) -> list[Tensor]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        given = self.given(styles)
        assert not isinstance(given, Tensor)
        moved = self._moved(self.networks.nearest_latents(given), given, moves)
        assert not isinstance(moved, Tensor)
        return moved

    def _moved(
        self, w_plus: Tensor, styles: list[Tensor] | None, moves: Sequence[CheckedMove]
    ) -> Tensor | list[Tensor]:
        """w+, or given styles whose nearest w+ it is, moved."""
        generator, given = self.networks.generator, styles
        edited, style_offsets = w_plus, []
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
        if given is not None:
            # Styles are linear in w+, so what a w+ lacks of them stays what it is.
            near = generator.styles(w_plus)
            style_offsets.append([x - y for x, y in zip(given, near, strict=True)])
        if not style_offsets:
            return edited
        moved = generator.styles(edited)
        return [sum(offsets, style) for style, *offsets in zip(moved, *style_offsets, strict=True)]

    @torch.inference_mode()
    def relevance(self, moves: Sequence[CheckedMove]) -> NDArray[np.float32]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        regions = [self._region(name, prompt) for name, prompt, _ in moves]
        size = max(len(region) for region in regions)
        scaled = [F.interpolate(region[None, None], (size, size)) for region in regions]
        told: NDArray[np.float32] = torch.cat(scaled).amax(dim=0)[0].numpy()
        return told

    def _region(self, name: str, prompt: int | str | None) -> Tensor:
        """[h, w] in [0, 1]: where in faces one move changes things."""
        networks, regions = self.networks, self.moves[name].regions
        if prompt is None:  # who knows what that is about
            return torch.ones(1, 1)
        if regions is not None and isinstance(prompt, int):
            return regions[prompt].cpu()
        text = prompt if isinstance(prompt, str) else self.prompts[name][prompt]
        return networks.bundle.relevance(networks.text([text]))[0, 0].cpu()

    def one(self, latent: Tensor | list[Tensor], face: int) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        if isinstance(latent, Tensor):
            return latent[face : face + 1]
        return [style[face : face + 1] for style in latent]

    def draw(
        self,
        latent: Tensor | NDArray[np.float32] | list[Tensor],
        residue: NDArray[np.float32] | None = None,
    ) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        return self.networks.draw(latent, self._drawn_at, residue)

    @torch.inference_mode()
    def draw_together(self, latents: Sequence[Tensor | list[Tensor]]) -> list[Tensor]:
        """See `styleclip_rt.runtime.moves.MapperEngine`."""
        generator = self.networks.generator
        each = [generator.styles(x) if isinstance(x, Tensor) else x for x in latents]
        styles = [torch.cat(parts) for parts in zip(*each, strict=True)]
        images = generator.synthesis(styles, self._drawn_at).float() * 0.5 + 0.5
        return list(images.clamp(0, 1))

    def saved(self, latent: Tensor | list[Tensor]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        whole = torch.cat(latent, dim=1) if isinstance(latent, list) else latent
        return whole.clone().cpu()

    def _draft_resolution(self) -> int:
        bundle = self.networks.bundle
        if bundle.draft_resolution == 0:
            raise StyleClipError(f"the bundle {bundle.name!r} has no drafts to draw.")
        return bundle.draft_resolution

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
        own = features.shape[1] == move.texts.shape[1]
        if not own or float(F.cosine_similarity(features[:-1], move.texts).min()) < SAME_TEXT:
            raise another_clip(name, move.prompts)
        return features[-1].expand(count, -1)
