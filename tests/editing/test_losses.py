import torch

from styleclip_rt.editing.losses import Preservation, length_across
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
