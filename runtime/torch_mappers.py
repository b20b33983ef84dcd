"""Edits by mapper with the networks themselves, in PyTorch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.bundle.mappers import find, load_for
from styleclip_rt.devices import keep_freed_memory
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import sample_z
from styleclip_rt.models.mapper import PromptMapper, StyleSpaceMapper
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.runtime.mapper import CheckedMove, another_clip

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
        self.bundle = load_bundle(bundle)
        self.device = torch.device(device)
        self.resolution = self.bundle.draft_resolution if draft else None
        if self.resolution == 0:
            raise StyleClipError(f"the bundle {self.bundle.name!r} has no drafts to draw.")
        if self.device.type == "cpu":
            keep_freed_memory()
        self.generator = self.bundle.generator.to(self.device)
        files = dict(mappers) if isinstance(mappers, Mapping) else {m: find(m) for m in mappers}
        self.mappers = {
            name: load_for(self.bundle, path, name).to(self.device) for name, path in files.items()
        }
        self.prompts = {
            name: mapper.config.prompts if isinstance(mapper, PromptMapper) else ()
            for name, mapper in self.mappers.items()
        }

    @property
    def latent_shape(self) -> tuple[int, int]:
        """(n_latent, latent_dim) of w+."""
        return self.generator.n_latent, self.generator.latent_dim

    @torch.inference_mode()
    def start(self, seeds: Sequence[int], truncation_psi: float) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        w = self.generator.mapping(sample_z(self.generator, seeds), truncation_psi)
        return w[:, None].repeat(1, self.generator.n_latent, 1)

    @torch.inference_mode()
    def latents(
        self, w_plus: "Tensor | NDArray[np.float32]", moves: Sequence[CheckedMove]
    ) -> Tensor | list[Tensor]:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        w_plus = torch.as_tensor(w_plus).to(self.device)
        edited, styles, style_offsets = w_plus, None, []
        for name, prompt, strength in moves:
            mapper = self.mappers[name]
            if isinstance(mapper, PromptMapper):
                text = self._text(name, mapper, prompt).expand(w_plus.shape[0], -1)
                edited = edited + strength * mapper(w_plus, text)
            elif isinstance(mapper, StyleSpaceMapper):
                styles = self.generator.styles(w_plus) if styles is None else styles
                style_offsets.append([strength * offset for offset in mapper(styles)])
            else:
                edited = edited + strength * mapper(w_plus)
        if not style_offsets:
            return edited
        moved = self.generator.styles(edited)
        return [sum(offsets, style) for style, *offsets in zip(moved, *style_offsets, strict=True)]

    @torch.inference_mode()
    def draw(self, latent: Tensor | NDArray[np.float32] | list[Tensor]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`; one at a time, to bound memory."""
        in_w_plus = not isinstance(latent, list)
        parts = [torch.as_tensor(latent).to(self.device)] if in_w_plus else latent
        images = []
        for i in range(parts[0].shape[0]):
            one = [part[i : i + 1] for part in parts]
            image = self.generator.synthesis(one[0] if in_w_plus else one, self.resolution)
            images.append(image.float() * 0.5 + 0.5)
        return torch.cat(images).clamp(0, 1)

    def saved(self, latent: Tensor | list[Tensor]) -> Tensor:
        """See `styleclip_rt.runtime.mapper.MapperEngine`."""
        whole = torch.cat(latent, dim=1) if isinstance(latent, list) else latent
        return whole.clone().cpu()

    def _text(self, name: str, mapper: PromptMapper, prompt: int | str | None) -> Tensor:
        """The unit embedding [1, text_dim] of a prompt."""
        if isinstance(prompt, int):
            return mapper.texts[prompt : prompt + 1]
        assert prompt is not None
        prompts = mapper.config.prompts
        features = self.bundle.clip.to(self.device).encode_text(
            tokenize([*prompts, prompt]).to(self.device)
        )
        if float(F.cosine_similarity(features[:-1], mapper.texts).min()) < SAME_TEXT:
            raise another_clip(name, prompts)
        return features[-1:]
