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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_what_was_done_is_told_in_any_script(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / f"a{suffix}")
    like = read_picture(tmp_path / f"a{suffix}")
    path = save_picture(like.pixels, like, tmp_path / f"b{suffix}", "edited: 红发, café")
    assert "edited: 红发, café".encode() in path.read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_can_be_left_out(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    Image.new("RGB", (64, 64)).save(tmp_path / f"a{suffix}", exif=exif, icc_profile=PROFILE)
    like = read_picture(tmp_path / f"a{suffix}")
    if suffix == ".tif":  # Pillow writes none of where into TIFF
        assert not like.tells_where
    else:
        assert like.tells_where
    kept = save_picture(like.pixels, like, tmp_path / f"kept{suffix}", "edited: old")
    assert read_picture(kept).tells_where == like.tells_where
    bare = like.without_metadata()
    assert not bare.tells_where
    path = save_picture(like.pixels, bare, tmp_path / f"b{suffix}", "edited: old")
    assert not read_picture(path).tells_where
    assert read_picture(path).icc_profile == PROFILE
    with Image.open(path) as image:
        told = image.getexif()
    assert ExifTags.Base.Make not in told
    assert told[ExifTags.Base.ImageDescription] == "edited: old"


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
