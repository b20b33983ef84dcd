"""The comparators compute what our models compute, so that timing them is fair."""

import copy

import pytest
import torch
from torch import Tensor

from benchmarks.editing import Edit
from benchmarks.textbook import TextbookStep, TextbookStyleGAN2, clip_pixels
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, StyleGAN2Config
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.settings import EditSettings

WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    torch.manual_seed(0)
    model = StyleGAN2(StyleGAN2Config((6, 5, 4, 3), latent_dim=8, n_mlp=1)).double()
    for conv in model.convs:
        assert isinstance(conv, StyledConv)
        conv.noise_strength.fill_(0.3)
        conv.bias.normal_()
        conv.sum_energy()
    return model


def tiny_clip(resolution: int) -> CLIP:
    torch.manual_seed(1)
    vision = VisionTransformerConfig(patch_size=8, width=8, layers=1, heads=2)
    text = TextConfig(width=8, layers=1, heads=2)
    config = CLIPConfig(embed_dim=8, image_resolution=resolution, vision=vision, text=text)
    return CLIP(config).eval().requires_grad_(False)


def latent(model: StyleGAN2, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    shape = (batch, model.n_latent, model.latent_dim)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("batch", [1, 3])
def test_generators_agree_in_values_and_gradients(generator: StyleGAN2, batch: int) -> None:
    w_plus = latent(generator, batch)
    ours = generator.synthesis(w_plus)
    theirs = TextbookStyleGAN2(generator).synthesis(w_plus)
    torch.testing.assert_close(theirs, ours, rtol=1e-10, atol=1e-10)
    probe = torch.randn_like(ours)
    gradients = [torch.autograd.grad((image * probe).sum(), w_plus)[0] for image in (theirs, ours)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_enlarging_and_pooling_is_the_area_average() -> None:
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    config = CLIPConfig()
    ours = area_resample(image, 224, mean=config.mean, std=config.std)
    torch.testing.assert_close(clip_pixels(image, config), ours, rtol=1e-10, atol=1e-10)


def test_whole_steps_agree(generator: StyleGAN2) -> None:
    # Sizes that divide, where all ways of pooling are the same average; the editor's is float32.
    face = ArcFaceConfig((8, 8), (1, 1), reduction=2, embed_dim=8, input_size=16, crop=WHOLE)
    torch.manual_seed(2)
    identity = ArcFace(face).eval().requires_grad_(False)
    model, clip = copy.deepcopy(generator).float(), tiny_clip(16)
    tokens = torch.tensor([[49406, 736, 2225, 49407], [49406, 320, 1710, 49407]])
    start = latent(generator, 1).detach().float()
    settings = EditSettings(l2=0.3, id=0.5, steps=1)
    ours = Edit(model, clip, identity, settings, start, tokens)
    textbook = TextbookStyleGAN2(model)
    theirs = TextbookStep(textbook, clip, identity, tokens[:1], start, l2=0.3, id=0.5)
    moved = torch.full_like(start, 0.1)
    ours.state = ours.state._replace(offset=moved)
    theirs.latent.data += moved
    loss = theirs.loss()
    (gradient,) = torch.autograd.grad(loss, theirs.latent)
    torch.testing.assert_close(ours.step()["total"].sum(), loss.detach(), rtol=1e-5, atol=1e-5)
    # Adam's first moment after one step is a tenth of the gradient.
    torch.testing.assert_close(ours.state.mean * 10, gradient, rtol=1e-4, atol=1e-5)
    before = theirs.latent.detach().clone()
    theirs.step()
    assert (theirs.latent - before).abs().max() > 0.01
