"""Edits in milliseconds: trained mappers applied to the latents of one bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.latents import sample_z
from styleclip_rt.mappers import find, load_for
from styleclip_rt.models.mapper import PromptMapper, StyleSpaceMapper
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.pictures import to_pil

MAX_STRENGTH = 1.5
SAME_TEXT = 0.999


@dataclass(frozen=True)
class Move:
    """What one mapper is to do.

    Attributes:
        mapper: its name.
        prompt: one of those that it was trained for; "" for a mapper that has only one, or none.
        strength: 0 changes nothing, 1 is as trained, at most MAX_STRENGTH.
    """

    mapper: str
    prompt: str = ""
    strength: float = 1.0


@dataclass(frozen=True)
class MappedFace:
    """One edited face: PIL images at full resolution, and the edited latent: w+
    [n_latent, latent_dim], or the styles joined [channels] where a mapper in StyleSpace moved it.
    """

    image: Image.Image
    original: Image.Image
    latent: Tensor


class MapperRuntime:
    """Holds a generator and its mappers; all is loaded in the constructor.

    Calls change nothing in it, so threads may share it.

    Args:
        bundle: whose generator draws.
        mappers: names of `styleclip mapper list`, or files, by the names that moves give them.
        device: where to run.

    Raises:
        StyleClipError: a mapper is unknown, unreadable, or was trained for another generator.
    """

    def __init__(
        self,
        bundle: Bundle,
        mappers: Sequence[str] | Mapping[str, Path],
        device: torch.device | str = "cpu",
    ) -> None:
        self.bundle, self.device = bundle, torch.device(device)
        self.generator = bundle.generator.to(self.device)
        files = dict(mappers) if isinstance(mappers, Mapping) else {m: find(m) for m in mappers}
        self.mappers = {
            name: load_for(bundle, path, name).to(self.device) for name, path in files.items()
        }

    @classmethod
    def from_bundle(
        cls, mappers: Sequence[str], name: str = "ffhq-mobile", device: torch.device | str = "cpu"
    ) -> "MapperRuntime":
        """Load a bundle by name or folder, fetching it on first use where that is possible."""
        return cls(load_bundle(name), mappers, device)

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """Mapper -> the prompts that it was trained for; none where its file does not say."""
        return {
            name: mapper.config.prompts if isinstance(mapper, PromptMapper) else ()
            for name, mapper in self.mappers.items()
        }

    @torch.inference_mode()
    def latents(
        self, w_plus: Tensor, moves: Sequence[Move], any_prompt: bool = False
    ) -> Tensor | list[Tensor]:
        """Edit latents [N, n_latent, latent_dim] by all `moves` at once.

        Every mapper looks at the given latent, and their offsets are added.

        Args:
            w_plus: float32 w+ of this bundle's generator.
            moves: what to do; each mapper may serve several times.
            any_prompt: let mappers mix what they know for a prompt that they were not trained for.

        Returns:
            w+ of the same shape; or the styles, where a mapper in StyleSpace is among the moves.

        Raises:
            StyleClipError: another shape, an unknown mapper or prompt, a strength out of range.
        """
        shape = (self.generator.n_latent, self.generator.latent_dim)
        if w_plus.dim() != 3 or w_plus.shape[1:] != shape:
            raise StyleClipError(
                f"the latent has shape {list(w_plus.shape)}: this generator takes "
                f"[N, {shape[0]}, {shape[1]}]."
            )
        w_plus = w_plus.to(self.device)
        edited, styles, style_offsets = w_plus, None, []
        for move in moves:
            mapper = self._mapper(move)
            if isinstance(mapper, PromptMapper):
                text = self._text(move, mapper, any_prompt).expand(w_plus.shape[0], -1)
                edited = edited + move.strength * mapper(w_plus, text)
            elif isinstance(mapper, StyleSpaceMapper):
                styles = self.generator.styles(w_plus) if styles is None else styles
                style_offsets.append([move.strength * offset for offset in mapper(styles)])
            else:
                edited = edited + move.strength * mapper(w_plus)
        if not style_offsets:
            return edited
        moved = self.generator.styles(edited)
        return [sum(offsets, style) for style, *offsets in zip(moved, *style_offsets, strict=True)]

    @torch.inference_mode()
    def draw(self, latent: Tensor | list[Tensor], resolution: int | None = None) -> Tensor:
        """w+ or styles -> images [N, 3, H, W] in [0, 1]; one at a time, to bound memory."""
        parts = [latent] if isinstance(latent, Tensor) else latent
        images = []
        for i in range(parts[0].shape[0]):
            one = [part[i : i + 1] for part in parts]
            image = self.generator.synthesis(
                one[0] if isinstance(latent, Tensor) else one, resolution
            )
            images.append(image.float() * 0.5 + 0.5)
        return torch.cat(images).clamp(0, 1)

    @torch.inference_mode()
    def start(self, seeds: Sequence[int], truncation_psi: float = 0.7) -> Tensor:
        """w+ [len(seeds), n_latent, latent_dim] of generated faces."""
        w = self.generator.mapping(sample_z(self.generator, seeds), truncation_psi)
        return w[:, None].repeat(1, self.generator.n_latent, 1)

    def edit(
        self, w_plus: Tensor, moves: Sequence[Move], any_prompt: bool = False
    ) -> list[MappedFace]:
        """Edit and draw; arguments and errors as for `latents`."""
        edited = self.latents(w_plus, moves, any_prompt)
        images, originals = self.draw(edited), self.draw(w_plus.to(self.device))
        saved = edited if isinstance(edited, Tensor) else torch.cat(edited, dim=1)
        return [
            MappedFace(to_pil(image), to_pil(original), latent.clone().cpu())
            for image, original, latent in zip(images, originals, saved, strict=True)
        ]

    def _mapper(self, move: Move) -> mapper_file.Mapper:
        if move.mapper not in self.mappers:
            known = ", ".join(self.mappers) or "none is loaded"
            raise StyleClipError(f"unknown mapper {move.mapper!r}: choose from {known}.")
        if not 0 <= move.strength <= MAX_STRENGTH:
            raise StyleClipError(
                f"the strength must be from 0 to {MAX_STRENGTH}, but is {move.strength}."
            )
        return self.mappers[move.mapper]

    def _text(self, move: Move, mapper: PromptMapper, any_prompt: bool) -> Tensor:
        """The unit embedding [1, text_dim] of the move's prompt."""
        prompts = mapper.config.prompts
        wanted = " ".join(move.prompt.lower().split())
        if not wanted and len(prompts) == 1:
            wanted = prompts[0]
        if wanted in prompts:
            place = prompts.index(wanted)
            return mapper.texts[place : place + 1]
        if not any_prompt or not wanted:
            raise StyleClipError(
                f"the mapper {move.mapper!r} was not trained for the prompt {move.prompt!r}: "
                f"choose from {', '.join(prompts)}."
            )
        features = self.bundle.clip.to(self.device).encode_text(
            tokenize([*prompts, wanted]).to(self.device)
        )
        if float(F.cosine_similarity(features[:-1], mapper.texts).min()) < SAME_TEXT:
            raise StyleClipError(
                f"the mapper {move.mapper!r} was trained with another CLIP than this bundle's, so "
                f"it serves only its own prompts: {', '.join(prompts)}."
            )
        return features[-1:]
