"""How much the picture loses in bfloat16."""

import math

import torch

from benchmarks import networks
from benchmarks.cases import autocast
from styleclip_rt.models.stylegan2 import StyleGAN2


def psnr_of_bf16(model_name: str) -> float:
    """Peak signal-to-noise ratio in dB of the editor's bf16 image against its float32 image.

    MobileStyleGAN draws a real face: clamped to [-1, 1], peak 2. StyleGAN2 has random weights: its
    image is first scaled to a standard deviation of 0.5, about that of a photograph in [-1, 1].
    """
    model = networks.stylegan2(1024) if model_name == "StyleGAN2" else networks.mobile_stylegan()
    latent = networks.latents(model, 1)
    with torch.no_grad():
        exact = model.synthesis(latent).double()
        rounded = autocast(model.synthesis)(latent).double()
    if isinstance(model, StyleGAN2):
        scale = 0.5 / exact.std()
        exact, rounded = exact * scale, rounded * scale
    else:
        exact, rounded = exact.clamp(-1, 1), rounded.clamp(-1, 1)
    return 10 * math.log10(4 / float((exact - rounded).square().mean()))
