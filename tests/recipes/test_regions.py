import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recipes.labels.regions import (
    REGIONS,
    blur,
    find_regions,
    from_oklab,
    to_oklab,
)


def _overlap(a: Tensor, b: Tensor) -> float:
    return float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum())


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # published with the colour space's definition
        ((1, 1, 1), (1.0, 0.0, 0.0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_known_colours(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    found = to_oklab(torch.tensor(rgb).float().view(3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(lab), atol=2e-4, rtol=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_oklab_round_trip(rgb: list[float]) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float64).view(3, 1, 1)
    torch.testing.assert_close(from_oklab(to_oklab(pixel)), pixel, atol=1e-5, rtol=0)


def test_blur_is_a_gaussian_sum() -> None:
    sigma = 1.3
    image = torch.rand(1, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    reach = range(-4, 5)
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in reach]
    total = sum(weights) ** 2
    y, x = 1, 10  # near a corner, where edges repeat
    expected = sum(
        weights[i + 4] * weights[j + 4] * image[0, min(max(y + i, 0), 8), min(max(x + j, 0), 11)]
        for i in reach
        for j in reach
    )
    torch.testing.assert_close(blur(image, sigma)[0, y, x], expected / total, atol=1e-6, rtol=0)


def test_masks_are_soft_and_complete(face) -> None:
    masks = find_regions(face.image, face.landmarks, face.person)
    assert tuple(masks) == REGIONS
    for mask in masks.values():
        assert mask.shape == (1, 128, 128)
        assert mask.min() >= 0
        assert mask.max() <= 1


def test_hair_is_found_and_a_shirt_of_its_colour_is_not(face) -> None:
    hair = find_regions(face.image, face.landmarks, face.person)["hair"][0]
    assert _overlap(hair, face.hair) > 0.8
    assert hair[120:].mean() < 0.05


def test_without_hair_no_hair_is_found(face) -> None:
    bald = face.image.clone()
    skin = face.image[0, :, 70, 64]
    bald[0][:, face.hair > 0] = skin[:, None]
    masks = find_regions(bald, face.landmarks, face.person)
    assert masks["hair"].sum() < 0.35 * face.hair.sum()


def test_skin_covers_the_forehead_and_neck_the_throat(face) -> None:
    masks = find_regions(face.image, face.landmarks, face.person)
    assert masks["skin"][0, 36:44, 60:68].mean() > 0.8
    below_chin = face.throat.clone()
    below_chin[:110] = 0
    below_chin[114:] = 0
    assert (masks["neck"][0] * below_chin).sum() > 0.7 * below_chin.sum()


def test_lips_leave_the_mouth_open(face) -> None:
    masks = find_regions(face.image, face.landmarks, face.person)
    assert masks["lips"][0, 90, 64] < 0.2  # between the lips
    assert masks["lips"][0, 87, 64] > 0.7  # upper lip
    assert masks["lips"][0, 93, 64] > 0.7  # lower lip


def test_regions_of_the_face_do_not_overlap(face) -> None:
    masks = find_regions(face.image, face.landmarks, face.person)
    for other in ("lips", "eyes", "brows"):
        assert torch.minimum(masks["skin"], masks[other]).max() <= 0.5


def test_a_batch_gives_what_single_faces_give(face) -> None:
    darker = face.image * 0.8
    both = find_regions(
        torch.cat([face.image, darker]),
        face.landmarks.repeat(2, 1, 1),
        face.person.repeat(2, 1, 1),
    )
    alone = find_regions(darker, face.landmarks, face.person)
    for name, mask in alone.items():
        torch.testing.assert_close(both[name][1:], mask, atol=1e-4, rtol=0)
