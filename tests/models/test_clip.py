"""CLIP's towers against plain definitions, and what callers rely on."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.checkpoints import native
from styleclip_rt.models.clip import (
    CLIP,
    VIT_B_16,
    VIT_B_32,
    VIT_L_14,
    Attention,
    CLIPConfig,
    ConvTower,
    ConvTowerConfig,
    TextConfig,
    VisionTransformerConfig,
)
from styleclip_rt.models.tokenizer import tokenize

TEXT = TextConfig(width=32, layers=2, heads=2, activation="gelu", embedding_rank=8)
CONVOLUTIONAL = CLIPConfig(
    embed_dim=16,
    image_resolution=32,
    vision=ConvTowerConfig(widths=(8, 16), depths=(1, 2)),
    text=TEXT,
    logit_bias=True,
)
TRANSFORMER = CLIPConfig(
    embed_dim=16,
    image_resolution=32,
    vision=VisionTransformerConfig(patch_size=16, width=32, layers=2, heads=2),
    text=dataclasses.replace(TEXT, embedding_rank=None, vocabulary_size=49408),
)
BOTH = pytest.mark.parametrize("config", [CONVOLUTIONAL, TRANSFORMER], ids=["conv", "vit"])


def make(config: CLIPConfig) -> CLIP:
    torch.manual_seed(0)
    return CLIP(config).eval()


@BOTH
def test_embeddings_have_unit_norm_and_give_the_logits(config: CLIPConfig) -> None:
    model = make(config)
    pixels, tokens = torch.rand(3, 3, 48, 64), tokenize(["red hair", "a smile"])
    with torch.no_grad():
        image, text, logits = model.encode_image(pixels), model.encode_text(tokens), None
        if model.logit_bias is not None:
            model.logit_bias.fill_(-3.0)
        logits = model(pixels, tokens)
    assert torch.allclose(image.norm(dim=1), torch.ones(3))
    assert torch.allclose(text.norm(dim=1), torch.ones(2))
    bias = -3.0 if config.logit_bias else 0.0
    assert torch.allclose(logits, image @ text.T / 0.07 + bias, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "parameters"), [(VIT_B_32, 151277313), (VIT_B_16, 149620737), (VIT_L_14, 427616513)]
)
def test_published_shapes_have_the_published_number_of_parameters(
    config: CLIPConfig, parameters: int
) -> None:
    with torch.device("meta"):
        model = CLIP(config)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_definition(causal: bool) -> None:
    torch.manual_seed(0)
    attention, heads, width = Attention(12, 3, causal).double(), 3, 4
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    expected = torch.zeros(2, 5, 12, dtype=torch.float64)
    q, k, v = attention.qkv(x).detach().split(12, dim=2)
    for row in range(2):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for query in range(5):
                keys = range(query + 1) if causal else range(5)
                scores = [(q[row, query, part] @ k[row, key, part]).item() / 2 for key in keys]
                total = sum(math.exp(score) for score in scores)
                for key, score in zip(keys, scores, strict=True):
                    expected[row, query, part] += math.exp(score) / total * v[row, key, part]
    assert torch.allclose(attention(x), attention.out(expected), atol=1e-12)


def test_image_is_averaged_by_area_and_normalised() -> None:
    model = make(CONVOLUTIONAL)
    pixels = torch.rand(1, 3, 128, 96)
    small = pixels.view(1, 3, 32, 4, 32, 3).mean(dim=(3, 5))
    normalised = (small - torch.tensor(CONVOLUTIONAL.mean).view(3, 1, 1)) / torch.tensor(
        CONVOLUTIONAL.std
    ).view(3, 1, 1)
    with torch.no_grad():
        expected = F.normalize(model.vision(normalised), dim=1)
        assert torch.allclose(model.encode_image(pixels), expected, atol=1e-5)


def test_what_follows_the_end_of_text_is_not_read() -> None:
    model = make(CONVOLUTIONAL)
    tokens = tokenize(["red hair"])
    noise = tokens.clone()
    noise[0, 4:] = 17
    with torch.no_grad():
        embedding = model.encode_text(tokens)
        assert torch.allclose(embedding, model.encode_text(noise), atol=1e-6)
        assert torch.allclose(embedding, model.encode_text(tokens[:, :4]), atol=1e-6)
        assert not torch.allclose(embedding, model.encode_text(tokenize(["hair red"])), atol=1e-3)


def test_factored_vocabulary_is_the_product_of_its_factors() -> None:
    factored = make(CONVOLUTIONAL)
    plain = make(dataclasses.replace(CONVOLUTIONAL, text=TRANSFORMER.text))
    state = factored.state_dict()
    expansion = state.pop("text.token_expansion.weight")
    state["text.token_embedding.weight"] = state["text.token_embedding.weight"] @ expansion.T
    plain.load_state_dict(state)
    tokens = tokenize(["thick moustache", "\u8d64\u9aea"])
    assert torch.allclose(factored.encode_text(tokens), plain.encode_text(tokens), atol=1e-5)


def test_conv_tower_is_its_definition() -> None:
    torch.manual_seed(0)
    config = ConvTowerConfig(widths=(4, 6), depths=(1, 1), layer_scale=0.5)
    tower = ConvTower(config, embed_dim=5).double()
    for weight in tower.parameters():
        nn.init.normal_(weight, std=0.3)
    pixels = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    state = {key: value.detach() for key, value in tower.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        shape = (-1,) + (1,) * (x.dim() - 2)
        return scaled * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)

    def convolve(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        padding = 3 if groups > 1 else 0
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride, padding, groups=groups)

    def pointwise(x: Tensor, name: str) -> Tensor:
        mixed = torch.einsum("oc,nchw->nohw", state[f"{name}.weight"], x)
        return mixed + state[f"{name}.bias"].view(-1, 1, 1)

    def block(x: Tensor, name: str) -> Tensor:
        y = norm(convolve(x, f"{name}.depthwise", groups=x.shape[1]), f"{name}.norm")
        y = pointwise(y, f"{name}.expand")
        y = pointwise(y * (1 + torch.erf(y / math.sqrt(2))) / 2, f"{name}.contract")
        return x + y * state[f"{name}.scale"].view(-1, 1, 1)

    x = block(norm(convolve(pixels, "layers.0", stride=4), "layers.1"), "layers.2")
    x = block(convolve(norm(x, "layers.3"), "layers.4", stride=2), "layers.5")
    expected = norm(x.mean(dim=(2, 3)), "norm") @ state["projection.weight"].T
    assert torch.allclose(tower(pixels), expected, atol=1e-10)


@BOTH
def test_channels_last_changes_nothing(config: CLIPConfig) -> None:
    model = make(config)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model.encode_image(pixels)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        actual = model.encode_image(pixels.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(actual, expected, atol=1e-5)


@BOTH
def test_gradient_reaches_the_pixels(config: CLIPConfig) -> None:
    model = make(config).requires_grad_(False)
    pixels = torch.rand(1, 3, 64, 64, requires_grad=True)
    (
        1 - model.encode_image(pixels) @ model.encode_text(tokenize(["red lipstick"])).T
    ).sum().backward()
    assert pixels.grad is not None and bool(pixels.grad.abs().sum() > 0)


@BOTH
def test_exports_for_any_batch(config: CLIPConfig) -> None:
    model = make(config)
    pixels, tokens = torch.rand(3, 3, 64, 64), tokenize(["red hair", "a smile"])
    batches = {"pixels": {0: torch.export.Dim("n")}, "tokens": {0: torch.export.Dim("m")}}
    exported = torch.export.export(model, (pixels, tokens), dynamic_shapes=batches).module()
    with torch.no_grad():
        assert torch.allclose(exported(pixels[:2], tokens), model(pixels[:2], tokens), atol=1e-5)


@BOTH
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_towers_compile_with_torchscript(config: CLIPConfig) -> None:
    model = make(config)
    pixels, tokens = torch.rand(2, 3, 32, 32), tokenize(["red hair"])
    assert torch.allclose(torch.jit.script(model.vision)(pixels), model.vision(pixels), atol=1e-6)
    assert torch.allclose(torch.jit.script(model.text)(tokens), model.text(tokens), atol=1e-6)


@BOTH
def test_native_file_restores_config_and_weights(config: CLIPConfig, tmp_path: Path) -> None:
    model = make(config)
    native.save(model, tmp_path / "clip.safetensors")
    again = native.load(tmp_path / "clip.safetensors")
    assert again.config == config
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        CLIPConfig(image_resolution=225),
        CLIPConfig(vision=VisionTransformerConfig(heads=7)),
        CLIPConfig(text=TextConfig(activation="relu")),
    ],
)
def test_impossible_shape_is_an_error(config: CLIPConfig) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"225|heads|relu"):
        CLIP(config)
