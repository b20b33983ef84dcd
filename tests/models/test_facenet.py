"""Inception-ResNet-v1: its crop and what callers rely on.

Its numbers are compared with upstream's in tests/checkpoints/test_identity_files.py.
"""

import pytest
import torch
from torch.nn import functional as F

from styleclip_rt.models.facenet import InceptionResnetV1, InceptionResnetV1Config


@pytest.fixture(scope="module")
def model() -> InceptionResnetV1:
    torch.manual_seed(0)
    config = InceptionResnetV1Config(input_size=94)
    return InceptionResnetV1(config).eval().requires_grad_(False)


def test_has_the_published_number_of_parameters(model: InceptionResnetV1) -> None:
    assert sum(weight.numel() for weight in model.parameters()) == 23_482_624


def test_encode_crops_averages_and_scales_like_facenet(model: InceptionResnetV1) -> None:
    image = torch.rand(1, 3, 256, 256)
    face = F.avg_pool2d(image[:, :, 35:223, 32:220], 2)
    expected = F.normalize(model((face * 255 - 127.5) / 128), dim=1)
    assert torch.allclose(model.encode(image), expected, atol=1e-5)
    assert torch.allclose(expected.norm(dim=1), torch.ones(1))


def test_gradient_reaches_the_pixels(model: InceptionResnetV1) -> None:
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    model.encode(image).sum().backward()
    assert image.grad is not None and bool(image.grad.abs().sum() > 0)
