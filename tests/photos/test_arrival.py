"""That a region of a photograph comes to the edited drawing's colours."""

import numpy as np
import pytest

from styleclip_rt.photos.arrival import missing, paleness
from styleclip_rt.photos.oklab import from_oklab, to_oklab
from styleclip_rt.photos.resampling import Planes

SIZE = 64
WHOLE = np.ones((1, SIZE, SIZE), np.float32)


def strands(lightness: float, contrast: float, seed: int) -> Planes:
    lab = np.zeros((3, SIZE, SIZE), np.float32)
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).clip(-2, 2)
    lab[0] = lightness + contrast * noise
    lab[2] = 0.05
    return from_oklab(lab)


def arrived(photograph: Planes, before: Planes, after: Planes) -> Planes:
    lacking = missing(photograph, before, after, WHOLE, WHOLE)
    own, old, new = (to_oklab(image) for image in (photograph, before, after))
    return own + new - old + lacking


def test_hair_that_is_drawn_too_dark_becomes_as_black_as_the_drawing() -> None:
    photograph, before, after = strands(0.7, 0.06, 0), strands(0.5, 0.02, 1), strands(0.25, 0.01, 1)
    found, goal = arrived(photograph, before, after), to_oklab(after)
    np.testing.assert_allclose(np.median(found, (1, 2)), np.median(goal, (1, 2)), atol=0.01)
    # Flatter than it was, and not flat.
    assert 0.015 < found[0].std() < 0.04
    own = to_oklab(photograph)[0]
    assert np.corrcoef(found[0].ravel(), own.ravel())[0, 1] > 0.9


def test_what_an_edit_leaves_alone_keeps_its_own_colour() -> None:
    photograph, drawing = strands(0.7, 0.06, 0), strands(0.5, 0.02, 1)
    assert not missing(photograph, drawing, drawing, WHOLE, WHOLE).any()


@pytest.mark.parametrize("area", [0.0, 1e-3])
def test_a_trace_of_a_region_tells_no_colour(area: float) -> None:
    images = strands(0.7, 0.06, 0), strands(0.5, 0.02, 1), strands(0.25, 0.01, 1)
    assert not missing(*images, WHOLE, area * WHOLE).any()


def grey(lightness: float) -> Planes:
    return from_oklab(
        np.stack([np.full((SIZE, SIZE), lightness, np.float32), *np.zeros((2, SIZE, SIZE))])
    )


def test_pale_skin_is_pale_in_a_dim_photograph_too() -> None:
    skin = WHOLE[0]
    lacking = paleness(grey(0.62), grey(0.6), grey(0.67), skin)
    assert 0.75 < 0.62 + 0.07 + lacking[0].mean() < 0.8
    # Not more than some times as far as the drawing went, and nothing where that was another way.
    assert paleness(grey(0.3), grey(0.3), grey(0.33), skin).max() < 0.08
    for after in (0.6, 0.55):
        assert not paleness(grey(0.62), grey(0.6), grey(after), skin).any()
    assert not paleness(grey(0.9), grey(0.8), grey(0.9), skin)[0].any()
