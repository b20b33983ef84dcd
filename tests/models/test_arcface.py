"""ArcFace: its units against their definition, its crop, and what callers rely on."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig, ResidualUnit

SMALL = ArcFaceConfig(widths=(8, 16), units=(1, 2), reduction=4, embed_dim=12, input_size=28)


def make(config: ArcFaceConfig = SMALL) -> ArcFace:
    torch.manual_seed(0)
    model = ArcFace(config).requires_grad_(False)
    shake(model)
    return model.eval()


def shake(model: nn.Module) -> None:
    """Give batch norms and PReLUs values that a trained network would have."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.0, 0.5)


def test_default_is_ir_se50() -> None:
    with torch.device("meta"):
        model = ArcFace(ArcFaceConfig())
    assert sum(weight.numel() for weight in model.parameters()) == 43_797_696
    assert len(model.units) == 24


@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (8, 2), (4, 2)])
def test_residual_unit_is_its_definition(inputs: int, stride: int) -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(inputs, 8, stride, SMALL).double().requires_grad_(False)
    shake(unit)
    unit.eval()
    x = torch.randn(2, inputs, 6, 6, dtype=torch.float64)

    def norm(x: Tensor, layer: nn.Module) -> Tensor:
        assert isinstance(layer, nn.BatchNorm2d)
        scale = layer.weight / (layer.running_var + 1e-5).sqrt()
        return (x - layer.running_mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + layer.bias.view(
            -1, 1, 1
        )

    y = F.conv2d(norm(x, unit.norm1), unit.conv1.weight, padding=1)
    y = torch.where(y > 0, y, y * unit.prelu.weight.view(-1, 1, 1))
    y = norm(F.conv2d(y, unit.conv2.weight, stride=stride, padding=1), unit.norm2)
    pooled = y.mean(dim=(2, 3))
    squeezed = (pooled @ unit.gate.squeeze.weight.T).clamp(min=0)
    y = y * (1 / (1 + torch.exp(-squeezed @ unit.gate.excite.weight.T)))[:, :, None, None]
    shortcut = x[:, :, ::stride, ::stride]
    if inputs != 8:
        shortcut = norm(F.conv2d(shortcut, unit.shortcut[0].weight), unit.shortcut[1])
    assert torch.allclose(unit(x), y + shortcut, atol=1e-10)


def test_encode_crops_averages_and_scales() -> None:
    model = make()
    image = torch.rand(2, 3, 256, 256)
    # Each pixel repeated 7 times gives 1316 = 28 * 47, which pooling averages exactly.
    face = image[:, :, 35:223, 32:220].repeat_interleave(7, 2).repeat_interleave(7, 3)
    face = F.avg_pool2d(face, 47)
    expected = F.normalize(model(face * 2 - 1), dim=1)
    assert torch.allclose(model.encode(image), expected, atol=1e-5)
    assert torch.allclose(model.encode(image).norm(dim=1), torch.ones(2))


def test_encode_ignores_what_is_outside_the_crop() -> None:
    model = make()
    image = torch.rand(1, 3, 256, 256)
    other = torch.rand(1, 3, 256, 256)
    other[:, :, 35:223, 32:220] = image[:, :, 35:223, 32:220]
    assert torch.equal(model.encode(image), model.encode(other))


def test_encode_gives_the_same_at_any_resolution() -> None:
    model = make()
    image = torch.rand(1, 3, 256, 256)
    large = image.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(model.encode(image), model.encode(large), atol=1e-5)


def test_gradient_reaches_the_pixels() -> None:
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    make().encode(image).sum().backward()
    assert image.grad is not None and bool(image.grad.abs().sum() > 0)


def test_without_squeeze_and_excite() -> None:
    model = make(ArcFaceConfig(widths=(8,), units=(1,), squeeze_excite=False, input_size=8))
    assert not any("gate" in key for key in model.state_dict())
    assert model.encode(torch.rand(1, 3, 32, 32)).shape == (1, 512)


def test_exports() -> None:
    model = make()
    image = torch.rand(2, 3, 28, 28)
    assert torch.allclose(torch.export.export(model, (image,)).module()(image), model(image))


@pytest.mark.parametrize(
    "shape",
    [
        {"widths": (8, 16), "units": (1,)},
        {"input_size": 100},
        {"widths": (8,), "units": (1,), "reduction": 16},
    ],
)
def test_impossible_shape_is_an_error(shape: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"stage|halved|reduction"):
        ArcFaceConfig(**shape)  # type: ignore[arg-type]
