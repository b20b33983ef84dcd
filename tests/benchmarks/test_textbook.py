"""The comparators compute what our models compute, so that timing them is fair."""

import pytest
import torch
from benchmarks.editing import EditingStep
from benchmarks.textbook import TextbookStep, TextbookStyleGAN2, clip_pixels
from torch import Tensor

from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, StyleGAN2Config
from styleclip_rt.ops.area_resample import area_resample

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


@pytest.fixture(scope="module")
def clip() -> CLIP:
    torch.manual_seed(1)
    vision = VisionTransformerConfig(patch_size=32, width=8, layers=1, heads=2)
    text = TextConfig(width=8, layers=1, heads=2)
    config = CLIPConfig(embed_dim=8, vision=vision, text=text)
    return CLIP(config).double().eval().requires_grad_(False)


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


def test_enlarging_and_pooling_is_the_area_average(clip: CLIP) -> None:
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    config = clip.config
    ours = area_resample(image, 224, mean=config.mean, std=config.std)
    torch.testing.assert_close(clip_pixels(image, config), ours, rtol=1e-10, atol=1e-10)


def test_whole_steps_agree(generator: StyleGAN2, clip: CLIP) -> None:
    # A face crop of whole pixels, where both poolings are the same average.
    config = ArcFaceConfig((8, 8), (1, 1), reduction=2, embed_dim=8, input_size=16, crop=WHOLE)
    torch.manual_seed(2)
    identity = ArcFace(config).double().eval().requires_grad_(False)
    tokens = torch.tensor([[49406, 736, 2225, 49407]])
    start = latent(generator, 1).detach()
    steps = [
        each(model, clip, identity, tokens, start, id=0.5)
        for each, model in (
            (EditingStep, generator),
            (TextbookStep, TextbookStyleGAN2(generator)),
        )
    ]
    for step in steps:
        step.latent.data.add_(0.1)
    ours, theirs = (
        torch.autograd.grad(step.loss(), step.latent, retain_graph=True)[0] for step in steps
    )
    torch.testing.assert_close(theirs, ours, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(steps[0].loss(), steps[1].loss(), rtol=1e-10, atol=1e-10)
    for step in steps:
        before = step.latent.detach().clone()
        step.step()
        assert not torch.equal(step.latent, before)
    torch.testing.assert_close(steps[0].latent, steps[1].latent, rtol=1e-5, atol=1e-5)
