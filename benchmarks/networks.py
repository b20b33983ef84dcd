"""The networks at their real sizes: random weights where the real ones cannot be had everywhere."""

import functools

import torch
from torch import Tensor

from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, VIT_B_32
from styleclip_rt.models.generator import Generator, to_w_plus
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, StyleGAN2Config


@functools.cache
def stylegan2(resolution: int) -> StyleGAN2:
    """StyleGAN2 config-f with random weights."""
    torch.manual_seed(0)
    model = StyleGAN2(StyleGAN2Config.sized(resolution))
    for conv in model.convs:
        assert isinstance(conv, StyledConv)
        conv.noise_strength.fill_(0.1)
    return model


@functools.cache
def clip_vit_b32() -> CLIP:
    """OpenAI's ViT-B/32 with random weights."""
    torch.manual_seed(0)
    return CLIP(VIT_B_32).eval().requires_grad_(False)


@functools.cache
def ir_se50() -> ArcFace:
    """ArcFace's IR-SE50 with random weights."""
    torch.manual_seed(0)
    return ArcFace(ArcFaceConfig()).eval().requires_grad_(False)


@functools.cache
def default_bundle() -> Bundle:
    """The bundle ffhq-mobile with its real weights, fetched on first use."""
    return load_bundle("ffhq-mobile")


def mobile_stylegan() -> MobileStyleGAN:
    """The default bundle's generator, real weights."""
    generator = default_bundle().generator
    assert isinstance(generator, MobileStyleGAN)
    return generator


def latents(model: Generator, batch: int) -> Tensor:
    """w+ [batch, n_latent, latent_dim] of faces drawn from seed 0, on the model's device."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(batch, model.latent_dim, generator=generator)
    with torch.no_grad():
        w = model.mapping(z.to(model.mean_latent.device), 0.7)
    return to_w_plus(model, w)
