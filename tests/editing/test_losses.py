import pytest
import torch
from torch.nn import functional as F

from styleclip_rt.editing.losses import (
    EMBEDDING_TIP,
    Preservation,
    length_across,
    smooth_abs,
    smooth_cosine,
)
from styleclip_rt.models.looks import RegionPrior


def test_length_across_is_what_pythagoras_leaves() -> None:
    change = torch.randn(5, 8)
    direction = torch.nn.functional.normalize(torch.randn(5, 8), dim=1)
    along = (change * direction).sum(dim=1)
    across = length_across(change, direction)
    torch.testing.assert_close(along.square() + across, change.square().sum(dim=1))
    torch.testing.assert_close(
        length_across(direction, direction), torch.zeros(5), atol=1e-6, rtol=0
    )


def test_preservation_counts_only_where_it_is_weighted() -> None:
    original = torch.rand(1, 3, 128, 128)
    weight = torch.ones(1, 1, 16, 16)
    weight[..., 8:] = 0
    preservation = Preservation.of(original, weight)
    assert float(preservation.distance(original)) == 0
    outside, inside = original.clone(), original.clone()
    outside[..., 80:120] += 0.3
    inside[..., 8:48] += 0.3
    assert (
        float(preservation.distance(outside)) < 1e-6 < 0.01 < float(preservation.distance(inside))
    )


def test_a_prompt_gets_the_map_of_the_phrase_it_is_near_to() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[0, 0], maps[1, 3] = 0.5, 0.5
    phrases = torch.eye(2, 8)
    found = RegionPrior(["lips", "hair"], maps).relevance(phrases, phrases)
    assert found.shape == (2, 1, 4, 4)
    torch.testing.assert_close(found[0, 0, 0], torch.ones(4))
    assert float(found[0, 0, 3].max()) < 1e-6
    between = torch.nn.functional.normalize(torch.ones(1, 8) * phrases.sum(0), dim=1)
    both = RegionPrior(["lips", "hair"], maps).relevance(between, phrases)
    torch.testing.assert_close(both[0, 0, [0, 3]], torch.ones(2, 4))


@pytest.mark.parametrize("tip", [1e-3, 0.03, 1.0])
def test_smooth_abs_is_abs_with_a_gradient_that_goes_through_zero(tip: float) -> None:
    x = torch.linspace(-4, 4, 401, dtype=torch.float64).requires_grad_()
    smooth = smooth_abs(x, tip)
    # No further from |x| than the tip, and the textbook's form.
    assert ((x.abs() - smooth).detach() <= tip + 1e-12).all()
    torch.testing.assert_close(smooth, tip * ((1 + (x / tip) ** 2).sqrt() - 1))
    (slope,) = torch.autograd.grad(smooth.sum(), x)
    assert ((slope.abs() <= 1) & (slope * x.sign() >= 0)).all()
    # Rounding about zero leaves a gradient in proportion to it, in float32 too.
    noise = torch.tensor([-1e-7, 0.0, 1e-7]).requires_grad_()
    (near,) = torch.autograd.grad(smooth_abs(noise, tip).sum(), noise)
    torch.testing.assert_close(near, noise.detach() / tip, rtol=1e-4, atol=0)


def test_at_the_original_the_preservation_has_no_gradient_but_that_of_the_change() -> None:
    torch.manual_seed(0)
    original = torch.rand(1, 3, 256, 256)
    preservation = Preservation.of(original, torch.ones(1, 1, 16, 16))

    def slope(image: torch.Tensor) -> float:
        image = image.requires_grad_()
        return float(torch.autograd.grad(preservation.distance(image).sum(), image)[0].norm())

    rounded = slope(original + 1e-7 * torch.randn_like(original))
    seen = slope(original + 0.3 * torch.randn_like(original))
    assert slope(original.clone()) == 0
    assert rounded < 1e-3 * seen


def test_smooth_cosine_begins_along_the_direction_and_becomes_the_cosine() -> None:
    torch.manual_seed(0)
    direction = F.normalize(torch.randn(4, 16), dim=1)
    change = (1e-7 * torch.randn(4, 16)).requires_grad_()
    (slope,) = torch.autograd.grad(smooth_cosine(change, direction).sum(), change)
    torch.testing.assert_close(slope, direction / EMBEDDING_TIP, rtol=1e-3, atol=1e-3)
    long = torch.randn(4, 16)
    exact = F.cosine_similarity(long, direction)
    torch.testing.assert_close(smooth_cosine(long, direction), exact, rtol=1e-3, atol=0)
