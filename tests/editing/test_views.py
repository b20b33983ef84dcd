import torch

from styleclip_rt.editing.views import apply_views, random_views
from styleclip_rt.random_numbers import Random


def _parameters(count: int, strength: float, seed: int) -> torch.Tensor:
    return torch.from_numpy(random_views(1, count, strength, seed))[0]


def test_views_repeat_with_the_seed_and_begin_with_the_image() -> None:
    images = torch.rand(2, 3, 16, 16)
    first, second = (apply_views(images, _parameters(3, 0.2, seed=4)) for _ in range(2))
    assert first.shape == (6, 3, 16, 16)
    assert torch.equal(first, second)
    assert torch.equal(first[:2], images)
    assert not torch.allclose(first[2:4], images)


def test_views_of_no_strength_are_the_image() -> None:
    images = torch.rand(1, 3, 16, 16)
    views = apply_views(images, _parameters(2, 0.0, seed=0))
    torch.testing.assert_close(views[1:], images, atol=1e-5, rtol=0)


def test_one_view_needs_no_parameters() -> None:
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(apply_views(images, _parameters(1, 0.2, seed=0)), images)


def test_uniform_numbers_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(7)
    random = Random(7)
    for shape in ((3,), (2, 5), (40,)):
        expected = torch.rand(*shape, generator=generator)
        assert torch.equal(torch.from_numpy(random.uniform(*shape)), expected)


def test_normal_numbers_are_those_of_torch_but_for_rounding() -> None:
    expected = torch.randn(512, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(torch.from_numpy(Random(7).normal(512)), expected, atol=1e-5, rtol=0)
