import torch
from tests.tiny import tiny_bundle

from styleclip_rt.losses import Preservation, Views, directional_gain, relevance


def test_views_repeat_with_the_seed_and_begin_with_the_image() -> None:
    images = torch.rand(2, 3, 16, 16)
    first, second = Views(3, 0.2, seed=4)(images), Views(3, 0.2, seed=4)(images)
    assert first.shape == (6, 3, 16, 16)
    assert torch.equal(first, second)
    assert torch.equal(first[:2], images)
    assert not torch.allclose(first[2:4], images)


def test_views_of_no_strength_are_the_image() -> None:
    images = torch.rand(1, 3, 16, 16)
    views = Views(2, 0.0, seed=0)(images)
    torch.testing.assert_close(views[1:], images, atol=1e-5, rtol=0)


def test_gain_splits_by_pythagoras() -> None:
    change = torch.randn(5, 8)
    direction = torch.nn.functional.normalize(torch.randn(5, 8), dim=1)
    along, across = directional_gain(change, direction)
    torch.testing.assert_close(along.square() + across, change.square().sum(dim=1))


def test_preservation_counts_only_where_it_is_weighted() -> None:
    original = torch.rand(1, 3, 128, 128)
    weight = torch.ones(1, 1, 16, 16)
    weight[..., 8:] = 0
    preservation = Preservation(original, weight)
    assert float(preservation(original)) == 0
    outside, inside = original.clone(), original.clone()
    outside[..., 80:120] += 0.3
    inside[..., 8:48] += 0.3
    assert float(preservation(outside)) < 1e-6 < 0.01 < float(preservation(inside))


def test_relevance_finds_where_the_embedding_looks() -> None:
    class LooksAtTheCorner:
        image_resolution = 32

        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels[..., :8, :8].mean(dim=(2, 3))

    found = relevance(LooksAtTheCorner(), torch.rand(1, 3, 32, 32), torch.ones(1, 3))
    assert found.shape == (1, 1, 16, 16)
    assert float(found[..., :4, :4].min()) > 0.4
    assert float(found[..., 6:, 6:].max()) == 0


def test_relevance_leaves_no_gradient_behind() -> None:
    clip = tiny_bundle().clip
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    relevance(clip, image, torch.ones(1, 8))  # type: ignore[arg-type]
    assert image.grad is None
