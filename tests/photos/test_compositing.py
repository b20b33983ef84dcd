"""What comes of a photograph: what the edit changed, and not a bit elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.compositing import (
    FAINTEST,
    about,
    composite,
    decided,
    motion,
    moved,
    nearest,
    weight_in_picture,
)
from styleclip_rt.photos.oklab import from_oklab, to_oklab
from styleclip_rt.photos.regions import REGIONS
from styleclip_rt.photos.resampling import resized

SIZE = 64
ALIGNMENTS = st.builds(
    lambda x, y, side, turn: Alignment(
        (x, y), (side / 2 * float(np.cos(turn)), side / 2 * float(np.sin(turn)))
    ),
    st.floats(-20, 140), st.floats(-20, 120), st.floats(30, 200), st.floats(-3.2, 3.2),
)  # fmt: skip


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (100, 120, 3), np.uint8)


def smooth(seed: int) -> np.ndarray:
    low = np.random.default_rng(seed).random((3, 5, 5), np.float32)
    return resized(low, (SIZE, SIZE))


def test_oklab_is_ottossons() -> None:
    # The table of his page: XYZ of D65 white is (1, 0, 0); red, green and blue by his own code.
    colours = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).float()
    expected = torch.tensor(
        [
            [1.0, 0.0, 0.0],
            [0.6279554, 0.2248631, 0.1258463],
            [0.8664396, -0.2338874, 0.1794985],
            [0.4520137, -0.0324570, -0.3115281],
        ]
    )
    found = to_oklab(colours.T[:, :, None])[:, :, 0].T
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


@given(st.integers(0, 2**31))
def test_colours_come_back_from_oklab_and_are_the_same_in_numpy(seed: int) -> None:
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(seed))
    colours = to_oklab(image)
    torch.testing.assert_close(from_oklab(colours), image, atol=1e-4, rtol=0)
    np.testing.assert_allclose(to_oklab(image.numpy()), colours, atol=1e-6)
    np.testing.assert_allclose(from_oklab(colours.numpy()), image, atol=1e-4)


@settings(max_examples=30)
@given(ALIGNMENTS, st.integers(0, 1000), st.booleans())
def test_outside_the_mask_not_a_bit_changes(alignment: Alignment, seed: int, moves: bool) -> None:
    pixels = photograph(seed)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[20:40, 16:44] = 1
    flow = np.full((2, SIZE, SIZE), 0.05, np.float32) if moves else None
    result = composite(pixels, alignment, smooth(1), smooth(2), mask, flow)
    y, x = np.mgrid[:100, :120] + 0.5
    inside = alignment.to_square(np.stack([x, y], -1)) * SIZE
    # Cubic interpolation reaches two of the mask's pixels, or of the photograph's.
    reach = 2 + 2 * SIZE / alignment.side
    near = (
        (inside[..., 0] > 16 - reach)
        & (inside[..., 0] < 44 + reach)
        & (inside[..., 1] > 20 - reach)
        & (inside[..., 1] < 40 + reach)
    )
    assert np.array_equal(result[~near], pixels[~near])
    assert result.shape == pixels.shape and result.dtype == np.uint8


@settings(max_examples=30)
@given(ALIGNMENTS, st.integers(0, 1000), st.booleans())
def test_the_weight_tells_exactly_where_it_changes(
    alignment: Alignment, seed: int, moves: bool
) -> None:
    pixels = photograph(seed)
    # Most of it about the least weight that counts, where rounding would show.
    mask = (2 * FAINTEST * smooth(seed)[0]).astype(np.float32)
    mask[30:34, 30:34] = 1
    flow = np.full((2, SIZE, SIZE), 0.05, np.float32) if moves else None
    changed = (composite(pixels, alignment, smooth(1), smooth(2), mask, flow) != pixels).any(-1)
    window, weight = weight_in_picture(mask, alignment, (100, 120))
    whole = np.zeros((100, 120), np.float32)
    whole[window] = weight
    assert not changed[whole == 0].any()


def test_hair_is_there_or_not() -> None:
    found = decided(np.array([[0.0, 0.04, 0.2, 0.6, 0.75, 1.0]], np.float32))[0]
    assert found[0] == found[1] == 0 and found[4] == found[5] == 1
    assert found[2] < 0.2 and found[3] > 0.9


def test_open_lips_are_lips_all_over() -> None:
    """A map of lips is highest between them, and lips that smile are at its rim."""
    regions = np.zeros((len(REGIONS), SIZE, SIZE), np.float32)
    lips, mouth = REGIONS.index("lips"), REGIONS.index("mouth")
    regions[mouth, 28:36], regions[lips, 24:28], regions[lips, 36:40] = 1, 1, 1
    relevance = np.zeros((SIZE, SIZE), np.float32)
    relevance[24:40], relevance[28:36] = 0.5, 1
    mask = about(relevance, regions)
    assert mask[25:39].min() > 0.99


def test_no_change_and_no_mask_leave_the_photograph() -> None:
    pixels, alignment = photograph(), Alignment((60, 50), (40, 3))
    ones, drawing = np.ones((SIZE, SIZE), np.float32), smooth(1)
    same = composite(pixels, alignment, drawing, drawing, ones)
    assert np.abs(same.astype(int) - pixels).max() <= 1
    assert np.array_equal(composite(pixels, alignment, drawing, smooth(2), 0 * ones), pixels)


def test_the_change_arrives_where_it_was_drawn() -> None:
    grey = np.full((100, 120, 3), 128, np.uint8)
    before, after = np.full((2, 3, SIZE, SIZE), 0.5, np.float32)
    ones = np.ones((SIZE, SIZE), np.float32)
    after[0, :, : SIZE // 2] = 0.7
    # The square upside down: what is left in the drawing is right in the picture.
    result = composite(grey, Alignment((60, 50), (-30, 0)), before, after, ones)
    reddened = result[50, :, 0].astype(int) - result[50, :, 1]
    assert reddened[70:85].min() > 30
    assert abs(reddened[35:55]).max() <= 1


def test_a_motion_takes_points_and_what_is_around_along() -> None:
    random = np.random.default_rng(0)
    before = random.uniform(0.3, 0.7, (300, 2)).astype(np.float32) * SIZE
    flow = motion(before, before + np.float32(0.04 * SIZE), SIZE)
    assert flow[:, 30:34, 30:34].min() > 0.03
    assert np.abs(flow[:, 0, 0]).max() < 0.01
    assert not motion(before, before + np.float32(0.002 * SIZE), SIZE).any()
    spot = np.zeros((1, SIZE, SIZE), np.float32)
    spot[0, 31:33, 31:33] = 1
    there = moved(spot, np.full((2, SIZE, SIZE), 4 / SIZE, np.float32))[0]
    assert np.unravel_index(int(there.argmax()), (SIZE, SIZE)) in {
        (35, 35), (35, 36), (36, 35), (36, 36),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("named", "changed"),
    [
        ({"hair": 0.9, "skin": 0.2, "background": 0.4, "clothes": 0.5}, {"hair"}),
        ({"skin": 0.9, "eyes": 0.9, "lips": 0.9, "hair": 0.3}, {"skin", "eyes", "lips"}),
    ],
)  # fmt: skip
def test_a_prompt_changes_the_regions_that_it_is_about(
    named: dict[str, float], changed: set[str]
) -> None:
    """Regions in stripes; the map says how much the prompt is about each."""
    count = len(REGIONS)
    wide = np.ones((1, 8 * count), np.float32)
    regions = np.eye(count, dtype=np.float32).repeat(8, 1)[:, :, None] * wide
    relevance = np.array([named.get(name, 0.0) for name in REGIONS], np.float32)
    mask = about(relevance.repeat(8)[:, None] * wide, regions)
    for number, name in enumerate(REGIONS):
        share = float(mask[8 * number + 3 : 8 * number + 5].mean())
        assert share > 0.95 if name in changed else share < 0.45, name


def test_a_place_belongs_to_the_face_that_is_nearest() -> None:
    square, own = Alignment((60, 50), (40, 0)), (50.0, 40.0, 70.0, 60.0)
    assert nearest(square, own, [], SIZE).min() == 1
    beside = nearest(square, own, [(80.0, 40.0, 100.0, 60.0), (0.0, 0.0, 2.0, 2.0)], SIZE)
    middle = SIZE // 2
    assert beside[middle, middle] > 0.999  # x = 60
    assert beside[middle, round((90 - 20) / 80 * SIZE)] < 0.001
    assert 0.1 < beside[middle, round((75 - 20) / 80 * SIZE)] < 0.9


def test_a_trace_of_something_new_changes_nothing() -> None:
    pixels, alignment = photograph(), Alignment((60, 50), (40, 0))
    mask, new = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    mask[40:60, 40:60], new[44, 44] = 1, 1e-4
    before, after = smooth(1), smooth(2)
    without = composite(pixels, alignment, before, after, mask)
    np.testing.assert_array_equal(
        composite(pixels, alignment, before, after, mask, new=new), without
    )
