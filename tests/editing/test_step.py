"""The precision of an editing step."""

import torch
from torch.nn import functional as F

from styleclip_rt.editing.schedule import loss_weights
from styleclip_rt.editing.spaces import Space, rows_of
from styleclip_rt.editing.step import EditStep
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig
from styleclip_rt.models.generator import sample_z
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.settings import EditSettings
from tests.tiny import tiny_bundle


def test_bf16_judges_as_float32_does() -> None:
    bundle = tiny_bundle()
    torch.manual_seed(0)
    config = CLIPConfig(
        embed_dim=16,
        image_resolution=32,
        vision=VisionTransformerConfig(patch_size=8, width=32, layers=2, heads=2),
        text=TextConfig(width=16, layers=1, heads=2, embedding_rank=4),
    )
    transformer = CLIP(config).eval().requires_grad_(False)
    settings = EditSettings(views=1)
    generator = bundle.generator
    with torch.no_grad():
        w = generator.mapping(sample_z(generator, [0]))
    start = w[:, None].repeat(1, generator.n_latent, 1)
    space = Space(generator, "w+", start, rows_of(generator, settings.layers))
    views = torch.empty(0, 15)
    image = EditStep(generator, bundle.clip, bundle.identity, settings).draw(start)
    other = image.flip(3).detach()
    for clip in (bundle.clip, transformer):
        gradients = []
        with torch.no_grad():
            text, neutral = clip.encode_text(tokenize(["red hair", "a face"]))[:, None]
        for precision in ("fp32", "bf16"):
            step = EditStep(generator, clip, bundle.identity, settings, precision)
            targets = step.targets(start, text, neutral, torch.ones(1, 1, 1, 1))
            assert {t.dtype for t in targets[:4]} == {torch.float32}
            judged = other.clone().requires_grad_()
            weights = torch.tensor(loss_weights(settings))
            losses = step.losses(judged, space.zero(), targets, weights, views)
            total = losses["clip"] + losses["id"]
            assert total.dtype is torch.float32
            gradients.append((total.detach(), torch.autograd.grad(total.sum(), judged)[0]))
        (exact, slope), (near, near_slope) = gradients
        assert (near - exact).abs().max() < 1e-2
        assert F.cosine_similarity(slope.flatten(), near_slope.flatten(), dim=0) > 0.99
