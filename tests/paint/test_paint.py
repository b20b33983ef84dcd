"""Paints on a portrait of 512 px: where they are, and that they go with the head."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from styleclip_rt.errors import StyleClipError
from styleclip_rt.paint import PAINTS, painted
from styleclip_rt.photos import find_faces, read_picture
from styleclip_rt.photos.mesh import Points
from styleclip_rt.photos.oklab import to_oklab
from styleclip_rt.photos.picture import Pixels

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"


@cache
def portrait() -> tuple[Pixels, Points]:
    picture = read_picture(PORTRAIT)
    (face,) = find_faces(picture)
    return picture.pixels, face.points


def change(paint: str, amount: float = 1.0) -> np.ndarray:
    """[H, W], by how much of 255 the most changed channel differs."""
    pixels, mesh = portrait()
    after = painted(pixels, mesh, {paint: amount})
    return np.abs(after.astype(int) - pixels).max(-1)


@pytest.mark.parametrize("paint", PAINTS)
def test_a_paint_stays_on_the_face(paint: str) -> None:
    _, mesh = portrait()
    (x, y), (right, bottom) = mesh[:, :2].min(0), mesh[:, :2].max(0)
    margin = 0.15 * (bottom - y)
    rows, columns = np.nonzero(change(paint))
    assert x - margin <= columns.min() and columns.max() <= right + margin
    assert y - margin <= rows.min() and rows.max() <= bottom + margin
    assert 0 < change(paint, 0.4).sum() < change(paint).sum()


@pytest.mark.parametrize(
    ("paint", "inside"),
    [
        ("big lashes", (33, 263, 105, 145)),
        ("green eyes", (33, 263, 159, 145)),
        ("purple lipstick", (61, 291, 0, 17)),
        ("goatee", (61, 291, 2, 152)),
        ("glasses", (234, 454, 105, 50)),
    ],
)
def test_a_paint_is_where_it_belongs(paint: str, inside: tuple[int, int, int, int]) -> None:
    """Nine tenths of it lie between two points of the mesh and below a third, above a fourth."""
    _, mesh = portrait()
    left, right, top, bottom = inside
    edge = 0.1 * (mesh[right, 0] - mesh[left, 0])
    found = change(paint)
    y, x = np.mgrid[: found.shape[0], : found.shape[1]]
    within = (x > mesh[left, 0] - edge) & (x < mesh[right, 0] + edge)
    within &= (y > mesh[top, 1] - edge) & (y < mesh[bottom, 1] + edge)
    assert found[within].sum() > 0.9 * found.sum() > 0


def test_freckles_are_brown_spots_on_skin() -> None:
    pixels, mesh = portrait()
    before, after = (
        to_oklab(np.float32(each.transpose(2, 0, 1) / 255))
        for each in (pixels, painted(pixels, mesh, {"freckles": 1}))
    )
    light, red, yellow = after - before
    spots = light < -0.02
    assert 0.001 < spots.mean() < 0.05
    assert light.max() < 0.01 and red[spots].mean() > 0.005 and yellow[spots].mean() > 0.005
    x, y = mesh[1, :2].astype(int)
    nose = spots[y - 20 : y + 10, x - 15 : x + 15].mean()
    mouth = spots[tuple(mesh[13, 1::-1].astype(int))]
    assert nose > spots.mean() and not mouth


@pytest.mark.parametrize("paint", ["sunglasses", "freckles"])
def test_a_paint_turns_with_the_picture(paint: str) -> None:
    pixels, mesh = portrait()
    turned = np.stack([pixels.shape[0] - mesh[:, 1], mesh[:, 0], mesh[:, 2]], 1)
    side = painted(np.ascontiguousarray(np.rot90(pixels, -1)), turned, {paint: 1})
    upright = painted(pixels, mesh, {paint: 1})
    difference = np.abs(np.rot90(side).astype(int) - upright)
    assert difference.mean() < 0.15 * np.abs(upright.astype(int) - pixels).mean()


def test_nothing_of_it_changes_nothing() -> None:
    pixels, mesh = portrait()
    assert np.array_equal(painted(pixels, mesh, dict.fromkeys(PAINTS, 0.0)), pixels)
    away = mesh + np.array([5000, 0, 0], np.float32)
    assert np.array_equal(painted(pixels, away, {"freckles": 1}), pixels)


def test_a_black_and_white_photograph_stays_so() -> None:
    pixels, mesh = portrait()
    grey = np.repeat(pixels[..., 1:2], 3, axis=2)
    after = painted(grey, mesh, {"heavy makeup": 1, "freckles": 1})
    assert not np.array_equal(after, grey)
    assert np.ptp(after, axis=2).max() <= 1


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize("scale", [0.1, 3])
def test_a_face_may_be_small_or_reach_out_of_the_picture(paint: str, scale: float) -> None:
    pixels, mesh = portrait()
    # Its left half is beyond the border.
    moved = (mesh - np.array([mesh[1, 0], mesh[:, 1].min(), 0], np.float32)) * np.float32(scale)
    assert painted(pixels, moved, {paint: 1}).shape == pixels.shape


def test_an_unknown_paint_is_one_sentence() -> None:
    with pytest.raises(StyleClipError, match="no paint 'mud': choose from freckles"):
        painted(*portrait(), {"mud": 1})
