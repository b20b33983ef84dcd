import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.errors import StyleClipError
from styleclip_rt.ops import haar_idwt2d
from tests.tiny import tiny_generator


def direct_idwt(x: Tensor) -> Tensor:
    """Synthesis with the separable Haar filters [1, 1] / sqrt 2 and [1, -1] / sqrt 2, by loops."""
    n, c4, h, w = x.shape
    c = c4 // 4
    out = torch.zeros(n, c, 2 * h, 2 * w, dtype=x.dtype)
    for channel in range(c):
        bands = [x[:, channel]] + [x[:, c + 3 * channel + k] for k in range(3)]
        for band, (flip_rows, flip_columns) in zip(
            bands, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True
        ):
            for i in range(2):
                for j in range(2):
                    sign = (-1) ** (flip_rows * i + flip_columns * j)
                    out[:, channel, i::2, j::2] += 0.5 * sign * band
    return out


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_inverse_wavelet_is_its_definition(n: int, c: int, h: int, w: int) -> None:
    x = torch.randn(n, 4 * c, h, w, dtype=torch.float64)
    torch.testing.assert_close(haar_idwt2d(x), direct_idwt(x))
    # Haar is orthonormal.
    torch.testing.assert_close(haar_idwt2d(x).norm(), x.norm())


def test_latents_in_w_w_plus_and_style_space_agree() -> None:
    generator = tiny_generator()
    w = generator.mapping(torch.randn(2, 16))
    w_plus = w[:, None].expand(-1, generator.n_latent, -1)
    image = generator.synthesis(w)
    assert image.shape == (2, 3, 64, 64)
    assert torch.equal(image, generator.synthesis(w_plus))
    assert torch.equal(image, generator.synthesis(generator.styles(w_plus)))


def test_half_size_is_the_exact_area_average() -> None:
    generator = tiny_generator()
    w = generator.mapping(torch.randn(1, 16))
    torch.testing.assert_close(
        generator.synthesis(w, 32), F.avg_pool2d(generator.synthesis(w), 2), rtol=1e-4, atol=1e-5
    )


def test_drafts_come_at_their_sizes_and_below() -> None:
    generator = tiny_generator(draft_resolutions=(16,))
    w = generator.mapping(torch.randn(1, 16))
    draft = generator.synthesis(w, 16)
    torch.testing.assert_close(generator.synthesis(w, 8), F.avg_pool2d(draft, 2))
    with pytest.raises(StyleClipError, match=r"draws \[16, 32, 64\]"):
        generator.synthesis(w, 24)


def test_a_residue_is_added_to_the_features_of_its_size() -> None:
    generator = tiny_generator().double()
    latents = torch.randn(2, 2, generator.n_latent, 16, dtype=torch.float64)
    one, other = (generator.styles(w_plus) for w_plus in latents)
    for side, below in ((4, 1), (8, 4), (16, 7)):
        difference = generator.features(other, side) - generator.features(one, side)
        mixed = generator.synthesis([*other[:below], *one[below:]])
        drawn = generator.synthesis(one, residue=difference)
        torch.testing.assert_close(drawn, mixed, rtol=1e-10, atol=1e-10)
        assert not torch.allclose(drawn, generator.synthesis(one), atol=1e-7)


def test_layer_groups_part_the_rows() -> None:
    generator = tiny_generator()
    rows = [row for group in generator.layer_groups.values() for row in group]
    assert rows == list(range(generator.n_latent))


def test_truncation_moves_towards_the_mean() -> None:
    generator = tiny_generator()
    generator.mean_latent.fill_(0.25)
    z = torch.randn(3, 16)
    full, half = generator.mapping(z), generator.mapping(z, 0.5)
    torch.testing.assert_close(half, 0.25 + 0.5 * (full - 0.25))
    torch.testing.assert_close(generator.mapping(z, 0.0), torch.full((3, 16), 0.25))


def test_gradient_reaches_only_the_latent() -> None:
    generator = tiny_generator()
    w = torch.randn(1, 16, dtype=torch.float64, requires_grad=True)
    generator = generator.double()
    assert torch.autograd.gradcheck(lambda x: generator.synthesis(x, 16)[..., ::5, ::5], (w,))
    generator.synthesis(w).sum().backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
