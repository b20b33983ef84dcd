"""In which format a client wants a picture, and pictures in it."""

import io
from typing import Any

from PIL import Image

from styleclip_rt.runtime.service.problems import Problem

TYPES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
"""The first is what a client gets that does not mind."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 92, "subsampling": 0},
    "WEBP": {"quality": 90, "method": 1},
}
_WEBP_SIDE = 16383


def wanted(accept: str | None) -> str:
    """The type of TYPES that an Accept header likes best (RFC 9110, section 12.5.1). Who asks for
    JSON, as `curl --json` does, does not mind.

    Raises:
        Problem: it takes none of them.
    """
    liked = {media: 0.0 for media in TYPES}
    ranges = [_range(each) for each in (accept or "*/*").split(",") if each.strip()]
    # What says more counts more: "image/png;q=0, */*".
    for name, quality in sorted(ranges, key=_says):
        for media in liked:
            if name in (media, "image/*", "application/json", "*/*"):
                liked[media] = quality
    best = max(liked, key=lambda media: liked[media])
    if liked[best] <= 0:
        raise Problem(406, f"pictures come as {', '.join(TYPES)}: accept one of them.")
    return best


def encoded(image: Image.Image, media: str) -> bytes:
    """A picture's file, of a type of TYPES; with its colour profile, if it has one."""
    if media == "image/webp" and max(image.size) > _WEBP_SIDE:
        raise Problem(406, "the picture is too large for WebP: accept another format.")
    file = io.BytesIO()
    name = TYPES[media]
    options = dict(_OPTIONS[name])
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    image.save(file, name, **options)
    return file.getvalue()


def _says(range: tuple[str, float]) -> int:
    """How much a media range says."""
    name, _ = range
    return ("*/*", "application/json", "image/*", name).index(name)


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return name, quality
