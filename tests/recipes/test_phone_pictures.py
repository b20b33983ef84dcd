"""Faces as a phone might have taken them."""

import numpy as np
import torch

from recipes.phone_pictures import phone_picture, whole_picture


def _face(side: int) -> torch.Tensor:
    at = torch.linspace(0, 1, side)
    return torch.stack([at[None].expand(side, side), at[:, None].expand(side, side), at.outer(at)])


def test_the_same_state_gives_the_same_picture_and_another_another() -> None:
    face = _face(64)
    one, again, other = (
        phone_picture(face, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_pictures_keep_size_and_range_and_mostly_what_they_show() -> None:
    face = _face(96)
    pictures = [phone_picture(face, torch.Generator().manual_seed(seed)) for seed in range(40)]
    for picture in pictures:
        assert picture.shape == face.shape and picture.dtype == torch.float32
        assert picture.min() >= 0 and picture.max() <= 1
    flat = torch.stack([picture.flatten() for picture in pictures])
    alike = torch.corrcoef(torch.cat([face.flatten()[None], flat]))[0, 1:]
    assert alike.median() > 0.9
    assert torch.equal(face, _face(96))


def test_a_whole_picture_has_the_face_where_it_is_said_to_be() -> None:
    face = _face(128)
    for seed in range(4):
        pixels, where = whole_picture(face, torch.Generator().manual_seed(seed))
        height, width = pixels.shape[:2]
        assert 300 <= min(height, width) <= max(height, width) <= 3000
        middle = slice(32, 96)  # the square's corners may lie outside the picture
        found = where.crop(pixels, 128)[:, middle, middle]
        assert np.abs(found - face[:, middle, middle].numpy()).mean() < 0.03
        again, _ = whole_picture(face, torch.Generator().manual_seed(seed))
        assert (pixels == again).all()
