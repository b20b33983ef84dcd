"""A whole bundle of tiny random networks, for tests that need all parts but no quality."""

import torch

from styleclip_rt.bundle import Bundle, Manifest
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, CLIPConfig, ConvTowerConfig, TextConfig
from styleclip_rt.models.generator import style_channels
from styleclip_rt.models.looks import StyleDirections, StyleDirectionsConfig
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN, MobileStyleGANConfig
from styleclip_rt.models.tokenizer import tokenize


def tiny_generator(draft_resolutions: tuple[int, ...] = (16,)) -> MobileStyleGAN:
    torch.manual_seed(0)
    config = MobileStyleGANConfig(
        channels=(16, 16, 16, 16), latent_dim=16, draft_resolutions=draft_resolutions
    )
    generator = MobileStyleGAN(config).eval()
    with torch.no_grad():
        generator.constant.normal_()
        for buffer in generator.buffers():
            if buffer.dim() == 4:
                buffer.normal_()
        for mapping in generator.mapping_layers:
            torch.nn.init.orthogonal_(mapping.weight)
        for layer in generator.affines():
            layer.bias.fill_(1.0)
    return generator


def tiny_bundle(**defaults: str | float | bool) -> Bundle:
    torch.manual_seed(1)
    clip = CLIP(
        CLIPConfig(
            embed_dim=8,
            image_resolution=16,
            vision=ConvTowerConfig(widths=(8, 16), depths=(1, 1)),
            text=TextConfig(width=16, layers=1, heads=2, embedding_rank=4),
        )
    )
    identity = ArcFace(
        ArcFaceConfig(widths=(8, 8), units=(1, 1), reduction=2, embed_dim=8, input_size=16)
    )
    settings: dict[str, str | float | bool] = {"steps": 3, "whiten": True, "draft": 16}
    return Bundle(
        name="tiny",
        manifest=Manifest(name="tiny", defaults=settings | defaults),
        generator=tiny_generator(),
        clip=clip.eval().requires_grad_(False),
        identity=identity.eval().requires_grad_(False),
        known_tokens=frozenset({736, 2225, 896}),
    )


def tiny_prompt_mapper(bundle: Bundle, prompts: tuple[str, ...]) -> PromptMapper:
    torch.manual_seed(0)
    config = PromptMapperConfig(
        11, (2, 4), prompts, 8, 16, face_dim=4, hidden=8, rank=2, readings=3
    )
    mapper = PromptMapper(config)
    with torch.no_grad():
        for tensor in (*mapper.parameters(), *mapper.buffers()):
            if tensor.is_floating_point():
                tensor.normal_()
        mapper.strengths.uniform_(0.5, 1.5)
        mapper.texts.copy_(bundle.clip.encode_text(tokenize(prompts)))
    return mapper.eval().requires_grad_(False)


def tiny_look_mapper(bundle: Bundle, names: tuple[str, ...]) -> StyleDirections:
    torch.manual_seed(0)
    looks = StyleDirections(StyleDirectionsConfig(style_channels(bundle.generator), names, 4))
    looks.directions.normal_()
    looks.regions.fill_(1.0)
    return looks.eval()
