"""StyleGAN2's latent spaces, draft images and gradients, against the textbook formulation."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, StyleGAN2Config


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    """A 32 px StyleGAN2 in float64 whose every weight matters."""
    torch.manual_seed(0)
    config = StyleGAN2Config((6, 5, 4, 3), latent_dim=8, n_mlp=3)
    model = StyleGAN2(config)
    state = {
        key: value + 0.3 * torch.randn(value.shape) for key, value in model.state_dict().items()
    }
    wide = StyleGAN2(config).double()
    wide.load_state_dict({key: value.double() for key, value in state.items()})
    return wide


def rand(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def blur(x: Tensor, border: tuple[int, int, int, int]) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, border), kernel, groups=x.shape[1])


def textbook_conv(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True, up: bool = False
) -> Tensor:
    """One weight for each sample, modulated and demodulated, in a grouped convolution."""
    n, inputs, height, width = x.shape
    outputs, _, k, _ = weight.shape
    w = weight[None] * style[:, None, :, None, None]
    if demodulate:
        w = w / torch.sqrt(w.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, n * inputs, height, width)
    if up:
        w = w.transpose(1, 2).reshape(n * inputs, outputs, k, k)
        x = F.conv_transpose2d(x, w, stride=2, groups=n)
        return blur(x.view(n, outputs, *x.shape[2:]), (1, 1, 1, 1))
    x = F.conv2d(x, w.reshape(n * outputs, inputs, k, k), padding=k // 2, groups=n)
    return x.view(n, outputs, height, width)


def textbook_images(model: StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """The skip images at every resolution, straight from the paper's figure 2c and 7b."""
    p = model.state_dict()
    x = p["constant"].expand(len(w_plus), -1, -1, -1)
    images: list[Tensor] = []
    for row in range(2 * len(model.config.channels) - 1):
        name = f"convs.{row}"
        style = w_plus[:, row] @ p[f"{name}.affine.weight"].T + p[f"{name}.affine.bias"]
        x = textbook_conv(x, p[f"{name}.weight"], style, up=row % 2 == 1)
        x = x + p[f"{name}.noise_strength"] * p[f"{name}.noise"]
        x = F.leaky_relu(x + p[f"{name}.bias"].view(1, -1, 1, 1), 0.2) * math.sqrt(2)
        if row % 2 == 0:
            name = f"to_rgbs.{row // 2}"
            style = w_plus[:, row + 1] @ p[f"{name}.affine.weight"].T + p[f"{name}.affine.bias"]
            rgb = textbook_conv(x, p[f"{name}.weight"], style, demodulate=False)
            rgb = rgb + p[f"{name}.bias"].view(1, -1, 1, 1)
            if images:
                spread = torch.zeros_like(rgb)
                spread[:, :, ::2, ::2] = images[-1]
                rgb = rgb + blur(spread, (2, 1, 2, 1))
            images.append(rgb)
    return images


def test_synthesis_equals_the_weight_modulated_form(generator):
    w_plus = rand(2, generator.n_latent, 8).requires_grad_()
    ours, textbook = generator.synthesis_all(w_plus), textbook_images(generator, w_plus)
    assert [image.shape[-1] for image in ours] == [4, 8, 16, 32]
    for mine, theirs in zip(ours, textbook, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
        probe = rand(*mine.shape)
        gradients = [
            torch.autograd.grad((image * probe).sum(), w_plus, retain_graph=True)[0]
            for image in (mine, theirs)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", [2, 3])
def test_layer_gradients_equal_the_weight_modulated_form(generator, index):
    layer = generator.convs[index]
    assert isinstance(layer, StyledConv)
    up = index % 2 == 1
    x = rand(2, layer.weight.shape[1], 5, 5).requires_grad_()
    style = rand(2, layer.weight.shape[1]).requires_grad_()
    ours, _ = layer(x, style, None)
    textbook = textbook_conv(x, layer.weight, style, up=up)
    textbook = F.leaky_relu(textbook + layer.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)
    torch.testing.assert_close(ours, textbook, rtol=1e-11, atol=1e-11)
    probe = rand(*ours.shape)
    mine = torch.autograd.grad((ours * probe).sum(), (x, style))
    theirs = torch.autograd.grad((textbook * probe).sum(), (x, style))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_latent_spaces_meet(generator):
    w = generator.mapping(rand(2, 8))
    w_plus = w[:, None].expand(-1, generator.n_latent, -1)
    image = generator.synthesis(w)
    assert torch.equal(image, generator.synthesis(w_plus))
    styles = generator.styles(w_plus)
    assert len(styles) == len(generator.style_rows) == 3 * 4 - 1
    assert torch.equal(image, generator.synthesis(styles))


def test_each_style_moves_with_its_row(generator):
    w_plus = rand(1, generator.n_latent, 8)
    before = generator.styles(w_plus)
    for row in range(generator.n_latent):
        moved = w_plus.clone()
        moved[:, row] += 1
        changed = [
            not torch.equal(a, b) for a, b in zip(before, generator.styles(moved), strict=True)
        ]
        assert changed == [feeds == row for feeds in generator.style_rows]


def test_mapping_truncates_around_the_mean(generator):
    z = rand(3, 8)
    w, mean = generator.mapping(z), generator.mean_latent
    assert torch.allclose(generator.mapping(7 * z), w), "z is normalised"
    assert torch.allclose(generator.mapping(z, 0.0), mean.expand(3, -1))
    assert torch.allclose(generator.mapping(z, 0.6), mean + 0.6 * (w - mean))


def test_a_draft_needs_no_layer_above_it(generator):
    w_plus = rand(1, generator.n_latent, 8).requires_grad_()
    draft = generator.synthesis(w_plus, resolution=8)
    assert torch.equal(draft, generator.synthesis_all(w_plus)[1])
    (gradient,) = torch.autograd.grad(draft.square().sum(), w_plus)
    moved = gradient.abs().sum((0, 2)) > 0
    assert moved.tolist() == [True] * 4 + [False] * (generator.n_latent - 4)


def test_a_residue_is_added_below_the_layers_above_its_size(generator):
    one, other = (generator.styles(w_plus) for w_plus in rand(2, 2, generator.n_latent, 8))
    difference = generator.features(other, 8) - generator.features(one, 8)
    # The convolutions at 4 and 8 px are of styles 0, 2 and 3; images are drawn of what they make.
    mixed = [*other[:4], *one[4:]]
    ours = generator.synthesis_all(one, residue=difference)
    theirs, plain = generator.synthesis_all(mixed), generator.synthesis_all(one)
    assert torch.equal(ours[1], plain[1]) and not torch.allclose(ours[2], plain[2])

    def own_share(images):  # of the image at 16 px, less what comes from the one at 8
        enlarged = ops.upfirdn2d(
            images[1], generator.image_kernel, up=2, padding=(2, 1, 2, 1), gain=4.0
        )
        return images[2] - enlarged

    assert torch.allclose(own_share(ours), own_share(theirs))


def test_noise(generator):
    w = rand(2, 8)
    own = [conv.noise for conv in generator.convs]
    assert torch.equal(generator.synthesis(w), generator.synthesis(w, noise=own))
    silent = generator.synthesis(w, noise=[torch.zeros_like(each) for each in own])
    assert torch.allclose(silent, generator.synthesis(w, noise="none"))
    torch.manual_seed(1)
    first, second = (generator.synthesis(w[:1].expand(2, -1), noise="random") for _ in range(2))
    assert not torch.allclose(first, second)
    assert not torch.allclose(first[0], first[1]), "each sample has its own noise"


def test_only_latents_get_gradients(generator):
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_clamp_limits_what_a_resolution_can_add():
    torch.manual_seed(0)
    free = StyleGAN2(StyleGAN2Config((4, 4), latent_dim=4, n_mlp=1))
    clamped = StyleGAN2(dataclasses.replace(free.config, clamp=0.25))
    clamped.load_state_dict(free.state_dict())
    w = 10 * torch.randn(3, 4)
    assert free.synthesis(w, resolution=4).abs().max() > 1
    assert clamped.synthesis(w, resolution=4).abs().max() == 0.25


@pytest.mark.parametrize(
    ("resolution", "rows", "coarse", "middle"),
    [(1024, 18, 4, 4), (256, 14, 4, 4), (64, 10, 4, 3), (16, 6, 2, 2), (8, 4, 2, 1)],
)
def test_layer_groups_cover_the_rows(resolution, rows, coarse, middle):
    with torch.device("meta"):
        model = StyleGAN2(StyleGAN2Config.sized(resolution))
    assert model.resolution == resolution
    assert model.n_latent == rows
    groups = model.layer_groups
    assert [row for name in ("coarse", "middle", "fine") for row in groups[name]] == [*range(rows)]
    assert (len(groups["coarse"]), len(groups["middle"])) == (coarse, middle)
    assert len(groups["fine"]) > 0


def test_config_f_has_the_published_size():
    with torch.device("meta"):
        model = StyleGAN2(StyleGAN2Config())
    assert StyleGAN2Config() == StyleGAN2Config.sized(1024)
    # 30.37 M parameters, as the official code reports for FFHQ at 1024 px.
    assert sum(parameter.numel() for parameter in model.parameters()) == 30_370_060


@pytest.mark.parametrize("resolution", [0, 4, 48, 2048])
def test_impossible_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match="8 to 1024"):
        StyleGAN2Config.sized(resolution)


W = torch.zeros(1, 8, dtype=torch.float64)


@pytest.mark.parametrize(
    ("latent", "options", "message"),
    [
        (torch.zeros(1, 9), {}, "does not fit"),
        (torch.zeros(8), {}, "does not fit"),
        (torch.zeros(1, 7, 8), {}, "does not fit"),
        ([torch.zeros(1, 6)], {}, "1 styles"),
        (W, {"resolution": 64}, "64 px"),
        (W, {"noise": "constant"}, "noise"),
        (W, {"noise": [torch.zeros(1, 1, 4, 4)]}, "list of 7"),
    ],
)
def test_wrong_inputs_are_named(generator, latent, options, message):
    with pytest.raises(StyleClipError, match=message):
        generator.synthesis(latent, **options)
