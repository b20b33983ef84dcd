"""The square FFHQ would cut, sub-pixel both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.faces import Face
from styleclip_rt.photos.mesh import LEFT_EYE, LEFT_MOUTH, RIGHT_EYE, RIGHT_MOUTH

coordinate = st.floats(-300, 900)
alignments = st.builds(
    lambda x, y, side, turn: Alignment(
        (x, y), (side / 2 * float(np.cos(turn)), side / 2 * float(np.sin(turn)))
    ),
    coordinate, coordinate, st.floats(20, 700), st.floats(-3.2, 3.2),
)  # fmt: skip


def face_with(eyes: np.ndarray, mouth: np.ndarray) -> Face:
    points = np.zeros((478, 3), np.float32)
    points[list(LEFT_EYE), :2], points[list(RIGHT_EYE), :2] = eyes
    points[[LEFT_MOUTH, RIGHT_MOUTH], :2] = mouth
    return Face(points, 1.0)


def ffhq_quad(eyes: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Lines of `recreate_aligned_images` in NVlabs/ffhq-dataset, download_ffhq.py."""
    eye_left, eye_right = eyes
    eye_avg = (eye_left + eye_right) * 0.5
    eye_to_eye = eye_right - eye_left
    mouth_avg = (mouth[0] + mouth[1]) * 0.5
    eye_to_mouth = mouth_avg - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@given(st.integers(0, 10**6))
def test_the_square_is_ffhqs(seed):
    random = np.random.default_rng(seed)
    turn = random.uniform(-np.pi, np.pi)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    face = np.array([[-1, 0], [1, 0], [-0.7, 2], [0.7, 2]]) + random.normal(0, 0.2, (4, 2))
    points = (face @ rotation * random.uniform(10, 200) + random.uniform(0, 900, 2)).astype("f4")
    alignment = Alignment.of(face_with(points[:2], points[2:]))
    expected = ffhq_quad(points[:2].astype(float), points[2:].astype(float))
    np.testing.assert_allclose(alignment.quad, expected, atol=1e-3)


@given(alignments, st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5))
def test_points_come_back(alignment, points):
    points = np.array(points)
    np.testing.assert_allclose(alignment.to_picture(alignment.to_square(points)), points, atol=1e-6)


def slope(height: int, width: int) -> np.ndarray:
    """Red rises to the right and green downwards, [H, W, 3] in [0, 1]."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width, y / height, np.full_like(x, 0.5)], -1).astype(np.float32)


inside = st.builds(
    lambda x, y, share, turn: Alignment(
        (x, y),
        # Half the side of the largest square that fits at any tilt.
        (
            share * min(x, y, 400 - x, 300 - y) / 1.5 * float(np.cos(turn)),
            share * min(x, y, 400 - x, 300 - y) / 1.5 * float(np.sin(turn)),
        ),
    ),
    st.floats(100, 300), st.floats(100, 200), st.floats(0.2, 0.9), st.floats(-3.2, 3.2),
)  # fmt: skip


@given(inside, st.sampled_from([16, 64, 150, 401]))
def test_a_crop_shows_the_slope_at_its_own_place(alignment, size):
    picture = slope(300, 400).transpose(2, 0, 1)
    crop = alignment.crop(picture, size)
    centres = (np.arange(size) + 0.5) / size
    where = alignment.to_picture(np.stack(np.meshgrid(centres, centres), -1))
    expected = (where / (400, 300)).transpose(2, 0, 1)
    # A hundredth of a pixel is 2.5e-5 of the slope.
    np.testing.assert_allclose(crop[:2], expected, atol=5e-5)


@given(inside, st.sampled_from([64, 150, 401]))
def test_what_is_put_back_lies_where_it_was(alignment, size):
    picture = slope(300, 400).transpose(2, 0, 1)
    rows, columns = alignment.window((300, 400))
    back = alignment.inverse(alignment.crop(picture, size), (300, 400))
    # Away from the square's edge, where what lies beyond it is mirrored.
    well_inside = alignment.coverage((300, 400), 0.12) > 0.999
    difference = (back - picture[:, rows, columns])[:, well_inside]
    assert well_inside.any()
    assert np.abs(difference).max() < 1e-4


@given(alignments)
def test_a_square_anywhere_can_be_cropped_and_put_back(alignment):
    pixels = (slope(60, 80) * 255).astype(np.uint8)
    crop = alignment.crop(pixels, 32)
    assert crop.shape == (3, 32, 32)
    assert np.isfinite(crop).all()
    rows, columns = alignment.window((60, 80))
    back = alignment.inverse(crop, (60, 80))
    assert back.shape == (3, rows.stop - rows.start, columns.stop - columns.start)
    assert alignment.coverage((60, 80)).shape == back.shape[1:]


def test_the_picture_is_mirrored_beyond_its_border():
    pixels = (slope(40, 40) * 255).astype(np.uint8)
    crop = Alignment((20, 20), (40, 0)).crop(pixels, 80)
    mirrored = np.pad(pixels, ((20, 20), (20, 20), (0, 0)), "symmetric") / 255
    np.testing.assert_allclose(crop, mirrored.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("size", [512, 80, 37])
def test_fine_stripes_become_grey_not_moire(size):
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = Alignment((300, 300), (290, 20)).crop(stripes, size)
    if size == 512:
        assert crop[:, 50:-50, 50:-50].std() < 0.2
    else:
        assert np.abs(crop - 0.5).max() < 0.1


def test_an_enlarged_crop_is_as_sharp_as_a_cubics():
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(60, 190, (24, 24, 3), np.uint8))
    pixels = np.array(small.resize((48, 48), Image.Resampling.BICUBIC))
    crop = Alignment((24, 24), (24, 0)).crop(pixels, 192)
    cubic = np.array(Image.fromarray(pixels).resize((192, 192), Image.Resampling.BICUBIC)) / 255
    difference = crop - cubic.transpose(2, 0, 1)
    assert np.abs(difference[:, 8:-8, 8:-8]).mean() < 0.01


def test_coverage_is_0_outside_and_1_within():
    alignment = Alignment((50, 50), (20, 0))
    rows, columns = alignment.window((100, 100))
    assert (rows, columns) == (slice(30, 70), slice(30, 70))
    soft = alignment.coverage((100, 100), 0.25)
    assert soft[20, 20] == 1
    assert 0 < soft[20, 2] < soft[20, 6] < 1
