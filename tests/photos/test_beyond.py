"""What an edit changes goes on where the drawing tells nothing."""

import numpy as np

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.beyond import continued, weight_beyond, wider
from styleclip_rt.photos.oklab import from_oklab, to_oklab
from styleclip_rt.photos.picture import Pixels

SQUARE = Alignment((128, 150), (60, 0))
SIZE = (256, 256)


def photograph() -> Pixels:
    rows, columns = np.mgrid[:256, :256]
    waves = 90 + 40 * np.sin(rows / 9) + 30 * np.cos(columns / 13)
    return np.stack([waves, waves * 0.8, waves * 0.6], -1).astype(np.uint8)


def lighter(pixels: Pixels) -> Pixels:
    lab = to_oklab((pixels.transpose(2, 0, 1) / 255).astype(np.float32))
    lab[0] = lab[0] * 0.8 + 0.3
    return (from_oklab(lab) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def edited_in_the_square(pixels: Pixels) -> Pixels:
    result = pixels.copy()
    window = SQUARE.window(SIZE)
    weight = SQUARE.coverage(SIZE, 0.04)[..., None]
    mixed = pixels[window] + weight * (lighter(pixels)[window] - pixels[window].astype(float))
    result[window] = mixed.round()
    return result


def off(result: Pixels, place: tuple[slice, slice]) -> float:
    return float(np.abs(result[place].astype(int) - lighter(photograph())[place]).max())


def test_colours_change_beyond_as_they_do_inside() -> None:
    pixels = photograph()
    region = np.ones(SIZE, np.float32)
    edited = edited_in_the_square(pixels)
    # Over the square's edge, to where the change fades out again.
    across = (slice(66, 120), slice(80, 180))
    assert off(edited, across) > 20
    assert off(continued(pixels, edited, SQUARE, region), across) <= 5


def test_what_the_drawing_lacks_changes_as_the_rest_does() -> None:
    pixels = photograph()
    edited = edited_in_the_square(pixels)
    hole = (slice(140, 160), slice(118, 138))
    edited[hole] = pixels[hole]
    drawn = np.ones((120, 120), np.float32)
    drawn[44:76, 44:76] = 0
    result = continued(pixels, edited, SQUARE, np.ones(SIZE, np.float32), drawn)
    assert off(edited, hole) > 20 and off(result, hole) <= 5


def test_only_the_region_changes() -> None:
    pixels = photograph()
    region = np.zeros(SIZE, np.float32)
    region[:, 128:] = 1
    edited = edited_in_the_square(pixels)
    differs = (continued(pixels, edited, SQUARE, region) != edited).any(-1)
    assert differs.any()
    assert not differs[weight_beyond(SQUARE, region, SIZE) == 0].any()
    outside = np.ones(SIZE, bool)
    outside[wider(SQUARE).window(SIZE)] = False
    assert not differs[outside].any() and not differs[:, :124].any()


def test_a_region_within_the_square_leaves_the_edit_as_it_is() -> None:
    pixels = photograph()
    region = np.zeros(SIZE, np.float32)
    region[96:160, 96:160] = 1
    edited = edited_in_the_square(pixels)
    assert continued(pixels, edited, SQUARE, region) is edited
