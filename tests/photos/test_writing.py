"""Edited pictures are files like those that they came from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos.picture import read_picture, save_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(path: Path, mode: str = "RGB", **how: object) -> Path:
    y, x = np.mgrid[:64, :96]
    image = Image.fromarray(np.stack([2 * x, 3 * y, x + y], -1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"
    exif[ExifTags.Base.Orientation] = 6
    image.save(path, exif=exif, icc_profile=PROFILE, **how)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_format_profile_and_exif_stay(suffix: str, tmp_path: Path) -> None:
    like = read_picture(picture(tmp_path / f"a{suffix}"))
    path = save_picture(like.pixels, like, tmp_path / f"b{suffix}", "edited: red hair")
    again = read_picture(path)
    with Image.open(path) as image:
        told = image.getexif()
        assert image.format == like.format
    assert again.icc_profile == PROFILE
    assert told[ExifTags.Base.Make] == "A camera"
    assert told[ExifTags.Base.ImageDescription] == "edited: red hair"
    assert ExifTags.Base.Orientation not in told  # the pixels are upright already
    assert again.pixels.shape == like.pixels.shape == (96, 64, 3)
    assert np.abs(again.pixels.astype(int) - like.pixels).mean() < 3


def test_a_jpeg_is_compressed_as_it_was(tmp_path: Path) -> None:
    like = read_picture(picture(tmp_path / "a.jpg", quality=37, subsampling=2))
    save_picture(like.pixels, like, tmp_path / "b.jpg", "")
    with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / "b.jpg") as two:
        assert one.quantization == two.quantization


def test_alpha_stays(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (200, 100, 50, 90))
    image.save(tmp_path / "a.png")
    like = read_picture(tmp_path / "a.png")
    save_picture(255 - like.pixels, like, tmp_path / "b.png", "")
    assert Image.open(tmp_path / "b.png").getpixel((5, 5)) == (55, 155, 205, 90)


def test_what_cannot_be_written_becomes_png(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 90).save(tmp_path / "a.gif")
    like = read_picture(tmp_path / "a.gif")
    assert save_picture(like.pixels, like, tmp_path / "b.gif", "").name == "b.png"
    with pytest.raises(StyleClipError, match="cannot be written"):
        save_picture(like.pixels, like, tmp_path / "a.gif" / "b.gif", "")
