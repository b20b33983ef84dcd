"""The networks of a mapper: its edit of a latent, alone and drawn."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.bundle import Bundle
from styleclip_rt.checkpoints.mapper_file import Mapper
from styleclip_rt.engines.export_info import Port
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.networks import BATCH, Network, random_w_plus, weights_hash
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2


class _Move(nn.Module):
    """w+ [N, n_latent, latent_dim], strength [N] and, where the mapper serves several prompts,
    either their numbers [N] or text embeddings [N, text_dim] -> the edited w+; of a mapper in
    StyleSpace the edited styles, joined."""

    def __init__(self, mapper: Mapper, generator: StyleGAN2 | MobileStyleGAN | None) -> None:
        super().__init__()
        self.mapper, self.generator = mapper, generator

    def latent(
        self, w_plus: Tensor, strength: Tensor, prompt: Tensor | None
    ) -> Tensor | list[Tensor]:
        text = prompt
        if prompt is not None and not prompt.is_floating_point():
            assert self.mapper.texts is not None
            text = self.mapper.texts.index_select(0, prompt)
        if self.mapper.space == "s":
            assert self.generator is not None
            styles = self.generator.styles(w_plus)
            moves = zip(styles, self.mapper.offset(styles, text), strict=True)
            return [style + strength[:, None] * offset for style, offset in moves]
        offset = self.mapper.offset(w_plus, text)
        assert isinstance(offset, Tensor)
        return w_plus + strength[:, None, None] * offset

    def forward(self, w_plus: Tensor, strength: Tensor, prompt: Tensor | None = None) -> Tensor:
        latent = self.latent(w_plus, strength, prompt)
        return latent if isinstance(latent, Tensor) else torch.cat(latent, dim=1)


class _MoveAndDraw(_Move):
    def forward(self, w_plus: Tensor, strength: Tensor, prompt: Tensor | None = None) -> Tensor:
        assert self.generator is not None
        return self.generator.synthesis(self.latent(w_plus, strength, prompt))


def _network(
    network: str, by_text: bool, draws: bool, bundle: Bundle, mapper: Mapper, name: str
) -> Network:
    generator = bundle.generator
    needs_generator = draws or mapper.space == "s"
    latent = (BATCH, generator.n_latent, generator.latent_dim)
    inputs = [Port("w_plus", latent), Port("strength", (BATCH,))]
    output = Port("w_plus_edited", latent)
    if mapper.texts is not None:
        text = Port("text", (BATCH, mapper.texts.shape[1]), kind="embedding")
        inputs.append(text if by_text else Port("prompt", (BATCH,), "int64"))
    elif by_text:
        raise StyleClipError(f"the mapper {name!r} takes no text: export the network mapper.")
    if mapper.space == "s":
        output = Port("styles_edited", (BATCH, sum(mapper.shape)))
    if draws:
        size = generator.resolution
        output = Port("image", (BATCH, 3, size, size), kind="image")
    return Network(
        network,
        (_MoveAndDraw if draws else _Move)(mapper, generator if needs_generator else None),
        tuple(inputs),
        (output,),
        partial(_sample, generator, mapper, by_text),
        weights_hash(*([generator] if needs_generator else []), mapper),
        mapper=name,
        prompts=mapper.prompts,
    )


def _sample(
    generator: StyleGAN2 | MobileStyleGAN,
    mapper: Mapper,
    by_text: bool,
    count: int,
    random: torch.Generator,
) -> tuple[Tensor, ...]:
    w_plus = random_w_plus(generator, count, random)
    strength = 0.5 + torch.rand(count, generator=random)
    if mapper.texts is None:
        return w_plus, strength
    first, second = torch.randint(len(mapper.texts), (2, count), generator=random).unbind(0)
    if not by_text:
        return w_plus, strength, first
    return w_plus, strength, F.normalize(mapper.texts[first] + 0.5 * mapper.texts[second])


MAPPER_NETWORKS: dict[str, Callable[[Bundle, Mapper, str], Network]] = {
    "mapper": partial(_network, "mapper", False, False),
    "mapper_text": partial(_network, "mapper_text", True, False),
    "mapper_synthesis": partial(_network, "mapper_synthesis", False, True),
}
"""Name -> what builds it from a bundle, a mapper for it, and the mapper's name."""


def mapper_networks(mapper: Mapper) -> list[str]:
    """Those of MAPPER_NETWORKS that a mapper has."""
    return [n for n in MAPPER_NETWORKS if n != "mapper_text" or mapper.texts is not None]
