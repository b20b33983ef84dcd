import numpy as np
import pytest
import torch
from torch import Tensor

from recipes.labels.painting import LOOKS, paint
from recipes.labels.regions import find_regions, to_oklab
from styleclip_rt.errors import StyleClipError


@pytest.fixture(scope="module")
def masks(face) -> dict[str, Tensor]:
    found = find_regions(face.image, face.landmarks, face.person)
    return {name: mask[0] for name, mask in found.items()}


def _painted(face, masks: dict[str, Tensor], look: str, seed: int = 0) -> Tensor:
    return paint(face.image[0], masks, look, np.random.default_rng(seed))


def _colour(image: Tensor, mask: Tensor) -> tuple[float, float, float]:
    """Mean lightness, chroma and hue in degrees of what is well inside the mask."""
    lab = to_oklab(image)[:, mask > 0.9].mean(1)
    hue = float(torch.rad2deg(torch.atan2(lab[2], lab[1]))) % 360
    return float(lab[0]), float(lab[1:].norm()), hue


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_changes_the_face_and_nothing_else(face, masks, look: str) -> None:
    before = face.image.clone()
    after = _painted(face, masks, look)
    assert torch.equal(face.image, before)
    assert after.shape == before.shape[1:]
    assert after.min() >= 0
    assert after.max() <= 1
    change = (after - before[0]).abs().amax(0)
    assert change.max() > 0.05
    nowhere_near = masks["background"] > 0.99
    nowhere_near[:, 20:108] = False
    assert change[nowhere_near].max() < 0.01


@pytest.mark.parametrize("look", LOOKS)
def test_the_generator_decides_the_variation(face, masks, look: str) -> None:
    first = _painted(face, masks, look, seed=3)
    assert torch.equal(first, _painted(face, masks, look, seed=3))
    assert not torch.equal(first, _painted(face, masks, look, seed=4))


@pytest.mark.parametrize(
    ("look", "low", "high"),
    [
        ("hair_red", 25, 60),
        ("hair_green", 130, 170),
        ("hair_blue", 230, 275),
        ("hair_purple", 290, 325),
        ("hair_blond", 60, 95),
    ],
)
def test_black_hair_takes_the_hue(face, masks, look: str, low: float, high: float) -> None:
    for seed in range(4):
        lightness, chroma, hue = _colour(_painted(face, masks, look, seed), masks["hair"])
        assert low < hue < high
        assert chroma > 0.04
        assert lightness > 0.3


def test_red_lips_are_redder_and_skin_stays(face, masks) -> None:
    before, after = face.image[0], _painted(face, masks, "lips_red")
    red = to_oklab(after)[1] - to_oklab(before)[1]
    assert red[masks["lips"] > 0.9].mean() > 0.04
    assert red[masks["cheeks"] > 0.9].abs().max() < 1e-3


def test_dark_skin_is_brown_without_a_cast(face, masks) -> None:
    before, _, _ = _colour(face.image[0], masks["skin"])
    for seed in range(4):
        lightness, chroma, hue = _colour(_painted(face, masks, "skin_dark", seed), masks["skin"])
        assert 0.3 < lightness < before - 0.15
        assert 0.03 < chroma < 0.085
        assert 33 < hue < 58


def test_a_moustache_darkens_the_upper_lip_only(face, masks) -> None:
    before, after = to_oklab(face.image[0]), to_oklab(_painted(face, masks, "moustache"))
    change = after[0] - before[0]
    assert change[masks["upper_lip"] > 0.9].mean() < -0.1
    assert change[masks["cheeks"] > 0.9].abs().mean() < 0.02
    assert change[masks["eyes"] > 0.5].abs().max() < 0.02


def test_an_unknown_look_is_named(face, masks) -> None:
    with pytest.raises(StyleClipError, match="hair_plaid"):
        _painted(face, masks, "hair_plaid")
