"""Whatever people have is read, upright, with what must go back; the rest is one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos import read_picture
from styleclip_rt.photos.picture import MAX_PIXELS


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Red upper left, green upper right, blue lower left, grey lower right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 30)
    pixels[: height // 2, width // 2 :] = (30, 200, 30)
    pixels[height // 2 :, : width // 2] = (30, 30, 200)
    pixels[height // 2 :, width // 2 :] = (120, 120, 120)
    return Image.fromarray(pixels)


def corner(pixels: np.ndarray) -> list[int]:
    """The colour near the upper left corner."""
    return [int(v) for v in pixels[8, 8]]


@pytest.mark.parametrize("end", ["png", "bmp", "tiff", "webp", "gif", "jpg", "ppm", "tga"])
def test_formats(tmp_path, end):
    path = tmp_path / f"picture.{end}"
    scene().save(path)
    picture = read_picture(path)
    assert picture.size == (96, 64)
    np.testing.assert_allclose(corner(picture.pixels), (200, 30, 30), atol=12)
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"])
def test_modes(tmp_path, mode):
    image = scene()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)
    elif mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        image = ImageCms.applyTransform(image, to_lab)
    elif mode == "P":
        image = image.quantize(16)
    else:
        image = image.convert(mode)
    path = tmp_path / "picture.tiff"
    image.save(path)
    picture = read_picture(path)
    grey = np.asarray(scene().convert("L").convert("RGB"))
    coloured = mode in ("P", "RGBA", "CMYK", "YCbCr", "LAB")
    expected = np.asarray(scene()) if coloured else grey
    if mode == "1":
        expected = np.asarray(scene().convert("1").convert("RGB"))
    assert picture.mode == image.mode
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("end", ["jpg", "png", "webp", "tiff"])
def test_the_camera_was_held_otherwise(tmp_path, orientation, end):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "a camera"
    held = scene() if orientation == 1 else scene().transpose(turns[orientation])
    path = tmp_path / f"picture.{end}"
    held.save(path, exif=exif)
    picture = read_picture(path)
    assert picture.size == (96, 64)
    np.testing.assert_allclose(corner(picture.pixels), (200, 30, 30), atol=12)
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept.get(ExifTags.Base.Make) == "a camera"
    assert ExifTags.Base.Orientation not in kept


def test_alpha_is_kept_apart_and_colours_below_it_are_not_lost(tmp_path):
    image = scene().convert("RGBA")
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, :20] = 0
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "picture.png")
    picture = read_picture(tmp_path / "picture.png")
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert corner(picture.pixels) == [200, 30, 30]


def test_an_opaque_alpha_is_none(tmp_path):
    scene().convert("RGBA").save(tmp_path / "picture.png")
    assert read_picture(tmp_path / "picture.png").alpha is None


def test_a_profile_is_kept_where_it_holds_for_the_colours(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(tmp_path / "colour.jpg", icc_profile=profile)
    scene().convert("L").save(tmp_path / "grey.jpg", icc_profile=profile)
    assert read_picture(tmp_path / "colour.jpg").icc_profile == profile
    assert read_picture(tmp_path / "grey.jpg").icc_profile is None


def test_a_jpeg_written_with_its_tables_is_as_it_was(tmp_path):
    path = tmp_path / "picture.jpg"
    scene().save(path, quality=71, subsampling=1, progressive=True)
    jpeg = read_picture(path).jpeg
    again = io.BytesIO()
    scene().save(
        again, "JPEG", qtables=jpeg.tables, subsampling=jpeg.subsampling,
        progressive=jpeg.progressive,
    )  # fmt: skip
    assert again.getvalue() == path.read_bytes()


def test_a_camera_file_with_a_second_picture_is_no_animation(tmp_path):
    path = tmp_path / "picture.jpg"
    scene().save(path, "MPO", save_all=True, append_images=[scene(48, 48)])
    picture = read_picture(path)
    assert (picture.size, picture.format) == ((96, 64), "JPEG")
    assert picture.jpeg is not None


def png(path: Path, width: int, height: int, bits: int, rows: bytes) -> None:
    """An RGB PNG of any number of bits, whose size need not be true."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def test_colours_of_16_bits(tmp_path):
    deep = np.asarray(scene()).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    png(tmp_path / "deep.png", 96, 64, 16, rows)
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png").pixels, np.asarray(scene()))


def refusal(path: Path) -> str:
    with pytest.raises(StyleClipError) as error:
        read_picture(path)
    sentence = str(error.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_what_is_no_picture_is_said_in_a_sentence(tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "is no picture" in refusal(tmp_path / "notes.jpg")
    assert "is empty" in refusal(tmp_path / "empty.png")
    assert "HEIC" in refusal(tmp_path / "phone.heic")
    assert "is a folder" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "missing.jpg")


@pytest.mark.parametrize("end", ["gif", "png", "webp"])
def test_an_animation_is_refused(tmp_path, end):
    path = tmp_path / f"picture.{end}"
    scene().save(path, save_all=True, append_images=[scene().rotate(180)], duration=100)
    assert "is an animation" in refusal(path)


@pytest.mark.parametrize(("width", "height"), [(60_000, 50_000), (MAX_PIXELS // 8192 + 1, 8192)])
def test_pixels_are_counted_before_they_are_decoded(tmp_path, width, height):
    png(tmp_path / "bomb.png", width, height, 8, bytes(1000))
    assert "at most 67 megapixels" in refusal(tmp_path / "bomb.png")


def test_a_tiny_picture_is_refused(tmp_path):
    scene(200, 40).save(tmp_path / "thin.png")
    assert "200 x 40 pixels, too few" in refusal(tmp_path / "thin.png")


@pytest.mark.parametrize("end", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_half_a_file_is_refused(tmp_path, end):
    whole = tmp_path / f"whole.{end}"
    Image.effect_noise((128, 128), 60).convert("RGB").save(whole)
    half = tmp_path / f"half.{end}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "damaged" in refusal(half)


@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF"]), st.data())
def test_flipped_bytes_give_a_picture_or_a_sentence(tmp_path_factory, kind, data):
    file = io.BytesIO()
    scene().save(file, kind)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flipped") / "picture"
    path.write_bytes(content)
    try:
        assert read_picture(path).pixels.shape[2] == 3
    except StyleClipError as error:
        assert str(error).endswith(".")
