"""Regions where a person sees them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleclip_rt.photos import Alignment, find_faces
from styleclip_rt.photos.regions import REGIONS, find_regions

GOLDEN = Path(__file__).parents[1] / "golden"

# Pixels of the pictures, as a person named what is there.
SEEN = {
    "photos/official.jpg": {
        "hair": [(165, 22)], "skin": [(160, 75), (115, 150), (240, 128)], "mouth": [(160, 185)],
        "lips": [(158, 196)], "background": [(40, 120)], "clothes": [(232, 239), (105, 235)],
        "brows": [(115, 103), (203, 101)], "eyes": [(128, 116), (191, 114)],
    },
    "photos/1921.jpg": {
        "hair": [(150, 40)], "skin": [(150, 105), (224, 165)], "clothes": [(222, 256)],
        "background": [(50, 150), (250, 90)], "eyes": [(115, 142), (170, 138)],
    },
    "photos/sargent.jpg": {
        "hair": [(170, 76)], "skin": [(140, 85), (110, 130)], "lips": [(138, 153)],
        "background": [(89, 141)], "eyes": [(118, 105), (159, 106)],
    },
    "photos/vermeer.jpg": {
        "skin": [(150, 210), (130, 175)], "lips": [(118, 241)], "background": [(50, 120)],
        "eyes": [(103, 152), (157, 162)],
    },
    "faces/woman.jpg": {
        "hair": [(40, 272), (250, 60)], "skin": [(230, 298)], "mouth": [(249, 374)],
        "background": [(465, 141)],
    },
    "faces/man.jpg": {
        "hair": [(219, 45)], "skin": [(230, 330)], "background": [(454, 141)],
        "clothes": [(37, 470)],
    },
}  # fmt: skip


def marked(name: str, size: int = 256) -> tuple[np.ndarray, Alignment]:
    picture = np.array(Image.open(GOLDEN / name).convert("RGB"))
    (face,) = find_faces(picture)
    alignment = Alignment.of(face)
    return find_regions(picture, face, alignment, size), alignment


@pytest.mark.parametrize("name", SEEN)
def test_regions_are_where_a_person_sees_them(name):
    masks, alignment = marked(name)
    wrong = {}
    for region, points in SEEN[name].items():
        for point in points:
            x, y = (alignment.to_square(np.array(point, float)) * 256).astype(int)
            shares = dict(zip(REGIONS, masks[:, y, x].tolist(), strict=True))
            if shares[region] < 0.5:
                wrong[region, point] = {k: round(v, 2) for k, v in shares.items() if v > 0.05}
    assert not wrong


@pytest.mark.parametrize("size", [64, 256, 400])
def test_masks_share_every_pixel_out_at_any_size(size):
    masks, _ = marked("faces/man.jpg", size)
    assert masks.shape == (len(REGIONS), size, size)
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(0), 1, atol=1e-5)
    shares = masks.mean((1, 2))
    expected = marked("faces/man.jpg")[0].mean((1, 2))
    np.testing.assert_allclose(shares, expected, atol=0.01)


def test_a_picture_of_one_colour_does_no_harm():
    picture = np.array(Image.open(GOLDEN / "photos" / "official.jpg").convert("RGB"))
    (face,) = find_faces(picture)
    for pixels in (np.full_like(picture, 128), np.zeros_like(picture)):
        masks = find_regions(pixels, face, Alignment.of(face), 128)
        assert np.isfinite(masks).all()
