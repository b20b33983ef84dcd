from typing import cast

import pytest
import torch

from styleclip_rt.editing.spaces import SPACES, Space, Whitening, rows_of
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import fold, sample_z, unfold
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from tests.tiny import tiny_generator


def test_fold_undoes_unfold() -> None:
    w = torch.randn(100)
    torch.testing.assert_close(fold(unfold(w)), w)


def test_whitened_latents_have_unit_variance() -> None:
    generator = tiny_generator()
    axes = Whitening(generator).axes.double()
    with torch.no_grad():
        z = torch.randn(20000, 16, generator=torch.Generator().manual_seed(5))
        p = unfold(generator.mapping(z)).double()
    code = (p - p.mean(dim=0)) @ torch.linalg.inv(axes)
    torch.testing.assert_close(
        torch.cov(code.T), torch.eye(16, dtype=torch.float64), atol=0.1, rtol=0
    )


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("whiten", [True, False])
def test_zero_offset_draws_the_start(space: str, whiten: bool) -> None:
    generator = tiny_generator()
    z = sample_z(generator, [3])
    start = generator.mapping(z, 0.6)[:, None].repeat(1, generator.n_latent, 1)
    whitening = Whitening(generator) if whiten else None
    chosen = Space(generator, space, start, range(generator.n_latent), z, whitening)
    drawn = generator.synthesis(chosen.latent(chosen.zero()))
    torch.testing.assert_close(drawn, generator.synthesis(start), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_frozen_rows_do_not_move(space: str) -> None:
    generator = tiny_generator()
    z = sample_z(generator, [3])
    start = generator.mapping(z)[:, None].repeat(1, generator.n_latent, 1)
    rows = rows_of(generator, "coarse")
    chosen = Space(generator, space, start, rows, z, Whitening(generator))
    moved = chosen.latent(chosen.zero() + 0.5)
    if isinstance(moved, list):
        before, after = generator.styles(start), moved
    else:
        before, after = list(start.unbind(1)), list(moved.unbind(1))
    for row in range(generator.n_latent):
        assert torch.equal(before[row], after[row]) == (row not in rows)


def test_style_space_moves_the_styles_that_its_rows_feed() -> None:
    """A row of StyleGAN2 feeds a convolution and, every other time, an RGB layer as well."""
    generator = StyleGAN2(StyleGAN2Config((8, 8, 8, 8), latent_dim=16, n_mlp=1))
    start = generator.mapping(torch.randn(1, 16))[:, None].repeat(1, generator.n_latent, 1)
    last = generator.n_latent - 1
    chosen = Space(generator, "s", start, [last])
    moved = cast(list[torch.Tensor], chosen.latent(chosen.zero() + 1))
    changed = [not torch.equal(*pair) for pair in zip(generator.styles(start), moved, strict=True)]
    assert changed == [row == last for row in generator.style_rows]
    assert any(changed)


def test_seeds_are_independent_of_the_batch() -> None:
    generator = tiny_generator()
    torch.testing.assert_close(sample_z(generator, [7, 8])[1:], sample_z(generator, [8]))


@pytest.mark.parametrize("layers", ["", "coarse,top", "0-3"])
def test_unknown_layer_groups_are_named(layers: str) -> None:
    with pytest.raises(StyleClipError, match="coarse, middle, fine"):
        rows_of(tiny_generator(), layers)


def test_space_z_needs_a_seed() -> None:
    generator = tiny_generator()
    start = generator.mean_latent[None, None].repeat(1, generator.n_latent, 1)
    with pytest.raises(StyleClipError, match="seed"):
        Space(generator, "z", start, [0])
    with pytest.raises(StyleClipError, match="z, w, w\\+, s"):
        Space(generator, "x", start, [0])
