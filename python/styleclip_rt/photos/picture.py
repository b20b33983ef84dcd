"""Pictures as people have them, read into RGB, with what must go back into the edited file."""

import errno
import io
import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing

Pixels = NDArray[np.uint8]

MAX_PIXELS = 1 << 26
"""67 million: a full-frame camera's 61 megapixels, and no decompression bomb."""
MIN_SIDE = 48
"""Pixels a side; a smaller picture cannot hold the smallest face that is edited."""

# Files of cameras that hold further pictures (previews, depth) behind the first.
_STILLS = ("MPO", "HEIF", "TIFF")
# TIFF keeps how its pixels lie among what EXIF says.
_STRUCTURE = {*range(254, 267), 273, *range(277, 285), 292, 293, 317}
_STRUCTURE |= {*range(320, 348), *range(512, 533)}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Jpeg:
    """How a JPEG was compressed: its quantisation tables and chroma subsampling, for Pillow."""

    tables: dict[int, list[int]]
    subsampling: int
    progressive: bool


@dataclass(frozen=True)
class Picture:
    """A picture, upright, and what of its file an edit must keep.

    pixels: [H, W, 3] uint8 RGB, as the file's own profile means them (sRGB where it has none);
        turned as the EXIF orientation says.
    alpha: [H, W] uint8, or None.
    format: Pillow's name of the file's format, e.g. "JPEG". mode: what the file held, e.g. "CMYK".
    icc_profile: for `pixels`, None where the file had none or it was for other channels than RGB.
    exif: without the orientation, which `pixels` has been given. jpeg: None for other formats.
    """

    pixels: Pixels = field(repr=False)
    format: str
    mode: str
    alpha: Pixels | None = field(default=None, repr=False)
    icc_profile: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    jpeg: Jpeg | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def tells_where(self) -> bool:
        """Whether its EXIF says where it was taken."""
        exif = Image.Exif()
        if self.exif is not None:
            exif.load(self.exif)
        return bool(exif.get_ifd(ExifTags.IFD.GPSInfo))

    def without_metadata(self) -> "Picture":
        """The same without EXIF, so that edits of it have none of it either."""
        return replace(self, exif=None)


def read_picture(path: str | Path) -> Picture:
    """Reads a picture in any format and mode that Pillow knows, HEIC where pillow-heif is there.

    Pixels are counted before any is decoded.

    Raises:
        StyleClipError: no such file, a folder, no picture, a damaged one, an animation, one of
            more than `MAX_PIXELS` or of less than `MIN_SIDE` a side.
    """
    path = Path(path)
    _learn_heic()
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            # Sizes are judged here; what Pillow warns of beyond them is no concern of the user's.
            warnings.simplefilter("ignore")
            try:
                image = Image.open(file)
            except Image.DecompressionBombError:
                raise StyleClipError(_too_large(path)) from None
            except UnidentifiedImageError:
                raise StyleClipError(_no_picture(path)) from None
            except OSError:
                raise
            except Exception as error:  # Pillow's readers raise what they like at hostile bytes.
                raise StyleClipError(_damaged(path)) from error
            with image:
                _check(image, path)
                try:
                    image.load()
                    return _convert(image)
                except Exception as error:
                    raise StyleClipError(_damaged(path)) from error
    except OSError as error:
        raise StyleClipError(_unreadable(path, error)) from None


def _learn_heic() -> None:
    with suppress(ImportError):
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found,unused-ignore]

        register_heif_opener()


def _check(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise StyleClipError(_too_large(path, width, height))
    if min(width, height) < MIN_SIDE:
        raise StyleClipError(
            f"{path} has {width} x {height} pixels, too few to hold a face; "
            f"use a picture of at least {MIN_SIDE} a side."
        )
    try:
        animated = image.format not in _STILLS and getattr(image, "is_animated", False)
    except Exception as error:
        raise StyleClipError(_damaged(path)) from error
    if animated:
        raise StyleClipError(f"{path} is an animation; save one of its frames and use that.")


def _too_large(path: Path, width: int = 0, height: int = 0) -> str:
    says = f"is said to have {width} x {height} pixels" if width else "is said to be enormous"
    return f"{path} {says}; use a picture of at most {MAX_PIXELS // 10**6} megapixels."


def _damaged(path: Path) -> str:
    return f"{path} is damaged or not whole, and cannot be decoded; get the file again."


def _no_picture(path: Path) -> str:
    if path.stat().st_size == 0:
        return f"{path} is empty; use a picture."
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:] in _HEIC_BRANDS:
        return (
            f"{path} is a HEIC picture, which needs `pip install pillow-heif`; install it, or "
            "save the picture as JPEG."
        )
    return f"{path} is no picture that can be read; use JPEG, PNG, WebP, TIFF or HEIC."


def _unreadable(path: Path, error: OSError) -> str:
    if error.errno == errno.EISDIR or path.is_dir():
        return f"{path} is a folder; name one picture."
    if error.errno == errno.ENOENT:
        return f"{path} does not exist; name a picture."
    if error.errno is not None:
        return f"{path} cannot be read ({error.strerror}); name a picture that can."
    return _damaged(path)


def _convert(image: Image.Image) -> Picture:
    jpeg = _jpeg(image)
    # Pillow's plugins leave what they found in `info`; transposing makes a new image.
    profile, file_format = image.info.get("icc_profile"), image.format or ""
    exif = image.getexif()
    upright = ImageOps.exif_transpose(image)
    for tag in [ExifTags.Base.Orientation, *(tag for tag in exif if tag in _STRUCTURE)]:
        exif.pop(tag, None)
    rgb, alpha, profile = _to_rgb(upright, profile)
    return Picture(
        pixels=np.array(rgb),
        format="JPEG" if file_format == "MPO" else file_format,
        mode=image.mode,
        alpha=alpha,
        icc_profile=profile,
        exif=exif.tobytes() if len(exif) else None,
        jpeg=jpeg,
    )


def _jpeg(image: Image.Image) -> Jpeg | None:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    tables = {k: list(v) for k, v in image.quantization.items()}
    # -1 where Pillow cannot name it: 2, half as many samples each way, is what most cameras use.
    subsampling = JpegImagePlugin.get_sampling(image)
    return Jpeg(tables, subsampling if subsampling >= 0 else 2, "progressive" in image.info)


def _to_rgb(
    image: Image.Image, profile: bytes | None
) -> tuple[Image.Image, Pixels | None, bytes | None]:
    """RGB, alpha, and the profile if it holds for this RGB."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _from_deep_grey(image).convert("RGB"), None, None
    if mode in ("CMYK", "LAB", "YCbCr"):
        return _to_srgb(image, profile), None, None
    alpha = None
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
        if int(alpha.min()) == 255:
            alpha = None
    # A grey profile says nothing of the three equal channels made from it.
    keeps = mode in ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA")
    return image.convert("RGB"), alpha, profile if keeps else None


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: of 16 where it fits, else from its darkest to its lightest."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        high, low = 1, 0
    elif low >= 0 and high <= 65535 and image.mode != "F":
        high, low = 65535 if high > 255 else 255, 0
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray((scaled + 0.5).clip(0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode != "YCbCr":
        with suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                return converted
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(lab, ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return ImageCms.applyTransform(image, transform) or image.convert("RGB")
    return image.convert("RGB")


def save_picture(pixels: Pixels, like: Picture, path: Path, said: str) -> Path:
    """Write `pixels` [H, W, 3] as the file that they came from was: its format, compression, colour
    profile, alpha and EXIF; whole or not at all.

    Args:
        pixels: of the size of `like`.
        like: the picture that they are an edit of.
        path: of the file; a format that cannot be written becomes PNG, and the suffix with it.
        said: what was done, which goes into EXIF's ImageDescription (Software names the program).

    Returns:
        where it was written.

    Raises:
        StyleClipError: it cannot be written.
    """
    image = Image.fromarray(pixels)
    if like.alpha is not None:
        image.putalpha(Image.fromarray(like.alpha))
    exif = Image.Exif()
    if like.exif is not None:
        exif.load(like.exif)
    exif[ExifTags.Base.Software] = "StyleCLIP-RT"
    # EXIF's text is ASCII; readers take UTF-8 all the same. Pillow would write question marks.
    exif[ExifTags.Base.ImageDescription] = said.encode()
    options: dict[str, Any] = {"exif": exif, "icc_profile": like.icc_profile}
    kind = like.format if like.format in ("JPEG", "PNG", "WEBP", "TIFF") else "PNG"
    if kind == "JPEG":
        if like.jpeg is not None:
            options |= {
                "qtables": like.jpeg.tables,
                "subsampling": like.jpeg.subsampling,
                "progressive": like.jpeg.progressive,
            }
        image = image.convert("RGB")
    elif kind == "WEBP":
        options |= {"quality": 95, "exact": True}
    elif kind == "PNG":
        options |= {"compress_level": 3}
    if kind != like.format:
        path = path.with_suffix(".png")
    with replacing(path) as temporary:
        image.save(temporary, kind, **options)
    return path
